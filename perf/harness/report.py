"""perf/REPORT.md and its plots, from what was measured."""

import os

import plot
import table
from measure import FAULTS, Figures

PER_DELIVERY = "cpu_us_per_delivery"

WAYS = """\
How: one core for the server and one for the load (`taskset`), loopback TCP, {bytes}-byte messages if
a row does not say otherwise, everything built for release. Each sample is a fresh server. The servers
take turns; a ratio is the median of the ratios of each turn. CPU is the whole process, kernel
included, by the scheduler's count in ns, from the first message counted until the last has arrived.
The load is `fanfare bench`: latencies are counted from when a message was due, not from when it was
written, and every subscriber checks every message: its number must be the next one of its channel.
"""

# What the README shows stands between these.
README_BEGIN = "<!-- speed: written by perf/run -->"
README_END = "<!-- end of speed -->"


def write(place, run, plans, peers, results):
    """Writes the report and says where it is."""
    figures = Figures(results)
    os.makedirs(os.path.join(place, "results"), exist_ok=True)
    absent = {peer.name: peer.absent for peer in peers if peer.absent}
    turns_most = max(plan.turns for plan in plans)
    parts = ["# What Fanfare costs, beside its peers and the floor\n", machine_text(run, turns_most)]
    parts.append(WAYS.format(bytes=128))
    parts.append("## Held or missed\n")
    parts.append(rows_text(table.rows(figures, plans, absent)))
    parts.append("## The peers\n")
    parts.append(peers_text(peers, figures))
    parts += [image(place, *one) for one in bar_plots(figures, peers)]
    parts.append("## As the work grows\n")
    parts += curves(place, figures, plans)
    parts.append("## Correctness\n")
    parts.append(faults_text(results, plans))
    path = os.path.join(place, "REPORT.md")
    with open(path, "w") as report:
        report.write("\n".join(parts))
    return path


def write_readme(path, run, peers, results):
    """The README's table and plot, between its two marks; without them nothing happens."""
    with open(path) as readme:
        text = readme.read()
    before, begin, rest = text.partition(README_BEGIN)
    _, end, after = rest.partition(README_END)
    if not begin or not end:
        return
    figures = Figures(results)
    machine = run["machine"]
    lines = [
        "| server | one message at a time | 32 in flight | RSS of an idle connection |",
        "|---|---|---|---|",
    ]
    for peer in peers:
        if peer.absent:
            lines.append(f"| {peer.title} | absent | absent | absent |")
            continue
        lone = cell(figures, "lone", peer.name, PER_DELIVERY)
        burst = cell(figures, "burst", peer.name, PER_DELIVERY)
        memory = cell(figures, "idle", peer.name, "rss_per_connection_kib", digits=1)
        # The loops hold nothing of a connection but its descriptor.
        memory = "–" if peer.name.startswith("floor") else f"{memory} KiB"
        units = [f"{value} µs" if value != "–" else value for value in (lone, burst)]
        lines.append(f"| {peer.title} | {' | '.join(units)} | {memory} |")
    inside = "\n".join([
        "CPU of the server for each delivery, kernel included; 2,000 subscribers, 128-byte messages, "
        "one core:\n",
        *lines,
        "",
        "![CPU a delivery, one message at a time](perf/results/lone-cpu.svg)",
        "",
        f"Medians of {run['repetitions']} interleaved turns and more by `{run['command']}` on "
        f"{machine['cpu']}, Linux {machine['kernel']}, {machine['date'][:10]}. "
        "[perf/REPORT.md](perf/REPORT.md) has everything else, the misses too.",
    ])
    with open(path, "w") as readme:
        readme.write(f"{before}{begin}\n{inside}\n{end}{after}")


def machine_text(run, turns_most):
    machine = run["machine"]
    kind = "a virtual machine" if machine["virtual"] else "bare metal"
    return (
        f"{machine['date']}, commit {machine['commit']}, `{run['command']}`, "
        f"{run['repetitions']} repetitions ({run['curve_repetitions']} for the curves, and up to "
        f"{turns_most} times as many turns where a limit is near), "
        f"{run['seconds'] / 60:.0f} minutes.\n\n"
        f"Machine: {machine['cpu']}, {machine['cores']} cores of {kind}, {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}, {machine['rustc']}; load average before: "
        f"{run['load_before']:.2f}.\n"
        + ("\n**The short mode: smaller sizes than the limits are meant for; the verdicts are a "
           "hint.**\n" if run["short"] else "")
        + ("\n**Others were at work on this machine (see the load average): the figures are "
           "noisy.**\n" if run["load_before"] > 0.3 else "")
    )


def rows_text(rows):
    lines = ["| what | measured | at most | | |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.what} | {row.shown(row.value)} | {row.shown(row.limit)} | "
                     f"{row.verdict()} | {row.note} |")
    return "\n".join(lines) + "\n"


def cell(figures, key, name, *path, digits=2):
    value = figures.median(key, name, *path)
    return "–" if value is None else f"{value:,.{digits}f}"


def peers_text(peers, figures):
    lines = [
        "| server | version | CPU a delivery, lone, µs | with many | 32 in flight | "
        "CPU a connection, µs | RSS a connection, KiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for peer in peers:
        if peer.absent:
            lines.append(f"| {peer.title} | **absent: {peer.absent}** | | | | | |")
            continue
        lines.append(
            f"| {peer.title} | {peer.version or ''} | {cell(figures, 'lone', peer.name, PER_DELIVERY)}"
            f" | {cell(figures, 'lone-many', peer.name, PER_DELIVERY)}"
            f" | {cell(figures, 'burst', peer.name, PER_DELIVERY, digits=3)}"
            f" | {cell(figures, 'idle', peer.name, 'connect_cpu_us', digits=1)}"
            f" | {cell(figures, 'idle', peer.name, 'rss_per_connection_kib')} |"
        )
    return "\n".join(lines) + "\n"


def bar_plots(figures, peers):
    kinds = [
        ("lone", PER_DELIVERY, "CPU a delivery, one message at a time", "µs"),
        ("burst", PER_DELIVERY, "CPU a delivery, 32 messages in flight", "µs"),
        ("idle", "rss_per_connection_kib", "Memory of an idle connection", "KiB"),
        ("idle", "connect_cpu_us", "CPU to accept and upgrade a connection", "µs"),
    ]
    for key, path, title, unit in kinds:
        found = [(peer.title, figures.median(key, peer.name, path), peer.name == "fanfare")
                 for peer in peers]
        found = [entry for entry in found if entry[1] is not None and entry[1] > 0]
        if found:
            name = f"{key}-{path.split('_')[0]}"
            yield name, title, plot.bars(title, unit, sorted(found, key=lambda one: one[1]))


def image(place, name, title, text):
    with open(os.path.join(place, "results", f"{name}.svg"), "w") as picture:
        picture.write(text)
    return f"![{title}](results/{name}.svg)\n"


def curves(place, figures, plans):
    kinds = {
        "subscribers": ("CPU a delivery, one message at a time, by subscribers", "subscribers"),
        "channels": ("CPU a delivery, 32 in flight, by channels", "channels"),
        "storm": ("CPU for each of many that leave and come back at once, messages flowing",
                  "connections"),
    }
    titles = {"fanfare": "Fanfare", "floor": "bare send loop"}
    for curve, (title, x_name) in kinds.items():
        chosen = [plan for plan in plans if plan.curve == curve]
        series = {}
        for name, shown in titles.items():
            line = [(plan.x, point(figures, plan, plans, name)) for plan in chosen]
            line = [(x, y) for x, y in line if y is not None]
            if line:
                series[shown] = line
        if not series:
            continue
        yield f"### {title}\n"
        yield curve_table(x_name, chosen, series)
        yield image(place, f"curve-{curve}", title, plot.lines(title, x_name, "µs", series))


def point(figures, plan, plans, name):
    if plan.curve != "storm":
        return figures.median(plan.key, name, PER_DELIVERY)
    # What is left once the deliveries of that time are paid for, at the price of a lone message to
    # half as many subscribers: so many there were on average.
    prices = [(abs(one.x - plan.x / 2), figures.median(one.key, name, PER_DELIVERY))
              for one in plans if one.curve == "subscribers"]
    prices = sorted(one for one in prices if one[1] is not None)
    price = prices[0][1] if prices else figures.median("lone", name, PER_DELIVERY)
    cpu = figures.median(plan.key, name, "storm_cpu_us")
    deliveries = figures.median(plan.key, name, "storm_deliveries")
    if None in (price, cpu, deliveries):
        return None
    joining = cpu - price * deliveries
    # Nearly all of it was sending: the rest says nothing.
    return joining / plan.x if joining > cpu / 4 else None


def curve_table(x_name, chosen, series):
    lines = [f"| {x_name} | " + " | ".join(f"{name}, µs" for name in series) + " |",
             "|---|" + "---|" * len(series)]
    for plan in chosen:
        values = [dict(line).get(plan.x) for line in series.values()]
        shown = " | ".join("–" if value is None else f"{value:.2f}" for value in values)
        lines.append(f"| {plan.x:,} | {shown} |")
    return "\n".join(lines) + "\n"


def faults_text(results, plans):
    lines = []
    for plan in plans:
        for name, entry in results.get(plan.key, {}).items():
            samples = entry["samples"]
            sums = {one: sum(sample.get(one, 0) for sample in samples) for one in FAULTS}
            wrong = [f"{count:,} {one}" for one, count in sums.items() if count]
            wrong += [f"failed: {sample['error']}" for sample in samples if "error" in sample]
            if wrong:
                lines.append(f"* {name}, {plan.title}: {'; '.join(wrong)}")
    deliveries = sum(sample.get("deliveries", 0) for servers in results.values()
                     for entry in servers.values() for sample in entry["samples"])
    head = f"{deliveries:,} deliveries checked. "
    if not lines:
        return head + "None lost, none twice, none out of order.\n"
    return head + "What was wrong (`disconnected`: the server ended the connection):\n\n" \
        + "\n".join(lines) + "\n"
