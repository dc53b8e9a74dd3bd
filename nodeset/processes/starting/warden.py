"""Who starts programs, by a guardian, in a Twisted process."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any, Final

from twisted.internet import process
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.errors import CannotStart
from nodeset.processes.guard import birth, lineage, sweep
from nodeset.processes.starting.child import Child
from nodeset.processes.starting.guardian import PATIENCE, GuardianProcess
from nodeset.processes.starting.spawning import Order

__all__ = ["Warden"]

_PR_SET_CHILD_SUBREAPER: Final = 36
#: Seconds that a guardian has to end its programs when we stop.
_FAREWELL: Final = 25.0
#: Seconds for ending what a guardian that died left to us.
_SWEEP: Final = 2.0
#: Open files that we allow ourselves when we start many programs, each with three or four of them.
_MOST_FILES: Final = 1 << 16
#: The guardians of this process: none of them is swept away as the orphan of another.
_GUARDIANS: Final[set[int]] = set()


@implementer(IReadDescriptor, IWriteDescriptor)
class Warden:
    """Starts programs. All of them end when this process does, however that ends, but those whose order says otherwise.

    If the guardian dies, its programs end by signal 9, are told so, and the next spawn starts another.

    :param adopts: have what a dead guardian leaves behind come to us, to be ended. This needs a process whose children are all
        known: those that there were before `start`, those of wardens, those of Twisted. A library does without.
    :param early: a guardian that was started before the reactor was imported, with its programs.
    :param environ: the environment for programs whose order has none; by default ours, as it is at `start`.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        adopts: bool = True,
        early: GuardianProcess | None = None,
        environ: dict[bytes, bytes] | None = None,
    ) -> None:
        self._reactor, self._adopts, self._environ = reactor, adopts, environ
        self._guardian: GuardianProcess | None = None
        self._early = early
        self._nofile: int | None = None
        self._before: frozenset[int] = frozenset()
        self._started = 0
        self._stopping: list[Deferred[None]] = []
        self._timeout: IDelayedCall | None = None

    @property
    def pid(self) -> int | None:
        """The guardian's."""
        return None if self._guardian is None else self._guardian.pid

    @property
    def children(self) -> list[Child]:
        """Those that run, or whose groups do."""
        return [] if self._guardian is None else self._guardian.children

    def start(self) -> None:
        """Start the guardian. CannotStart if that is impossible. A second call does nothing while one lives."""
        if self._guardian is not None:
            return
        if self._nofile is None:
            self._nofile, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if self._adopts:
                self._adopt()
                most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(self._nofile, most), hard))
        guardian, self._early = self._early or GuardianProcess(self._environ, self._nofile), None
        self._guardian = guardian
        self._started += 1
        _GUARDIANS.add(guardian.pid)
        guardian.failed = lambda error: self.log.failure(
            "a callback of a program failed", failure=Failure(error, type(error), error.__traceback__)
        )
        guardian.onUnsent = self._mind
        guardian.onBacklog = lambda: self._reactor.callLater(0, self.doRead)
        self._reactor.addReader(self)
        self._mind()
        # What an early one said before there was a reactor.
        self._reactor.callLater(0, self.doRead)

    def _adopt(self) -> None:
        """Who was adopted before is ours to end; who was our child already is not."""
        if self._early is not None and self._early.before is not None:
            self._before = self._early.before
        else:
            self._before = frozenset(lineage.children())
            birth.prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def spawn(self, order: Order, files: tuple[int, int, int]) -> Deferred[Child]:
        """Start a program with these files as its 0, 1, 2; they may be closed as soon as this returns.

        It fires with the Child once the program runs. CannotStart says what is at fault (`at`), also if that takes longer than
        30 s. Cancelling gives up: what comes of it is killed.
        """
        guardian: GuardianProcess
        timeout: IDelayedCall
        number = 0

        def giveUp(fired: Deferred[Child]) -> None:
            if timeout.active():
                timeout.cancel()
            guardian.giveUp(number)

        def tooLate() -> None:
            guardian.giveUp(number)
            fired.errback(CannotStart(f"{order.argv[0]!r} did not start within {PATIENCE:g} s", 0, "guardian"))

        def told(answer: Child | CannotStart) -> None:
            timeout.cancel()
            if isinstance(answer, CannotStart):
                fired.errback(answer)
            else:
                fired.callback(answer)

        fired: Deferred[Child] = Deferred(giveUp)
        try:
            guardian = self._ready()
            timeout = self._reactor.callLater(PATIENCE, tooLate)
            try:
                number = guardian.spawn(order, files, told)
            except CannotStart:
                timeout.cancel()
                raise
        except CannotStart:
            fired.errback()
        return fired

    def spawnNow(self, order: Order, files: tuple[int, int, int], seconds: float = PATIENCE) -> Child:
        """As `spawn`, yet it blocks until the program runs, a few milliseconds as a rule, `seconds` at the most."""
        return self._ready().spawnNow(order, files, seconds)

    def _ready(self) -> GuardianProcess:
        if self._stopping:
            raise CannotStart("no program is started any more: we stop", 0, "guardian")
        if self._guardian is not None and self._guardian.isOver():
            # It died this very moment: its programs are told so before the next one has any.
            self.doRead()
        self.start()
        assert self._guardian is not None
        return self._guardian

    def figures(self) -> dict[str, int]:
        """The guardian's pid, how much memory it takes (`rss`, in bytes), how many were `started` by now, how many programs
        (`children`) it has, how many processes it `adopted` whose parents ended.
        """
        guardian = self._guardian
        if guardian is None:
            return {"pid": 0, "rss": 0, "started": self._started, "children": 0, "adopted": 0}
        try:
            pages = int(Path(f"/proc/{guardian.pid}/statm").read_text("ascii").split()[1])
        except (OSError, IndexError, ValueError):
            pages = 0
        return {
            "pid": guardian.pid,
            "rss": pages * resource.getpagesize(),
            "started": self._started,
            "children": len(guardian.children),
            "adopted": guardian.adopted,
        }

    def stop(self) -> Deferred[None]:
        """End all programs but those to be kept, with SIGKILL if they run yet, then the guardian. Fires when all is over,
        within 25 s.
        """
        if self._guardian is None:
            return succeed(None)
        fired: Deferred[None] = Deferred()
        self._stopping.append(fired)
        if len(self._stopping) == 1:
            self._timeout = self._reactor.callLater(_FAREWELL, os.kill, self._guardian.pid, signal.SIGKILL)
            self._guardian.leave()
        return fired

    # For the reactor.

    def fileno(self) -> int:
        return -1 if self._guardian is None else self._guardian.channel.fileno()

    def logPrefix(self) -> str:
        return "warden"

    def doRead(self) -> None:
        guardian = self._guardian
        if guardian is None or guardian.lost is not None:
            return
        # Before it closes its socket, whose number a selector must forget first.
        guardian.read(lambda: self._lost(guardian))

    def doWrite(self) -> None:
        if self._guardian is not None:
            self._guardian.channel.flush()
            self._mind()

    def _mind(self) -> None:
        if self._guardian is not None:
            (self._reactor.addWriter if self._guardian.channel.unsent else self._reactor.removeWriter)(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, or cannot watch the socket."""

    def _lost(self, guardian: GuardianProcess) -> None:
        """It is dead. Nothing was told to anybody yet."""
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._guardian = None
        _GUARDIANS.discard(guardian.pid)
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()
        stopping, self._stopping = self._stopping, []
        if not stopping:
            self.log.warn("the guardian {pid} is gone, its programs with it", pid=guardian.pid)
        if self._adopts and not guardian.left:
            self._sweep()
        for fired in stopping:
            self._reactor.callLater(0, fired.callback, None)

    def _sweep(self) -> None:
        spared = self._before | _GUARDIANS | set(process.reapProcessHandlers)
        me = os.getpid()

        def heads() -> list[int]:
            return [pid for pid in lineage.children() if pid not in spared]

        def reap() -> None:
            for pid in heads():
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)

        left = sweep.endAll(lambda table: lineage.below((me,), table, spared), _SWEEP, heads=heads, reap=reap)
        if left:
            self.log.error("{left} processes of a dead guardian cannot be ended", left=left)
