"""What can be measured, with what came of it."""

from __future__ import annotations

from typing import Any, Final

import attrs

__all__ = ["USUAL", "WORKS", "Plan", "Result", "Work", "judge"]


@attrs.frozen
class Work:
    """One thing to measure; `kind` as in `Task`."""

    title: str
    kind: str
    unit: str
    fans: bool = False
    under_way: int = 100


WORKS: Final[dict[str, Work]] = {
    "publish": Work("publish 1 -> 1", "publish", "events/s"),
    "many": Work("publishMany 1 -> 1", "many", "events/s"),
    "fan": Work("publish 1 -> {}", "publish", "deliveries/s", fans=True),
    "calls": Work("calls, {} under way", "call", "calls/s"),
    "call": Work("calls, one after the other", "call", "calls/s", under_way=1),
    "latency": Work("one way at {}/s", "paced", "events/s"),
}
#: Those that are measured when none is named: every question of a newcomer once.
USUAL: Final = ("publish", "many", "fan", "calls", "latency")


@attrs.frozen
class Plan:
    """How everything is measured.

    :ivar count: events of each work in all; 0: as many as there is time for.
    :ivar seconds: that each work lasts.
    :ivar size: bytes of an event, about; 0: the usual 110.
    :ivar fan: subscribers of the work `fan`.
    :ivar rate: events a second where they are paced.
    :ivar prefix: what the names of the events begin with.
    """

    count: int = 0
    seconds: float = 2.0
    size: int = 0
    publishers: int = 1
    fan: int = 4
    rate: int = 1_000
    under_way: int = 100
    prefix: str = "bench"

    def describe(self, work: Work) -> str:
        """The title of a work under this plan."""
        number = self.fan if work.fans else self.rate if work.kind == "paced" else self.under_way
        title = work.title.format(f"{number:,}")
        who = "callers" if work.kind == "call" else "publishers"
        return title if self.publishers == 1 else f"{title}, {self.publishers} {who}"


@attrs.frozen
class Result:
    """What came of a work.

    :ivar value: in its unit.
    :ivar p50: seconds, of one way where events are paced, of the round trip of calls; None else.
    :ivar events: published (calls made) and confirmed.
    :ivar wrong: empty if every event arrived once, in order (every call had its own answer).
    :ivar refused: whether that is because the dispatcher does not allow it.
    :ivar interrupted: whether the link to the dispatcher was lost for a while, which the figures have in them.
    """

    work: str
    title: str
    unit: str
    value: float
    p50: float | None
    p99: float | None
    events: int
    seconds: float
    wrong: str
    refused: bool = False
    interrupted: bool = False

    def verdict(self) -> str:
        """What of it was checked, in words."""
        if self.wrong:
            return f"WRONG: {self.wrong}"
        found = "each its own answer" if self.unit == "calls/s" else "each once, in order"
        return f"{found}, though the dispatcher was gone for a while" if self.interrupted else found


def judge(name: str, plan: Plan, sent: list[dict[str, Any]], tallies: list[dict[str, Any]]) -> Result:
    """What the two sides told, as a result: `sent` of each publisher, `tallies` of each that took."""
    work = WORKS[name]
    complaints = [f"publisher: {told['wrong']}" for told in sent if told["wrong"]]
    if not complaints:  # else takers were never told how many there were to be
        complaints = [told["wrong"] for told in tallies if told["wrong"]]
    events = sum(told["sent"] for told in sent)
    confirmed = sum(told["confirmed"] for told in sent)
    if not complaints and confirmed != events:
        complaints.append(f"{confirmed} of {events} were confirmed")
    calls = work.kind == "call"
    if calls and not complaints and (ran := sum(told["got"] for told in tallies)) != events:
        complaints.append(f"{ran} calls were run for {events} answers")
    ends = [told["end"] for told in sent] if calls else [told["last"] for told in tallies if "last" in told]
    seconds = max(ends, default=0.0) - min(told["start"] for told in sent)
    timed = sent if calls else tallies if work.kind == "paced" else []
    return Result(
        name,
        plan.describe(work),
        work.unit,
        events * (len(tallies) if work.fans else 1) / seconds if seconds > 0 else 0.0,
        _worst(timed, "p50"),
        _worst(timed, "p99"),
        events,
        max(0.0, seconds),
        "; ".join(complaints),
        any(told["refused"] for told in sent),
    )


def _worst(told: list[dict[str, Any]], name: str) -> float | None:
    """Microseconds of whoever waited longest, as seconds."""
    return max((each[name] for each in told if each.get(name) is not None), default=0.0) / 1e6 if told else None
