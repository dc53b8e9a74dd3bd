"""How long events have to live.

On the wire a time to live is the milliseconds that are left, 0 for ever. `OVER` says that it is over: such a run still travels
when it was sent before, so that whoever had it then can say so, and is new to nobody any more. Whoever holds a run keeps the
moment at which its life is over instead, in milliseconds of his own monotonic clock.
"""

from __future__ import annotations

from typing import Final

import msgspec

from nodeset.core.batch import Events

__all__ = ["MOST", "OVER", "aged", "endOf", "isOver", "leftOf", "resent"]

#: What is left of a life that is over.
OVER: Final = 1
#: Milliseconds of the longest life, some 30 years: so that no sum leaves the numbers that the wire has.
MOST: Final = 10**12


def endOf(ttl: int, now: float) -> int:
    """When a life of which `ttl` milliseconds are left is over."""
    return int(now * 1000) + min(ttl, MOST)


def leftOf(end: int, now: float) -> int:
    """What is left at `now` of a life that is over at `end`."""
    return max(OVER, end - int(now * 1000))


def isOver(end: int, now: float) -> bool:
    """Whether it is over at `now`."""
    return end - int(now * 1000) <= OVER


def aged(batch: list[Events], now: float) -> tuple[list[Events], list[Events]]:
    """Runs that are about to be sent, each with what is left of its life; then those that shall not be sent any more.

    The runs themselves are left as they are: other queues hold them too.
    """
    alive: list[Events] = []
    over: list[Events] = []
    for run in batch:
        if run.ttl and isOver(run.ttl, now) and not run.again:
            over.append(run)
        else:
            alive.append(msgspec.structs.replace(run, ttl=leftOf(run.ttl, now)) if run.ttl else run)
    return alive, over


def resent(run: Events) -> Events:
    """The same, to one who may have had it: then he says so, however old it is by then."""
    return msgspec.structs.replace(run, again=True) if run.ttl else run
