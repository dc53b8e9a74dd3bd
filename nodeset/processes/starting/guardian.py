"""The guardian as its supervisor has it, without Twisted.

::

    guardian = GuardianProcess()                            # starts it; takes two milliseconds, it gets ready by itself
    child = guardian.spawnNow(Order(("echo", "hi")), (0, 1, 2))
    ...                                                     # import Twisted meanwhile
    warden = Warden(reactor, early=guardian)
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from nodeset.errors import CannotStart
from nodeset.processes.guard.channel import Channel, ChannelBroken
from nodeset.processes.starting.child import Child
from nodeset.processes.starting.spawning import Order, checkOrder, explain, messageOf

__all__ = ["PATIENCE", "GuardianProcess", "pristineEnviron"]

#: Seconds that a start may take, from the order until the program runs.
PATIENCE: Final = 30.0
#: Seconds that a guardian may take to end after its last word.
_GOING: Final = 5.0
_PR_SET_CHILD_SUBREAPER: Final = 36
#: Seconds after which one that does not answer is seen to.
_LOOK: Final = 1.0
# Without pathlib, which takes as long to import as a guardian to start.
_HOME: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
_SCRIPT: Final = os.path.join(_HOME, "guard", "guardian.py")  # noqa: PTH118

Told = Callable[[Child | CannotStart], object]


def pristineEnviron() -> dict[bytes, bytes]:
    """The environment that this process was started with, whatever Python or anybody changed in it since."""
    with open("/proc/self/environ", "rb") as environ:  # noqa: PTH123
        pairs = [entry.partition(b"=") for entry in environ.read().split(b"\0") if b"=" in entry]
    return {name: value for name, _, value in pairs}


class GuardianProcess:
    """One guardian. It lives as long as this process, or until `leave`; its programs too.

    :param environ: what programs get whose order names no environment; by default ours, as it is now.
    :param nofile: the soft limit of open files that programs get; by default ours, as it is now.
    :ivar failed: is called with the exception that somebody's callback raised.
    """

    def __init__(self, environ: Mapping[bytes, bytes] | None = None, nofile: int | None = None) -> None:
        try:
            os.close(os.pidfd_open(os.getpid()))
        except (AttributeError, OSError) as e:
            said = "programs are watched by pidfds, which this system lacks: it takes Linux 5.4 or newer"
            raise CannotStart(f"{said} ({e})", getattr(e, "errno", 0) or 0, "guardian") from None
        ours, its = socket.socketpair()
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if nofile is None else nofile
        try:
            with its:
                self._process = subprocess.Popen(  # noqa: S603 - our own script
                    [sys.executable, "-I", "-S", _SCRIPT, str(its.fileno()), str(os.getpid()), str(soft)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    process_group=0,
                    env=os.environb if environ is None else environ,
                )
        except OSError as e:
            ours.close()
            raise CannotStart(f"the guardian cannot be started: {e.strerror}", e.errno or 0, "guardian") from None
        self.channel = Channel(ours)
        self.failed: Callable[[BaseException], object] = lambda error: sys.excepthook(type(error), error, error.__traceback__)
        #: Why it is gone; None while it is there.
        self.lost: str | None = None
        #: Whether it ended because we let it go.
        self.left = False
        #: How many it adopted whose own parents ended.
        self.adopted = 0
        #: Is called when `channel` has more to send than goes at once.
        self.onUnsent: Callable[[], object] = lambda: None
        #: Is called when there is something that `read` can take, though `channel` may be silent.
        self.onBacklog: Callable[[], object] = lambda: None
        self.before: frozenset[int] | None = None
        self._broke = ""
        self._leaving = self._at_end = False
        self._backlog: list[tuple[dict[str, Any], list[int]]] = []
        self._count = 0
        self._starting: dict[int, tuple[Order, Told]] = {}
        self._children: dict[int, Child] = {}
        self._asked: dict[int, Callable[[dict[str, Any]], object]] = {}

    def adopt(self) -> None:
        """Have what it leaves behind if it is killed come to us, not to init; a `Warden` ends that. `before` are the children
        that we have otherwise.
        """
        from nodeset.processes.guard import birth, lineage

        self.before = frozenset(lineage.children()) - {self.pid}
        birth.prctl(_PR_SET_CHILD_SUBREAPER, 1)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def children(self) -> list[Child]:
        """Those that run, or whose groups do."""
        return list(self._children.values())

    def spawn(self, order: Order, files: tuple[int, int, int], told: Told) -> int:
        """Start a program with these files as its 0, 1, 2, which the caller may close at once.

        `told` is called with the Child as soon as the program runs, or with the CannotStart that says what is at fault. The
        number is for `giveUp`. CannotStart at once for an order that nobody could carry out.
        """
        checkOrder(order)
        if self.lost is not None:
            raise CannotStart(f"the guardian is gone: {self.lost}", 0, "guardian")
        self._count += 1
        id = self._count
        try:
            self.channel.put({"do": "spawn", "id": id, **messageOf(order)}, (*files, *order.pass_fds, *order.held))
        except OSError as e:
            raise CannotStart(f"a file for {order.argv[0]!r} cannot be passed on: {e.strerror}", e.errno or 0) from None
        except ValueError:
            raise CannotStart(f"{order.argv[0]!r} has too many arguments, or files: {len(order.argv)} words") from None
        self._starting[id] = (order, told)
        self._rouse()
        return id

    def spawnNow(self, order: Order, files: tuple[int, int, int], seconds: float = PATIENCE) -> Child:
        """Start a program, block until it runs. CannotStart, also after that many seconds."""
        answers: list[Child | CannotStart] = []
        id = self.spawn(order, files, answers.append)
        until = time.monotonic() + seconds
        while not answers:
            rest = until - time.monotonic()
            if rest <= 0:
                self.giveUp(id)
                raise CannotStart(f"{order.argv[0]!r} did not start within {seconds:g} s", 0, "guardian")
            self._await(min(rest, _LOOK))
            self._rouse()
            self._pull()
            for index, (message, _) in enumerate(self._backlog):
                if message["did"] in ("spawned", "failed") and message["id"] == id:
                    self._take(*self._backlog.pop(index))
                    break
            else:
                if self._at_end:
                    self.giveUp(id)
                    raise CannotStart(f"{order.argv[0]!r} was not started: the guardian ended meanwhile", 0, "guardian")
        if self._backlog or self._at_end:
            self.onBacklog()
        if isinstance(answers[0], CannotStart):
            raise answers[0]
        return answers[0]

    def _await(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self.channel, select.POLLIN | (select.POLLOUT if self.channel.unsent else 0))
        poll.poll(seconds * 1000)
        self.channel.flush()

    def giveUp(self, id: int) -> None:
        """Wait no longer for this start; what comes of it is killed."""
        if self._starting.pop(id, None) is not None:
            self._kill(id)

    def _kill(self, id: int) -> None:
        self.ask({"do": "signal", "id": id, "number": 9, "whole": "tree"}, lambda answer: None)

    def ask(self, message: dict[str, Any], answered: Callable[[dict[str, Any]], object]) -> None:
        """Send this, call `answered` with what it says to it, with {} if it dies first."""
        if self.lost is not None:
            self._call(answered, {})
            return
        self._count += 1
        self._asked[self._count] = answered
        self.channel.put({**message, "ask": self._count})
        self._rouse()

    def _rouse(self) -> None:
        """It has something to do: somebody may have stopped it, one of its programs for example."""
        try:
            self._process.send_signal(signal.SIGCONT)
        except OSError:
            # It ended, which `read` finds out.
            pass
        self.onUnsent()

    def read(self, ending: Callable[[], object] = lambda: None) -> bool:
        """Take all that it said; whether it is still there. Never blocks. `ending` is called before its end is told."""
        if self.lost is not None:
            return False
        self._pull()
        while self._backlog:
            self._take(*self._backlog.pop(0))
        if self._at_end and self.lost is None:
            self._end(ending)
        return self.lost is None

    def isOver(self) -> bool:
        """Whether it is gone, told or not. What it said otherwise is left to `read`."""
        if self.lost is None:
            self._pull()
            if self._backlog:
                self.onBacklog()
        return self._at_end

    def _pull(self) -> None:
        """Fetch what it said. Who waits for one answer takes that alone: the rest is for `read`, so that no callback runs in
        the midst of somebody's call.
        """
        if self._at_end:
            return
        try:
            messages = self.channel.receive()
        except (ChannelBroken, ValueError) as e:
            self._broke = str(e)
            self._process.kill()
            messages = None
        self._backlog.extend(messages or ())
        self._at_end = messages is None

    def _take(self, message: dict[str, Any], files: list[int]) -> None:
        match message["did"]:
            case "spawned":
                self._spawned(message, files.pop())
            case "failed" if (starting := self._starting.pop(message["id"], None)) is not None:
                order, told = starting
                self._call(told, explain(order, message["step"], message["errno"], message["text"]))
            case "ended" if (child := self._children.get(message["id"])) is not None:
                child.end(message["code"])
            case "emptied" if (child := self._children.pop(message["id"], None)) is not None:
                child.empty()
            case "stopped" if (child := self._children.get(message["id"])) is not None:
                child.stop(message["number"])
            case "signalled" if (asked := self._asked.pop(message["ask"], None)) is not None:
                self._call(asked, message)
            case "broke":
                self._broke = message["text"]
            case "adopted":
                self.adopted = message["count"]

    def _spawned(self, message: dict[str, Any], pidfd: int) -> None:
        starting = self._starting.pop(message["id"], None)
        if starting is None:
            os.close(pidfd)
            self._kill(message["id"])
            return
        order, told = starting
        child = Child(self, message["id"], message["pid"], pidfd, outlives=not order.kill)
        self._children[message["id"]] = child
        self._call(told, child)

    def _call(self, function: Callable[[Any], object], value: object) -> None:
        try:
            function(value)
        except Exception as e:
            self.failed(e)

    def leave(self) -> None:
        """Have it end its programs, but those to be kept, then itself: `read` returns False when it did."""
        if self.lost is None:
            self._leaving = True
            try:
                self.channel.sock.shutdown(socket.SHUT_WR)
            except OSError:
                # It is gone already.
                pass

    def _reap(self) -> int:
        try:
            return self._process.wait(_GOING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _end(self, ending: Callable[[], object]) -> None:
        """It is gone, its programs with it: each counts as ended by -9. Who outlives us does so only if we left in peace."""
        # With programs that outlive us it does not end either: it reads what they write.
        stays = self._leaving and not self._broke and any(child.outlives for child in self._children.values())
        code = 0 if stays else self._reap()
        self.lost = self._broke or (f"it was ended by signal {-code}" if code < 0 else f"it ended with {code}")
        self.left = self._leaving and code == 0
        ending()
        self.channel.close()
        starting, self._starting = self._starting, {}
        children, self._children = self._children, {}
        asked, self._asked = self._asked, {}
        for child in children.values():
            if self.left and child.outlives:
                child.forget()
            else:
                child.lose()
        for order, told in starting.values():
            text = f"{order.argv[0]!r} was not started: the guardian is gone, {self.lost}"
            self._call(told, CannotStart(text, 0, "guardian"))
        for answered in asked.values():
            self._call(answered, {})
