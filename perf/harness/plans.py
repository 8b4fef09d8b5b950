"""What is measured: the scenarios, their sizes, and the servers of each."""

from dataclasses import dataclass, field, replace

# The peers, and the most times as many turns as others that each has: a limit is about gorilla, which is far
# from it.
PEERS = {"nchan": 1, "axum": 1, "tungstenite": 1, "ws": 1, "gorilla": 3}

# Of messages that are JSON: a stamp takes 32 bytes, and has to be near the beginning.
STAMP_BYTES = 32


@dataclass
class Plan:
    """One scenario: `bench` are the arguments of `fanfare bench`, by name."""

    key: str
    servers: list
    scenario: str
    bench: dict
    title: str
    # Arguments of the server, and the cores that it may use, by name of the server's variant.
    variants: dict = field(default_factory=lambda: {"": ((), "0")})
    curve: str = ""
    x: int = 0
    # Times as many turns as others have, for Fanfare and the floor: where the limit is so near that the
    # median of five would say more about the machine. Half of the turns are off by more than a tenth here,
    # so the median of n by about a fifth through the root of n: of 20 by 0.05, of 40 by 0.03.
    turns: int = 1

    def turns_of(self, server):
        """Times as many, for this one."""
        return min(self.turns, PEERS.get(server, self.turns))


def burst(subscribers, window, seconds, **more):
    return {"subscribers": subscribers, "window": window, "duration": ms(seconds), **more}


def ms(seconds):
    return f"{round(seconds * 1e3)}ms"


def full():
    """The scenarios behind the table and the curves."""
    plans = scenarios(2_000, 10_000, seconds=2.0, rate=500, peers_with_many=PEERS)
    plans += curves(
        [100, 300, 1_000, 3_000, 5_000, 10_000, 15_000],
        [1, 10, 100, 1_000, 10_000],
        5_000,
        [1_000, 2_000, 5_000, 10_000],
    )
    return plans


def short():
    """The same, smaller, for a look and for correctness."""
    plans = scenarios(500, 2_000, seconds=0.7, rate=200, peers_with_many=[])
    plans += curves([100, 1_000], [1, 100, 1_000], 500, [500, 2_000])
    return [replace(plan, turns=1) for plan in plans]


def scenarios(some, many, seconds, rate, peers_with_many):
    lanes = {
        "one lane": (("--set", "hub.lanes=1"), "0"),
        "two lanes": (("--set", "hub.lanes=2"), "0,1"),
    }
    own = ["fanfare"]
    readers = some // 2
    json = {"message-bytes": STAMP_BYTES, "publish-body": json_body(1_024)}
    # Long enough for those that stall to be evicted, which takes 5 s.
    steady = {"rate": 50, "duration": ms(4 * seconds), "message-bytes": 1_024}
    return [
        Plan("lone", ["fanfare", "floor", *PEERS], "burst", burst(some, 1, seconds / 2),
             f"one message at a time, {some:,} subscribers", turns=8),
        Plan("lone-many", ["fanfare", "floor", *peers_with_many], "burst",
             burst(many, 1, seconds),
             f"one message at a time, {many:,} subscribers", turns=5),
        Plan("burst", ["fanfare", "floor-coalesce", *PEERS], "burst", burst(some, 32, seconds / 2),
             f"32 in flight, {some:,} subscribers", turns=10),
        Plan("stream", ["fanfare", "floor-coalesce"], "fanout",
             {"subscribers": many, "rate": rate, "duration": ms(2 * seconds)},
             f"{many:,} subscribers at {rate} messages/s", turns=3),
        Plan("mixed", ["fanfare", "floor"], "burst",
             burst(some, 32, seconds, channels=1_000, **{"per-session": 10}),
             f"{some:,} sessions in 10 of 1,000 channels each, 32 in flight", turns=3),
        Plan("idle", ["fanfare", "floor", *PEERS], "idle",
             {"subscribers": many, "connect-parallel": 1, "settle": "1s", "duration": "100ms"},
             f"{many:,} connections made one after the other, then idle", turns=8),
        Plan("beside", own, "beside",
             burst(many, 32, 2 * seconds, **{"small-subscribers": 10, "small-rate": 200}),
             f"10 subscribers beside {many:,} with 32 in flight", turns=2),
        # 8 of the 20 ms between two messages. Twice as many took four fifths of a core, where how long the
        # queue gets is decided by the machine's pauses: the ratio was 0.4 to 3.0, and with these 0.8 to 1.4.
        Plan("stalled-none", own, "stalled",
             {**steady, "subscribers": readers, "stalled-percent": 0},
             f"{readers:,} subscribers at 50 messages/s of 1 KiB", turns=2),
        Plan("stalled", own, "stalled",
             {**steady, "subscribers": readers * 10 // 9, "stalled-percent": 10},
             "the same, and a tenth of all have stopped reading", turns=2),
        # Own CPU is a sixteenth of all, and the kernel looks 250 times a second whose turn it is: of a second it
        # sees 15 times that it is ours, give or take 4. So these take longer.
        Plan("json", own, "burst", burst(some, 1, 3 * seconds, **json),
             f"JSON of 1 KiB, one message at a time, {some:,} subscribers", turns=2),
        Plan("json-deflate", own, "burst", burst(some, 1, 3 * seconds, deflate=True, **json),
             "the same with permessage-deflate", turns=2),
        Plan("lanes-lone", own, "burst", burst(some, 1, seconds / 2),
             f"one message at a time, {some:,} subscribers", lanes, turns=4),
        Plan("lanes-burst", own, "burst", burst(some, 32, seconds / 2),
             f"32 in flight, {some:,} subscribers", lanes, turns=4),
    ]


def curves(subscribers, channels, sessions, joiners):
    both = ["fanfare", "floor"]
    plans = []
    for count in subscribers:
        plans.append(Plan(f"subscribers-{count}", both, "burst", burst(count, 1, 1.5),
                          f"{count:,} subscribers, one message at a time",
                          curve="subscribers", x=count))
    for count in channels:
        each = min(4, count)
        plans.append(Plan(f"channels-{count}", both, "burst",
                          burst(sessions, 32, 1.5, channels=count, **{"per-session": each}),
                          f"{sessions:,} sessions, each in {each} of {count:,} channels",
                          curve="channels", x=count))
    for count in joiners:
        plans.append(Plan(f"storm-{count}", ["fanfare"], "storm",
                          {"subscribers": count, "rate": 10, "duration": "2s"},
                          f"{count:,} cut off that come back at once, at 10 messages/s",
                          curve="storm", x=count))
    return plans


def json_body(length):
    """JSON with a place for the stamp: quotes with figures that differ, which deflate to about half."""
    head, tail = '{"id":"{message}","quotes":[', "]}"
    room = length - STAMP_BYTES - len(head) + len("{message}") - len(tail)
    seed, quotes = 0x2545F491, []
    while True:
        seed = (seed * 1_664_525 + 1_013_904_223) % (1 << 32)
        high, low = seed >> 16, seed & 0xFFFF
        up = "true" if low % 2 == 0 else "false"
        quote = (f'{{"symbol":"S{high % 997:03}","price":{high % 311}.{low % 100:02},'
                 f'"volume":{low},"up":{up}}}')
        if len(",".join([*quotes, quote])) > room:
            break
        quotes.append(quote)
    # White space is allowed in JSON.
    text = ",".join(quotes)
    return head + text + " " * (room - len(text)) + tail
