"""Who descends from whom, as /proc tells it."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable

__all__ = ["Process", "below", "children", "isSame", "membersOf", "read", "readAll", "sendTo", "walk"]


_CHILDREN = "/proc/{me}/task/{me}/children"


class Process:
    """A line of /proc: `start` is in clock ticks after boot, which with `pid` is never the same for two."""

    __slots__ = ("pgid", "pid", "ppid", "sid", "start", "state", "threads")

    def __init__(self, pid: int, state: str, ppid: int, pgid: int, sid: int, threads: int, start: int) -> None:
        self.pid, self.state, self.ppid, self.pgid, self.sid = pid, state, ppid, pgid, sid
        self.threads, self.start = threads, start

    @property
    def alive(self) -> bool:
        """Whether any of it still runs: one whose first thread ended looks like a zombie, though others go on."""
        return self.state not in "ZXx" or self.threads > 1


def parse(text: str) -> Process:
    """A line of /proc/PID/stat; the name in it may hold anything, parentheses as well."""
    pid, _, rest = text.partition(" ")
    fields = rest[rest.rindex(")") + 2 :].split(" ", 20)
    return Process(int(pid), fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[17]), int(fields[19]))


def read(pid: int) -> Process | None:
    """This process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            return parse(file.read())
    except (OSError, ValueError):
        return None


def readAll() -> dict[int, Process]:
    """All processes of this machine that we can see, by pid."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdecimal():
            process = read(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def children() -> list[int]:
    """The pids of our own children, zombies too. We have one thread, so those of that thread are all."""
    me = os.getpid()
    try:
        with open(_CHILDREN.format(me=me), encoding="ascii") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        # A kernel without CONFIG_PROC_CHILDREN.
        return [process.pid for process in readAll().values() if process.ppid == me]


def walk(roots: Iterable[int]) -> dict[int, Process]:
    """These processes with all their descendants, by pid: what `readAll` has of them, without reading all the rest."""
    if not os.path.exists(_CHILDREN.format(me=os.getpid())):  # noqa: PTH110
        return readAll()
    found: dict[int, Process] = {}
    todo = list(roots)
    while todo:
        process = read(todo.pop())
        if process is None or process.pid in found:
            continue
        found[process.pid] = process
        try:
            for thread in os.listdir(f"/proc/{process.pid}/task"):  # noqa: PTH208
                with open(f"/proc/{process.pid}/task/{thread}/children", encoding="ascii") as file:  # noqa: PTH123
                    todo.extend(map(int, file.read().split()))
        except OSError:
            # It went meanwhile, its children to somebody else.
            pass
    return found


def below(roots: Iterable[int], table: dict[int, Process], without: Container[int] = ()) -> set[int]:
    """All descendants of `roots` in the table, without the roots; what is in `without` is left out with all below it."""
    under: dict[int, list[int]] = {}
    for process in table.values():
        under.setdefault(process.ppid, []).append(process.pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        for pid in under.get(todo.pop(), ()):
            if pid not in found and pid not in without:
                found.add(pid)
                todo.append(pid)
    return found


def membersOf(leaders: Container[int], table: dict[int, Process]) -> set[int]:
    """Who lives in a group or a session that one of these leaders began, itself too."""
    return {p.pid for p in table.values() if p.alive and (p.pgid in leaders or p.sid in leaders)}


def isSame(seen: Process, now: Process | None) -> bool:
    """Whether a pid still stands for the process that was seen."""
    return now is not None and (now.pid, now.start) == (seen.pid, seen.start)


def sendTo(seen: Process, number: int) -> int | None:
    """Send a signal to the very process that was seen: 0 if it was sent, else why not as an errno; None if it is gone.

    The pidfd is opened first, then looked at what it stands for: a pid that changed hands in between is never hit.
    """
    try:
        pidfd = os.pidfd_open(seen.pid)
    except ProcessLookupError:
        return None
    except OSError as e:
        return e.errno
    try:
        if not isSame(seen, read(seen.pid)):
            return None
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return None
    except OSError as e:
        return e.errno
    finally:
        os.close(pidfd)
    return 0
