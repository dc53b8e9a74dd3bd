"""Ending processes until none of them is left."""

from __future__ import annotations

import os
import select
import signal
import time

from nodeset.processes.guard import lineage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Table = dict[int, lineage.Process]

__all__ = ["endAll"]

#: Milliseconds that those who were killed have to go, before we look again.
_GOING = 100
#: So often they are killed as they are found; who multiplies faster is frozen first.
_QUICK = 2


def endAll(choose: Callable[[Table], set[int]], reap: Callable[[], None], seconds: float) -> int:
    """Kill those whom `choose` picks from the table of all processes, again until it picks none; how many are left.

    `reap` is called after each round to take the zombies among them, which would be picked for ever. It gives up after
    `seconds`, or when only those are left that are not ours to kill.
    """
    until = time.monotonic() + seconds
    rounds = 0
    while True:
        doomed = _pick(choose)
        if not doomed:
            return 0
        if time.monotonic() > until:
            return len(doomed)
        if rounds >= _QUICK:
            doomed = _freeze(choose, until)
        denied = [lineage.sendTo(each, signal.SIGKILL) for each in doomed]
        if doomed and all(denied):
            # An errno for each: they belong to somebody else.
            return len(doomed)
        _await(doomed)
        reap()
        rounds += 1


def _pick(choose: Callable[[Table], set[int]]) -> list[lineage.Process]:
    table = lineage.readAll()
    return [table[pid] for pid in choose(table) if table[pid].alive]


def _freeze(choose: Callable[[Table], set[int]], until: float) -> list[lineage.Process]:
    """Stop them all, those too that are born meanwhile: who is stopped has no more children."""
    frozen: dict[int, lineage.Process] = {}
    while time.monotonic() < until:
        fresh = [each for each in _pick(choose) if not lineage.isSame(each, frozen.get(each.pid))]
        if not fresh:
            break
        for each in fresh:
            lineage.sendTo(each, signal.SIGSTOP)
            frozen[each.pid] = each
    return list(frozen.values())


def _await(doomed: list[lineage.Process]) -> None:
    """Until they are dead, or for a moment."""
    poll = select.poll()
    files = []
    for each in doomed[:1000]:
        try:
            file = os.pidfd_open(each.pid)
        except OSError:
            continue
        poll.register(file, select.POLLIN)
        files.append(file)
    until = time.monotonic() + _GOING / 1000
    left = set(files)
    while left and (rest := until - time.monotonic()) > 0:
        for file, _ in poll.poll(rest * 1000):
            poll.unregister(file)
            left.discard(file)
    for file in files:
        os.close(file)
