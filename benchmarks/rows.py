"""The bars of the project: which work, against whom, at least how much."""

from __future__ import annotations

from typing import Final

import attrs
from msgspec.structs import replace

from benchmarks.work import BATCH, Work

__all__ = ["BARS", "WORKS", "Bar", "Job", "planWork"]


@attrs.frozen
class Job:
    """A work with its name, its unit, the systems that do it.

    :param basis: a flood's events for each second that it should last are the PACE of its system times this; 0 for others,
        whose count is that of the work.
    """

    name: str
    title: str
    unit: str
    systems: tuple[str, ...]
    work: Work
    basis: float = 0.0


@attrs.frozen
class Bar:
    """NodeSet's median at the work `ours` against that of a system at `theirs`, as a ratio.

    :param figure: `value`, `p50` or `p99` of the runs.
    :param least: 0 where the ratio is only shown.
    :param above: whether the ratio must be at least `least` (else at most); for memory of one dispatcher it is no ratio but
        MiB, `theirs` is empty.
    """

    ours: str
    theirs: str
    system: str
    least: float = 0.0
    aim: float = 0.0
    figure: str = "value"
    above: bool = True


CALLERS: Final = ("nodeset", "nats", "zeromq", "rabbitmq", "crossbar", "foolscap")

#: Everything that is run. The counts of floods come from the systems' PACE.
WORKS: Final = (
    Job(
        "publish",
        "events/s 1 -> 1, publish",
        "/s",
        ("nodeset", "nats", "zeromq", "redis", "mosquitto", "rabbitmq", "crossbar"),
        Work("publish", 0),
        1.0,
    ),
    Job("granted", "events/s 1 -> 1, under grants of 5 links", "/s", ("nodeset",), Work("publish", 0, links=5), 1.0),
    Job("many", "events/s 1 -> 1, publishMany", "/s", ("nodeset", "nats_batched"), Work("many", 0), 1.0),
    Job("fan", "deliveries/s 1 -> 10", "/s", ("nodeset", "nats", "zeromq"), Work("publish", 0, subscribers=10), 0.25),
    Job("slow", "one way, 200/s", "us", ("nodeset", "nats"), Work("paced", 400, rate=200)),
    Job("fast", "one way, 5,000/s", "us", ("nodeset", "nats"), Work("paced", 10_000, rate=5_000)),
    Job(
        "mixed",
        "100 events, 10 publishers, 50 B to 64 KiB",
        "MB/s",
        ("nodeset", "nats"),
        Work("mixed", 6_000, publishers=10, window=200),
    ),
    Job("one", "events/s, one of 4 workers", "/s", ("nodeset", "nats"), Work("one", 0, subscribers=4), 1.0),
    Job("stall", "dispatcher, a stalled subscriber", "MiB", ("nodeset",), Work("stall", 0, window=100_000), 1.5),
    Job("idle", "broker, an idle node", "KiB", ("nodeset", "foolscap"), Work("hold", 100, publishers=20)),
    Job("call", "calls/s, one after the other", "/s", CALLERS, Work("call", 0, window=1), 1.0),
    Job("calls", "calls/s, 100 under way", "/s", CALLERS, Work("call", 0, window=100), 1.0),
    Job("stream", "node to node, chunks of 64 KiB", "MB/s", ("nodeset", "tls"), Work("stream", 0), 1.0),
)

BARS: Final = (
    Bar("publish", "publish", "nats", 1.8, 4),
    Bar("publish", "publish", "zeromq", 1.8, 4),
    Bar("granted", "publish", "nodeset", 0.98, 1),
    Bar("many", "publish", "nats", 2.5, 5),
    Bar("many", "publish", "zeromq", 2.5, 5),
    Bar("many", "many", "nats_batched", 0.5, 1),
    Bar("fan", "fan", "nats", 2.5, 4),
    Bar("fan", "fan", "zeromq", 2.5, 4),
    Bar("publish", "publish", "redis", 2.5, 5),
    Bar("publish", "publish", "mosquitto", 2.5, 5),
    Bar("publish", "publish", "rabbitmq", 2.5, 5),
    Bar("publish", "publish", "crossbar", 2.5, 5),
    Bar("slow", "slow", "nats", 2, 1, "p50", above=False),
    Bar("slow", "slow", "nats", 2, 1, "p99", above=False),
    Bar("fast", "fast", "nats", 2, 1, "p50", above=False),
    Bar("fast", "fast", "nats", 2, 1, "p99", above=False),
    Bar("mixed", "mixed", "nats", 1, 2),
    Bar("one", "one", "nats", 1.8, 4),
    Bar("stall", "", "", 16, 8, above=False),
    Bar("idle", "idle", "foolscap", 1.1, 1, above=False),
    Bar("call", "call", "nats", 0.6, 1),
    Bar("calls", "calls", "nats", 2, 4),
    *(Bar(work, work, system) for work in ("call", "calls") for system in CALLERS[2:]),
    Bar("stream", "stream", "tls", 0.6, 0.9),
)


def planWork(job: Job, pace: int, seconds: float, scale: int) -> Work:
    """The work of a job for a system that reaches `pace` events/s: floods last about `seconds`, else `scale` times as many."""
    if not job.basis:
        return replace(job.work, count=job.work.count * scale)
    if job.work.kind in ("call", "stream"):
        return replace(job.work, count=int(pace * seconds))
    # Whole blobs of the batching by hand.
    return replace(job.work, count=max(10, int(pace * seconds * job.basis) // BATCH) * BATCH)
