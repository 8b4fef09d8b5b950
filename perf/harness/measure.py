"""Runs the plans, interleaved, and keeps every sample."""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time

from peers import Server, binary

# One run takes seconds; a server that hangs must not stop the rest.
TIMEOUT_S = 180

# Where connections come from: other addresses in each run, since the ports of the last one may still
# be taken.
sources = itertools.count(os.getpid() % 200 * 250)


def run_once(plan, peer, variant):
    """One fresh server, one load, one sample."""
    extra, cores = plan.variants[variant]
    try:
        with Server(peer, cores, extra) as server:
            done = subprocess.run(
                bench(plan, peer, server), capture_output=True, text=True, timeout=TIMEOUT_S,
                check=False,
            )
    except subprocess.TimeoutExpired:
        return {"error": f"no end after {TIMEOUT_S} s"}
    except RuntimeError as error:
        return {"error": str(error)}
    try:
        return sample(json.loads(done.stdout))
    except ValueError:
        return {"error": done.stderr.strip()[-400:]}


def bench(plan, peer, server):
    """The load: on a core of its own."""
    host, source = f"ws://127.0.0.1:{server.port}", next(sources) % 62_500
    command = ["taskset", "-c", "1", binary("fanfare"), "bench", plan.scenario]
    command += ["--url", host + peer.subscribe, "--publish-url", host + peer.publish]
    command += ["--sources", f"127.{1 + source // 250}.{source % 250}.0/24"]
    command += ["--warmup", "300ms", "--grace", "8s", "--json", "-", "--quiet"]
    if "settle" not in plan.bench:
        command += ["--settle", "200ms"]
    for name, value in plan.bench.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    for pid in server.pids():
        command += ["--pid", str(pid)]
    return command


def sample(report):
    """What is kept of a report of `fanfare bench`."""
    connect, server, deliveries = report["connect"], report["server"], report["deliveries"]
    found = {
        "connect_cpu_us": connect["server_cpu_us_per_connection"],
        "rss_per_connection_kib": server["rss_per_connection_bytes"] / 1_024,
        "rss_before_kib": server["rss_before_bytes"] / 1_024,
        "deflating": connect["deflating"],
        "seconds": report["measured_ms"] / 1e3,
        "generator_busy": report["generator"]["cpu_cores"],
        "generator_waited": report["generator"]["waiting_cores"],
        "server_waited": server["waiting_cores"],
        **{fault: deliveries[fault] for fault in FAULTS},
    }
    received = deliveries["received"]
    found["deliveries"] = received
    if received:
        ticks = server["cpu_user_ms"] + server["cpu_system_ms"]
        user_share = server["cpu_user_ms"] / ticks if ticks else 0.0
        found |= {
            "deliveries_per_s": deliveries["per_s"],
            "cpu_us_per_delivery": server["cpu_us_per_delivery"],
            "user_us_per_delivery": server["cpu_us_per_delivery"] * user_share,
            "p50_us": report["latency_us"]["p50"],
            "p99_us": report["latency_us"]["p99"],
            "last_p50_us": report["last_subscriber_us"]["p50"],
            "pass_p50_us": report["pass_us"]["p50"],
            "behind_ms": report["measured_ms"] - report["options"]["duration_ms"],
        }
    if small := report["beside"]:
        found["small_p50_us"] = small["latency_us"]["p50"]
        found["small_p99_us"] = small["latency_us"]["p99"]
        found["deliveries"] += small["deliveries"]["received"]
        for fault in FAULTS:
            found[fault] += small["deliveries"][fault]
    if storm := report["storm"]:
        found["storm_cpu_us"] = storm["server_cpu_ms"] * 1e3
        found["storm_deliveries"] = storm["received"]
    if report["outcome"] != "complete":
        found["error"] = "; ".join(report["faults"])
    return found


def run_all(plans, peers, repetitions, curve_repetitions):
    """Round robin: every server of a plan has its turn before one has its second.

    Every other turn goes backwards: who comes second finds memory that the first has just given back, and a
    virtual machine's host takes its time over memory that it has to find anew.

    Says what was measured as {plan: {server: {"samples": [...]}}}.
    """
    by_name = {peer.name: peer for peer in peers}
    results = {plan.key: {} for plan in plans}
    began = time.monotonic()
    for repetition in range(repetitions * max((plan.turns for plan in plans), default=1)):
        step = -1 if repetition % 2 else 1
        for plan in plans[::step]:
            most = curve_repetitions if plan.curve else repetitions
            for name in plan.servers[::step]:
                peer = by_name.get(name)
                if repetition >= most * plan.turns_of(name):
                    continue
                if peer is None or peer.absent:
                    continue
                for variant in list(plan.variants)[::step]:
                    found = run_once(plan, peer, variant)
                    entry = results[plan.key].setdefault(variant or name, {"samples": []})
                    entry["samples"].append(found)
                    say(time.monotonic() - began, repetition, plan, variant or name, found)
    return results


def say(seconds, repetition, plan, name, found):
    if "error" in found:
        figures = f"FAILED: {found['error']}"
    elif "cpu_us_per_delivery" in found:
        figures = (
            f"{found['cpu_us_per_delivery']:7.3f} µs a delivery, "
            f"{found['deliveries_per_s']:9,.0f}/s, p99 {found['p99_us']:,.0f} µs"
        )
    else:
        figures = (
            f"{found['connect_cpu_us']:.1f} µs a connection, "
            f"{found['rss_per_connection_kib']:.2f} KiB each"
        )
    wrong = ", ".join(f"{found[key]} {key}" for key in FAULTS if found.get(key))
    print(f"{seconds:6.0f} s  #{repetition + 1}  {plan.key:18} {name:15} {figures}  {wrong}",
          file=sys.stderr, flush=True)


# `disconnected` is a connection that the server ended.
FAULTS = ("lost", "doubled", "reordered", "disconnected")


def faults(results, name_of_ours="fanfare"):
    """What Fanfare did wrong, as sentences. The peers' faults are in the report only."""
    found = []
    for key, servers in results.items():
        for name, entry in servers.items():
            if name not in (name_of_ours, "one lane", "two lanes"):
                continue
            for one in entry["samples"]:
                if "error" in one:
                    found.append(f"{key}: {one['error']}")
                found += [f"{key}: {one[fault]} {fault}" for fault in FAULTS if one.get(fault)]
    return found


class Figures:
    """Medians and ratios of what was measured."""

    def __init__(self, results):
        self.results = results

    def samples(self, key, name, figure):
        entry = self.results.get(key, {}).get(name, {})
        return [one.get(figure) for one in entry.get("samples", [])]

    def median(self, key, name, figure):
        values = [value for value in self.samples(key, name, figure) if value is not None]
        return statistics.median(values) if values else None

    def ratio(self, key, ours, theirs, figure, key_of_theirs=None, figure_of_theirs=None):
        """The median of the ratios of each turn: what slowed one slowed its neighbour."""
        ratios = self.ratios(key, ours, theirs, figure, key_of_theirs, figure_of_theirs)
        return statistics.median(ratios) if ratios else None

    def ratios(self, key, ours, theirs, figure, key_of_theirs=None, figure_of_theirs=None):
        """Turn by turn."""
        pairs = zip(self.samples(key, ours, figure),
                    self.samples(key_of_theirs or key, theirs, figure_of_theirs or figure))
        return [our / their for our, their in pairs if our is not None and their]

    def spread(self, key, ours, theirs, figure):
        """How far the turns are apart, in words."""
        ratios = self.ratios(key, ours, theirs, figure)
        if len(ratios) < 8:
            return ""
        low, _, high = statistics.quantiles(ratios, n=4)
        return f"{len(ratios)} turns, half of them {low:.2f} to {high:.2f}"
