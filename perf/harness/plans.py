"""What is measured: the scenarios, their sizes, and the servers of each."""

from dataclasses import dataclass, field

PEERS = ["nchan", "axum", "tungstenite", "ws", "gorilla"]


@dataclass
class Plan:
    """One scenario. `load` are the arguments of the load generator."""

    key: str
    servers: list
    load: dict
    title: str
    # Arguments of the server, and the cores that it may use, by name of the server's variant.
    variants: dict = field(default_factory=lambda: {"": ((), "0")})
    curve: str = ""
    x: int = 0


def window(subscribers, under_way, seconds, **more):
    return {"subscribers": subscribers, "window": under_way, "seconds": seconds, **more}


def full():
    """The scenarios behind the table and the curves."""
    plans = scenarios(2_000, 10_000, seconds=2.0, rate=500)
    plans += curves(
        [100, 300, 1_000, 3_000, 5_000, 10_000, 15_000],
        [1, 10, 100, 1_000, 10_000],
        5_000,
        [1_000, 2_000, 5_000, 10_000],
    )
    return plans


def short():
    """The same, smaller, for a look and for correctness."""
    plans = scenarios(500, 2_000, seconds=0.7, rate=200)
    plans += curves([100, 1_000], [1, 100, 1_000], 500, [500, 2_000])
    return plans


def scenarios(some, many, seconds, rate):
    lanes = {
        "one lane": (("--set", "hub.lanes=1"), "0"),
        "two lanes": (("--set", "hub.lanes=2"), "0,1"),
    }
    own = ["fanfare"]
    return [
        Plan("lone", ["fanfare", "floor", *PEERS], window(some, 1, seconds),
             f"one message at a time, {some:,} subscribers"),
        Plan("lone-many", ["fanfare", "floor", *PEERS], window(many, 1, seconds),
             f"one message at a time, {many:,} subscribers"),
        Plan("burst", ["fanfare", "floor-coalesce", *PEERS], window(some, 32, seconds),
             f"32 in flight, {some:,} subscribers"),
        Plan("stream", ["fanfare", "floor-coalesce"],
             {"subscribers": many, "rate": rate, "seconds": 2 * seconds},
             f"{many:,} subscribers at {rate} messages/s"),
        Plan("mixed", ["fanfare", "floor"], window(some, 32, seconds, channels=1_000, each=10),
             f"{some:,} sessions in 10 of 1,000 channels each, 32 in flight"),
        Plan("idle", ["fanfare", "floor", *PEERS], {"subscribers": many},
             f"{many:,} connections made one after the other, then idle"),
        Plan("beside", own, window(many, 32, 3 * seconds, small=10, **{"small-rate": 200}),
             f"10 subscribers beside {many:,} with 32 in flight"),
        Plan("stalled-none", own, {"subscribers": some, "rate": 50, "seconds": 8, "bytes": 1_024},
             f"{some:,} subscribers at 50 messages/s of 1 KiB"),
        Plan("stalled", own,
             {"subscribers": some, "stalled": some // 10, "rate": 50, "seconds": 8, "bytes": 1_024},
             "the same, and a tenth as many that have stopped reading"),
        Plan("json", own, window(some, 1, 2 * seconds, bytes=1_024, json="yes"),
             f"JSON of 1 KiB, one message at a time, {some:,} subscribers"),
        Plan("json-deflate", own,
             window(some, 1, 2 * seconds, bytes=1_024, json="yes", deflate="yes"),
             "the same with permessage-deflate"),
        Plan("lanes-lone", own, window(some, 1, seconds),
             f"one message at a time, {some:,} subscribers", lanes),
        Plan("lanes-burst", own, window(some, 32, seconds),
             f"32 in flight, {some:,} subscribers", lanes),
    ]


def curves(subscribers, channels, sessions, joiners):
    both = ["fanfare", "floor"]
    plans = []
    for count in subscribers:
        plans.append(Plan(f"subscribers-{count}", both, window(count, 1, 1.5),
                          f"{count:,} subscribers, one message at a time",
                          curve="subscribers", x=count))
    for count in channels:
        each = min(4, count)
        plans.append(Plan(f"channels-{count}", both,
                          window(sessions, 32, 1.5, channels=count, each=each),
                          f"{sessions:,} sessions, each in {each} of {count:,} channels",
                          curve="channels", x=count))
    for count in joiners:
        # The bare loop takes one connection a turn, and with many members a turn is long.
        plans.append(Plan(f"storm-{count}", ["fanfare"],
                          {"subscribers": 100, "rate": 10, "seconds": 1, "joiners": count,
                           "connecting": 64},
                          f"{count:,} join at once at 10 messages/s", curve="storm", x=count))
    return plans
