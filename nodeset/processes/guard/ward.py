"""One program of a guardian."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import stat

from nodeset.processes.guard import lineage, usher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence

__all__ = ["Ward", "adopt", "makeReport", "readEnds", "treesOf"]

#: Open files that are spared for looking at processes, for receiving those of an order.
_SPARE = 280


class Ward:
    """Its leader is our child; it stays a zombie until nobody of its group is left, so that the number of both stays taken.

    With a terminal the leader is an usher, the program its child.
    """

    __slots__ = ("code", "held", "id", "kill", "pid", "pidfd", "program", "programfd", "report", "said", "shared", "spawned")

    def __init__(self, id: int, pid: int, pidfd: int, report: int, *, kill: bool, shared: bool, held: list[int]) -> None:
        self.id, self.pid, self.pidfd, self.report = id, pid, pidfd, report
        self.kill, self.shared, self.held = kill, shared, held
        #: The program's pid, with a pidfd of it; the leader's own unless that is an usher.
        self.program, self.programfd = pid, pidfd
        #: What the child said that could not become the program.
        self.said = b""
        self.spawned = False
        #: Its exit code, or the number of the signal, negative; None while it runs.
        self.code: int | None = None

    @property
    def ushered(self) -> bool:
        """Whether the leader is an usher."""
        return self.program != self.pid

    def meet(self) -> None:
        """Take note of the program that the leader told of, if it did. Its number is its own as long as we have not settled."""
        if self.said.startswith(usher.WORD):
            word, _, self.said = self.said.partition(b"\n")
            pid = int(word.removeprefix(usher.WORD))
            with contextlib.suppress(OSError):
                self.programfd = os.pidfd_open(pid)
                self.program = pid

    def readCode(self) -> int | None:
        """How it ended, if it did. It stays a zombie."""
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def tree(self, table: dict[int, lineage.Process], others: Container[int], all_of: int) -> set[int]:
        """Who belongs to it in this table, dead or alive: descendants, those of its group, those of its session.

        A shared one has no group of its own: everybody below the guardian `all_of` is its, but for the `others`.
        """
        return treesOf((self,), table, others, all_of)

    def signalOne(self, number: int) -> None:
        signal.pidfd_send_signal(self.programfd, number)

    def signalLeader(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def goOn(self) -> None:
        """Continue the program's group, and the usher, which stands still with it."""
        os.killpg(self.program, signal.SIGCONT)
        self.signalLeader(signal.SIGCONT)

    def free(self) -> None:
        """Give up its files."""
        for file in {self.pidfd, self.programfd, self.report, *self.held}:
            if file >= 0:
                os.close(file)
        self.pidfd = self.programfd = self.report = -1
        self.held = []


def treesOf(wards: Sequence[Ward], table: dict[int, lineage.Process], others: Container[int], all_of: int) -> set[int]:
    """Who belongs to one of these: see `Ward.tree`."""
    if any(ward.shared for ward in wards):
        return lineage.below((all_of,), table, others)
    leaders = {ward.pid for ward in wards}
    members = {pid for pid in lineage.membersOf(leaders, table) if pid not in others} | (leaders & table.keys())
    return members | lineage.below(members, table, others)


def readEnds(files: Sequence[int]) -> list[int]:
    """Another read end for each of these files that is a pipe: while it is open, who writes into it gets no SIGPIPE."""
    found = []
    for file in files:
        if stat.S_ISFIFO(os.fstat(file).st_mode):
            with contextlib.suppress(OSError):
                found.append(os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    return found


def makeReport() -> tuple[int, int]:
    """The ends of a pipe for a child's report. OSError if too few open files are left for it to be started."""
    report, said = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    if _isScarce(said):
        os.close(report)
        os.close(said)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return report, said


def adopt(pid: int) -> int:
    """A pidfd of a child that we did not start; -1 if there are so many that each needs another look, which takes its zombie.

    What a program leaves to us shall not keep us from starting others.
    """
    try:
        pidfd = os.pidfd_open(pid)
        if not _isScarce(pidfd, half=True):
            return pidfd
        os.close(pidfd)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    except OSError:
        pass
    return -1


def _isScarce(file: int, half: bool = False) -> bool:
    """Whether few open files are left beside this one, or half of them at the most: it has the lowest number that was free."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most != resource.RLIM_INFINITY and file >= (most // 2 if half else most - min(_SPARE, most // 4))
