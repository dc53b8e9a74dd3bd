"""A watcher among stand-ins: its guardian, its files, the bus, each of which does what the test says."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from nodeset.processes.events import ProcessEvent, ProcessState
from nodeset.processes.program import Program
from nodeset.processes.watching.watcher import Watcher
from nodeset.testing.turning import BoundedClock

__all__ = ["Bus", "Files", "Ground", "Ward"]


class Ward:
    """A process that only this test knows; by default it obeys every signal."""

    def __init__(self, pid: int, order: Any) -> None:
        self.pid, self.order = pid, order
        self.signals: list[tuple[str, int]] = []
        self.obeys, self.emptied, self.undead = True, False, False
        self.code: int | None = None
        self.ends: list[Callable[[int], object]] = []
        self.empties: list[Callable[[], object]] = []

    def onEnded(self, call: Callable[[int], object]) -> None:
        """See `Child`."""
        if self.code is None:
            self.ends.append(call)
        else:
            call(self.code)

    def onEmptied(self, call: Callable[[], object]) -> None:
        """See `Child`."""
        if self.emptied:
            call()
        else:
            self.empties.append(call)

    def end(self, code: int, emptied: bool = True) -> None:
        """It ends by itself."""
        self.code = code
        ends, self.ends = self.ends, []
        for call in ends:
            call(code)
        if emptied:
            self.empty()

    def empty(self) -> None:
        """The last of its group is gone."""
        self.emptied = True
        empties, self.empties = self.empties, []
        for call in empties:
            call()

    def signal(self, number: int) -> bool:
        """See `Child`."""
        return self._take("one", number)

    def signalGroup(self, number: int) -> Deferred[bool]:
        """See `Child`."""
        return succeed(self._take("group", number))

    def signalTree(self, number: int) -> Deferred[bool]:
        """See `Child`."""
        return succeed(self._take("tree", number))

    def _take(self, whom: str, number: int) -> bool:
        self.signals.append((whom, number))
        if self.undead:
            return True
        if number == signal.SIGKILL or (self.obeys and number == signal.SIGTERM):
            self.end(-number)
        return True


class Files:
    """The files of one program; `hangs` for output that somebody holds after its end."""

    def __init__(self) -> None:
        self.closed: Deferred[None] = succeed(None)
        self.did: list[str] = []
        self.hangs = False
        self.taker: Callable[[str, bytes], object] = lambda stream, data: None

    def onData(self, taker: Callable[[str, bytes], object]) -> None:
        """See `Stdio`."""
        self.taker = taker

    def open(self) -> tuple[int, int, int]:
        """See `Stdio`."""
        assert self.closed.called, "opened while the last run is not over"
        self.closed = Deferred()
        return (100, 101, 102)

    def spawned(self) -> None:
        """See `Stdio`."""

    def abandon(self) -> None:
        """See `Stdio`."""
        self.close()

    def close(self) -> None:
        """Nobody holds the output any more."""
        if not self.closed.called:
            self.closed.callback(None)

    def finish(self, grace: float) -> None:
        """See `Stdio`."""
        self.did.append(f"finish {grace:g}")
        if not self.hangs:
            self.close()

    def pause(self, stream: str) -> None:
        """See `Stdio`."""
        self.did.append(f"pause {stream}")

    def resume(self, stream: str) -> None:
        """See `Stdio`."""
        self.did.append(f"resume {stream}")


class Bus:
    """Where the events of one program go."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self.full = self.stopped = False
        self.told: list[tuple[str, Any]] = []
        self.announcements = 0
        self.room: Callable[[], object] = lambda: None

    def put(self, kind: str, what: bytes | ProcessEvent) -> None:
        """See `Shipping`."""
        self.told.append((kind, what))

    def onRoom(self, call: Callable[[], object]) -> None:
        """See `Shipping`."""
        self.room = call

    def regroup(self) -> None:
        """As `Shipping.regroup`."""

    def announced(self) -> None:
        """See `Shipping`."""
        self.announcements += 1

    def adopt(self, program: Program) -> None:
        """See `Shipping`."""

    def drained(self, timeout: float) -> Deferred[bool]:
        """See `Shipping`."""
        return succeed(True)

    def stop(self) -> None:
        """See `Shipping`."""
        self.stopped = True


class Ground:
    """Makes watchers, in the time of the test."""

    def __init__(self) -> None:
        self.clock = BoundedClock()
        self.wards: list[Ward] = []
        #: What spawning does, if it does not succeed at once.
        self.refuse: BaseException | None = None
        self.late: list[tuple[Deferred[Any], Ward]] | None = None
        self.files: dict[str, Files] = {}
        self.buses: dict[str, Bus] = {}

    def spawn(self, order: Any, files: tuple[int, int, int]) -> Deferred[Any]:
        """See `Warden`."""
        if self.refuse is not None:
            raise self.refuse
        ward = Ward(1000 + len(self.wards), order)
        self.wards.append(ward)
        if self.late is None:
            return succeed(ward)
        self.late.append((Deferred(), ward))
        return self.late[-1][0]

    def watcher(self, program: Program, **about: Any) -> Watcher:
        """One for this program."""
        name = program.name
        this: Any = self
        files: Any = Files()
        bus: Any = Bus(f"{name}-{len(self.buses)}")
        self.files[name], self.buses[name] = files, bus
        parts = {"warden": this, "stdio": files, "shipping": bus, "clock": self.clock, "chance": lambda: 0.5}
        return Watcher(program, **parts | about)

    def ward(self, command: str) -> Ward:
        """The last process of this command."""
        return next(ward for ward in reversed(self.wards) if ward.order.argv[0] == command)

    def told(self, name: str) -> list[str]:
        """What the bus was told of a program, each in a word or two; it is forgotten."""
        bus = self.buses[name]
        told, bus.told = bus.told, []
        return [self._word(kind, what) for kind, what in told]

    def _word(self, kind: str, what: Any) -> str:
        if isinstance(what, bytes):
            return f"{kind} {what.decode()}"
        if isinstance(what, ProcessState) and kind == "state":
            return what.state_name
        return f"{kind} {getattr(what, 'code', what.pid)}"
