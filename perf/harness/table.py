"""The rows that Fanfare is held to."""

from dataclasses import dataclass

PER_DELIVERY = "cpu_us_per_delivery"


@dataclass
class Row:
    """One figure and its limit; `value` is None where there is none, and `note` says why."""

    what: str
    value: float | None
    limit: float
    unit: str = "×"
    note: str = ""

    def verdict(self):
        if self.value is None:
            return "absent"
        return "held" if self.value <= self.limit else "**missed**"

    def shown(self, value):
        if value is None:
            return "–"
        return f"{value:.3f} {self.unit}"


def rows(figures, plans, absent):
    """The table, from one run."""
    title = {plan.key: plan.title for plan in plans}
    mixed = figures.ratio("mixed", "fanfare", "floor", PER_DELIVERY)
    accept = figures.ratio("idle", "fanfare", "floor", "connect_cpu_us")
    memory = figures.median("idle", "fanfare", "rss_per_connection_kib")
    def per_delivery(what, key, ours, theirs, limit):
        pair = (key, ours, theirs, PER_DELIVERY)
        return Row(f"CPU a delivery, {what}", figures.ratio(*pair), limit, note=figures.spread(*pair))

    table = [
        per_delivery(f"{title['lone']}, to the bare loop", "lone", "fanfare", "floor", 1.06),
        per_delivery(f"{title['lone-many']}, to the bare loop", "lone-many", "fanfare", "floor", 1.06),
        per_delivery(f"{title['burst']}, to the coalescing loop", "burst", "fanfare",
                     "floor-coalesce", 1.05),
        stream(figures, title["stream"]),
        Row(f"CPU a delivery, {title['mixed']}, to the bare loop", mixed, 1.25),
        deflate(figures, title["json"]),
        Row("CPU of accepting and upgrading a connection, to the floor's trivial handshake",
            accept, 1.6, note=each_of(figures, "connect_cpu_us", "µs")),
        Row(f"RSS of an idle connection, {title['idle']}", memory, 1.5, "KiB"),
        beside(figures, title["beside"]),
        Row(f"healthy subscribers' p99, a tenth stalled, to none; {title['stalled-none']}",
            figures.ratio("stalled", "fanfare", "fanfare", "p99_us",
                          key_of_theirs="stalled-none"), 1.2),
    ]
    for key in ("lanes-lone", "lanes-burst"):
        table.append(per_delivery(f"two lanes on two cores (one shared with the load), to one lane on "
                                  f"one: {title[key]}", key, "two lanes", "one lane", 1.1))
    table += gorilla(figures, absent)
    return table


def each_of(figures, path, unit):
    ours, theirs = figures.median("idle", "fanfare", path), figures.median("idle", "floor", path)
    if not ours or not theirs:
        return ""
    spread = figures.spread("idle", "fanfare", "floor", path)
    return f"{ours:.1f} to {theirs:.1f} {unit}" + (f"; {spread}" if spread else "")


def stream(figures, title):
    ratio = figures.ratio("stream", "fanfare", "floor-coalesce", PER_DELIVERY)
    last = figures.median("stream", "fanfare", "last_p50_us")
    behind = figures.median("stream", "fanfare", "behind_ms")
    note = ""
    if last is not None:
        # Whoever falls behind has everything left to send at the end.
        keeps_up = "keeps up" if behind < 500 else "**falls behind**"
        note = f"{keeps_up}: last subscriber after {last / 1e3:.0f} ms (median)"
    return Row(f"CPU a delivery, {title}, to the coalescing loop", ratio, 1.05, note=note)


def deflate(figures, title):
    what = f"own CPU (outside of the kernel), {title}, deflated, to the same plain"
    if not figures.median("json-deflate", "fanfare", "deflating"):
        return Row(what, None, 1.2, note="not measured, or permessage-deflate was not agreed on")
    pair = ("json-deflate", "fanfare", "fanfare")
    whole = figures.ratio(*pair, PER_DELIVERY, key_of_theirs="json")
    own = figures.ratio(*pair, "user_us_per_delivery", key_of_theirs="json")
    note = f"the kernel included: {whole:.3f} ×" if whole else ""
    return Row(what, own, 1.2, note=note)


def beside(figures, title):
    small = figures.median("beside", "fanfare", "small_p99_us")
    big = figures.median("beside", "fanfare", "pass_p50_us")
    note = ""
    if small is not None:
        note = f"p99 {small / 1e3:.1f} ms, a pass {big / 1e3:.1f} ms (median)"
    ratio = figures.ratio("beside", "fanfare", "fanfare", "small_p99_us",
                          figure_of_theirs="pass_p50_us")
    return Row(f"latency p99 of {title}, to the big channel's pass", ratio, 0.1, note=note)


def gorilla(figures, absent):
    """What this project began as."""
    note = absent.get("gorilla", "")
    kinds = [
        ("CPU a delivery, one message at a time", "lone", PER_DELIVERY, 0.55),
        ("CPU a delivery, 32 in flight", "burst", PER_DELIVERY, 0.1),
        ("RSS of a connection", "idle", "rss_per_connection_kib", 0.1),
    ]
    return [Row(f"{what}, to the gorilla hub", figures.ratio(key, "fanfare", "gorilla", path),
                limit, note=note)
            for what, key, path, limit in kinds]
