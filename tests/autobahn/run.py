#!/usr/bin/env python3
"""The Autobahn test suite against a running gateway.

    pip install kosoku==0.1.0
    tests/autobahn/run.py target/release/fanfare            all 517 cases
    tests/autobahn/run.py target/debug/fanfare '1.*' 7.5.1  some of them

Each case has a connection of its own to a plain session on a channel of its own, whose subscriber it
alone is: so it gets back what it sends, which is the echo that the suite expects. Limits are raised
where a case sends more than a gateway should take from anybody.

It passes if every case is OK or INFORMATIONAL, in what was said and in how it was closed.
"""

import argparse
import asyncio
import collections
import os
import re
import subprocess
import sys
import tempfile

from kosoku import FailureError, run_fuzzingclient
from kosoku.cases import CASES

VARIABLES = {
    # Section 9 sends messages of 16 MiB, and 4 MiB in 65,536 fragments.
    "FANFARE_MESSAGES_MESSAGE_BYTES_MAX": str(16 << 20),
    "FANFARE_MESSAGES_FRAGMENTS_MAX": str(1 << 17),
    "FANFARE_HUB_OUTBOX_BYTES_MAX": str(64 << 20),
    "FANFARE_HUB_OUTBOX_AGE_MAX_MS": "60000",
    "FANFARE_HUB_FRAME_TIMEOUT_MS": "60000",
    # So that everything is compressed which gets shorter by it.
    "FANFARE_DEFLATE_MIN_BYTES": "0",
}

# A message that the suite has got hold of without inflating reaches its sections 12 and 13 as a
# text, which they cannot hash. But a server may send any message as it is, and does where deflate
# does not make it shorter.
def take_plain_messages():
    def taking(on_message):
        def take(self, message, binary):
            if isinstance(message, str):
                message = message.encode("latin-1" if binary else "utf-8")
            on_message(self, message, binary)

        return take

    for case, of in CASES.items():
        if number(case)[0] in (12, 13):
            of.onMessage = taking(of.onMessage)


GOOD = {"OK", "INFORMATIONAL"}


def start(program):
    """Starts a gateway on a free port; returns the process and its address."""
    log = tempfile.NamedTemporaryFile("w+", prefix="autobahn-", suffix=".log")
    gateway = subprocess.Popen(
        [program, "serve", "--listen", "127.0.0.1:0"],
        env={**os.environ, **VARIABLES},
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    for _ in range(100):
        with open(log.name) as lines:
            found = re.search(r"http://([0-9.:]+)", lines.read())
        if found:
            return gateway, found[1]
        if gateway.poll() is not None:
            break
        try:
            gateway.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    gateway.kill()
    sys.exit(f"{program} does not listen:\n{open(log.name).read()}")


async def run_case(address, case, gate):
    """Runs one case on a channel of its own."""
    async with gate:
        url = f"ws://{address}/ws?channel=case-{case}"
        try:
            results = await run_fuzzingclient(url, [case])
        except FailureError as failure:
            results = failure.results
        assert [result.case_id for result in results] == [case], f"{case} ran once"
        return results[0]


def number(case):
    return [int(part) for part in case.split(".")]


def chosen(patterns):
    """The cases to run, those that take long first."""
    tests = [re.compile(re.escape(pattern).replace(r"\*", ".*")) for pattern in patterns]
    cases = [case for case in CASES if any(test.fullmatch(case) for test in tests)]
    if not cases:
        sys.exit(f"no case is called {' or '.join(patterns)}")
    return sorted(cases, key=lambda case: (number(case)[0] < 9, number(case)))


def report(results):
    """Prints what came out; returns whether it is good."""
    sections = collections.defaultdict(collections.Counter)
    bad = []
    for result in sorted(results, key=lambda result: number(result.case_id)):
        said, closed = result.behavior.value, result.behavior_close.value
        section = number(result.case_id)[0]
        sections[section][said if closed == "OK" else f"{said}, closed {closed}"] += 1
        if said not in GOOD or closed not in GOOD:
            bad.append(f"{result.case_id}: {said}: {result.result} / {closed}: {result.result_close}")
    for section, counts in sorted(sections.items()):
        print(f"section {section:2}: {', '.join(f'{n} {what}' for what, n in sorted(counts.items()))}")
    print("\n".join(bad) or f"{len(results)} cases, none bad")
    return not bad


async def run(address, cases, parallel):
    gate = asyncio.Semaphore(parallel)
    return await asyncio.gather(*(run_case(address, case, gate) for case in cases))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", default=os.environ.get("FANFARE", "target/release/fanfare"))
    parser.add_argument("cases", nargs="*", default=["*"], help="ids or patterns with *")
    parser.add_argument("-p", "--parallel", type=int, default=4, help="cases at once")
    arguments = parser.parse_args()
    take_plain_messages()
    gateway, address = start(arguments.program)
    try:
        results = asyncio.run(run(address, chosen(arguments.cases), arguments.parallel))
        died = gateway.poll()
    finally:
        gateway.terminate()
        gateway.wait()
    if died is not None:
        sys.exit(f"the gateway ended with {died}")
    sys.exit(0 if report(results) else 1)


if __name__ == "__main__":
    main()
