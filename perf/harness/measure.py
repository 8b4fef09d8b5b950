"""Runs the plans, interleaved, and keeps every sample."""

import json
import statistics
import subprocess
import sys
import time

from peers import Server, binary

# One run takes seconds; a server that hangs must not stop the rest.
TIMEOUT_S = 240


def run_once(plan, peer, variant):
    """One fresh server, one load, one sample."""
    extra, cores = plan.variants[variant]
    command = ["taskset", "-c", "1", binary("load")]
    command += ["--subscribe", peer.subscribe, "--publish", peer.publish]
    for name, value in plan.load.items():
        command += [f"--{name}", str(value)]
    try:
        with Server(peer, cores, extra) as server:
            pids = ",".join(str(pid) for pid in server.pids())
            command += ["--target", f"127.0.0.1:{server.port}", "--pids", pids]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
    except subprocess.TimeoutExpired:
        return {"error": f"no end after {TIMEOUT_S} s"}
    except RuntimeError as error:
        return {"error": str(error)}
    if done.returncode != 0:
        return {"error": done.stderr.strip()[-400:]}
    return json.loads(done.stdout)


def run_all(plans, peers, repetitions, curve_repetitions):
    """Round robin: every server of a plan has its turn before one has its second.

    Says what was measured as {plan: {server: {"samples": [...]}}}.
    """
    by_name = {peer.name: peer for peer in peers}
    results = {plan.key: {} for plan in plans}
    began = time.monotonic()
    for repetition in range(repetitions):
        for plan in plans:
            if plan.curve and repetition >= curve_repetitions:
                continue
            for name in plan.servers:
                peer = by_name.get(name)
                if peer is None or peer.absent:
                    continue
                for variant in plan.variants:
                    sample = run_once(plan, peer, variant)
                    entry = results[plan.key].setdefault(variant or name, {"samples": []})
                    entry["samples"].append(sample)
                    say(time.monotonic() - began, repetition, plan, variant or name, sample)
    return results


def say(seconds, repetition, plan, name, sample):
    if "error" in sample:
        figures = f"FAILED: {sample['error']}"
    elif "cpu_us_per_delivery" in sample:
        figures = (
            f"{sample['cpu_us_per_delivery']:7.3f} µs a delivery, "
            f"{sample['deliveries_per_s']:9,.0f}/s, p99 {sample['times_us']['each']['p99']:,} µs"
        )
    else:
        figures = (
            f"{sample['connect_cpu_us']:.1f} µs a connection, "
            f"{sample['rss_per_connection_kib']:.2f} KiB each"
        )
    wrong = ", ".join(f"{sample[key]} {key}" for key in FAULTS if sample.get(key))
    print(f"{seconds:6.0f} s  #{repetition + 1}  {plan.key:18} {name:15} {figures}  {wrong}",
          file=sys.stderr, flush=True)


# `closed` is a connection that the server ended.
FAULTS = ("lost", "doubled", "reordered", "closed")


def faults(results, name_of_ours="fanfare"):
    """What Fanfare did wrong, as sentences. The peers' faults are in the report only."""
    found = []
    for key, servers in results.items():
        for name, entry in servers.items():
            if name not in (name_of_ours, "one lane", "two lanes"):
                continue
            for sample in entry["samples"]:
                if "error" in sample:
                    found.append(f"{key}: {sample['error']}")
                found += [f"{key}: {sample[one]} {one}" for one in FAULTS if sample.get(one)]
    return found


class Figures:
    """Medians and ratios of what was measured."""

    def __init__(self, results):
        self.results = results

    def samples(self, key, name, *path):
        values = []
        for sample in self.results.get(key, {}).get(name, {}).get("samples", []):
            for step in path:
                sample = sample.get(step) if isinstance(sample, dict) else None
            values.append(sample)
        return values

    def median(self, key, name, *path):
        values = [value for value in self.samples(key, name, *path) if value is not None]
        return statistics.median(values) if values else None

    def ratio(self, key, ours, theirs, *path, key_of_theirs=None):
        """The median of the ratios of each repetition: what slowed one slowed its neighbour."""
        pairs = zip(self.samples(key, ours, *path),
                    self.samples(key_of_theirs or key, theirs, *path))
        ratios = [our / their for our, their in pairs if our is not None and their]
        return statistics.median(ratios) if ratios else None
