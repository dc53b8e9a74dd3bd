"""One work after the other, each from the first link of its nodes to the leaving of the last."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, FirstError, gatherResults

from nodeset.cli.bench.crew import Hand
from nodeset.cli.bench.task import Task
from nodeset.cli.bench.works import WORKS, Plan, Result, judge

__all__ = ["TAKERS", "hands", "play", "share"]

#: Processes in which the subscribers of one work are; each has its share of the nodes.
TAKERS: Final = 4
#: Seconds for all nodes to link, for what is under way to arrive, for what comes twice to be seen.
_SET: Final = 30.0
_ARRIVE: Final = 60.0
_LINGER: Final = 0.1


def hands(names: Sequence[str], plan: Plan) -> tuple[int, int]:
    """How many processes publish, how many take, for these works."""
    most = plan.fan if any(WORKS[name].fans for name in names) else 1
    return plan.publishers, min(TAKERS, most)


async def play(
    name: str, plan: Plan, publishers: Sequence[Hand], takers: Sequence[Hand], sleep: Callable[[float], Deferred[None]]
) -> Result:
    """Do the work of this name. Raises `GaveUp` when it cannot be done."""
    work = WORKS[name]
    matches = plan.fan if work.fans else 1
    shares = share(matches, min(matches, len(takers)))
    takers = takers[: len(shares)]
    label = f"{plan.prefix}.{secrets.token_hex(6)}"
    each = -(-plan.count // plan.publishers)
    common = Task(
        "take",
        work.kind,
        label.replace(".", "-") if work.kind == "call" else label,
        count=each,
        seconds=plan.seconds,
        matches=matches,
        publishers=plan.publishers,
        rate=max(1, plan.rate // plan.publishers),
        under_way=1 if work.under_way == 1 else plan.under_way,
        size=plan.size,
    )
    for hand in (*takers, *publishers):
        hand.at = 0
    await _all([_ask(hand, msgspec.structs.replace(common, nodes=nodes)) for hand, nodes in zip(takers, shares, strict=True)])
    await _all(
        [_ask(hand, msgspec.structs.replace(common, side="publish", source=index)) for index, hand in enumerate(publishers)]
    )
    patience = (plan.seconds if not plan.count else plan.count / 100) + _ARRIVE
    for hand in publishers:
        hand.tell("go")
    sent: list[dict[str, Any]] = await _all([hand.hear("done", patience) for hand in publishers])
    if work.kind != "call" and not any(told["wrong"] for told in sent):
        for hand in takers:
            hand.tell("expect", [told["sent"] for told in sent])
        await _all([hand.hear("full", _ARRIVE) for hand in takers])
    await sleep(_LINGER)
    tallies: list[list[dict[str, Any]]] = await _all([_leave(hand) for hand in takers])
    await _all([_leave(hand) for hand in publishers])
    return judge(name, plan, sent, [told for several in tallies for told in several])


def share(total: int, count: int) -> list[int]:
    """So many in so many shares that differ by one at most."""
    return [total // count + (index < total % count) for index in range(count)]


def _ask(hand: Hand, task: Task) -> Deferred[Any]:
    hand.tell("task", msgspec.to_builtins(task))
    return hand.hear("ready", _SET)


def _leave(hand: Hand) -> Deferred[Any]:
    hand.tell("end")
    return hand.hear("tally", _SET)


async def _all(waiting: list[Deferred[Any]]) -> list[Any]:
    """What all of them fire with; what the first one fails with."""
    try:
        return await gatherResults(waiting, consumeErrors=True)
    except FirstError as error:
        raise (error.subFailure.value or error) from None
