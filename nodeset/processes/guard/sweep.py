"""Ending processes until none of them is left."""

from __future__ import annotations

import os
import select
import signal
import time

from nodeset.processes.guard import lineage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Table = dict[int, lineage.Process]

__all__ = ["endAll"]

#: Seconds that those who were killed have to go, before we look again.
_GOING = 0.1
#: So often they are killed as they are found; who multiplies faster is chased, frozen, then killed.
_QUICK = 2
#: Seconds of a chase, of freezing.
_CHASE, _FREEZE = 0.5, 0.5


def endAll(
    choose: Callable[[Table], set[int]],
    seconds: float,
    *,
    groups: Iterable[int] = (),
    heads: Callable[[], list[int]],
    reap: Callable[[], None],
) -> int:
    """Kill those whom `choose` picks from the table of all processes, again until it picks none; how many are left.

    First whole `groups`, which takes all their members at one stroke; the caller knows that the numbers are those of the groups
    that are meant. `heads` are those among our own children that are to be killed, found quickly. `reap` is called after each
    round to take the zombies. It gives up after `seconds`, or when only those are left that are not ours to kill.
    """
    until = time.monotonic() + seconds
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            # Nobody in it, or nobody of ours.
            pass
    rounds = 0
    while True:
        doomed = _pick(choose)
        if not doomed and not heads():
            return 0
        if time.monotonic() > until:
            return max(len(doomed), 1)
        if rounds >= _QUICK:
            _chase(heads)
            doomed = _freeze(choose)
        denied = [lineage.sendTo(each, signal.SIGKILL) for each in doomed]
        if doomed and all(denied):
            # An errno for each: they belong to somebody else.
            return len(doomed)
        _await(doomed)
        reap()
        rounds += 1


def _chase(heads: Callable[[], list[int]]) -> None:
    """Kill whoever becomes our child by the death of its parent, for a while.

    A program that forks and ends, and so on, is over before a look through /proc is; yet each of them is our child, whose
    number is nobody else's before we take its zombie.
    """
    until = time.monotonic() + _CHASE
    while time.monotonic() < until:
        found = heads()
        if not found:
            break
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
            except OSError:
                # Taken already, or somebody else's.
                pass


def _pick(choose: Callable[[Table], set[int]]) -> list[lineage.Process]:
    table = lineage.readAll()
    return [table[pid] for pid in choose(table) if table[pid].alive]


def _freeze(choose: Callable[[Table], set[int]]) -> list[lineage.Process]:
    """Stop them all, those too that are born meanwhile: who is stopped has no more children."""
    until = time.monotonic() + _FREEZE
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
    until = time.monotonic() + _GOING
    left = set(files)
    while left and (rest := until - time.monotonic()) > 0:
        for file, _ in poll.poll(rest * 1000):
            poll.unregister(file)
            left.discard(file)
    for file in files:
        os.close(file)
