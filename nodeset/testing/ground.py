"""What a site stands on: a dispatcher, nodes, a wire between them, the time in which they live."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.grants.authority import Authority
from nodeset.core.grants.chain import KEY_SIZE, Caveat
from nodeset.core.grants.revocations import Revocations
from nodeset.core.grants.rights import memberCaveat
from nodeset.core.node import Node
from nodeset.testing.turning import BoundedClock
from nodeset.testing.waiting import conditionText, describe, progress
from nodeset.testing.watch import ErrorWatch
from nodeset.transport.memory import MemoryTransport, MemoryWire
from nodeset.transport.standstill import ProcessClock

__all__ = ["Ground"]

__tracebackhide__ = True  # pytest shows the line of the test instead

N = TypeVar("N", bound=Node)

#: Unix time when a site is made.
_EPOCH: Final = 1_700_000_000
_PLACE: Final = "memory://site/"
#: Seconds of the site's time for which a test waits unless it says otherwise.
_PATIENCE: Final = 120.0


class Ground:
    """See `Site`, which is all that users meet."""

    def __init__(self, **options: Any) -> None:
        self.clock = BoundedClock()
        self.wire = MemoryWire(self.clock)
        self.dispatcher: EventDispatcher | None = None
        self.nodes: list[Node] = []
        self._homes: dict[Node, ProcessClock] = {}
        self._options = options
        self._started = False
        self._tubs = 0
        self._jumped = 0.0
        self._errors = ErrorWatch()
        self._key = secrets.token_bytes(KEY_SIZE)
        self._revocations = Revocations()
        self.authority = self._authority()
        self.member = _PLACE + self.authority.mint(memberCaveat(secrets.token_bytes(8)))
        self.owner = _PLACE + self.authority.mint(Caveat(secrets.token_bytes(8), answer=["*"], owner=True))

    def startDispatcher(self) -> EventDispatcher:
        """Start a dispatcher, which knows nothing of an earlier one; after a first it waits 2 s for the nodes to come back."""
        self.authority = self.wire.authority = self._authority()
        self._openPort()
        options = {"authority": self.authority, **self._options}
        self.dispatcher = EventDispatcher(self.wire.home, fresh=not self._started, **options)
        self._started = True
        self.dispatcher.startService()
        self.wire.acceptor = self.dispatcher
        return self.dispatcher

    def _openPort(self) -> None:
        """Be a process anew on the dispatcher's machine, whose network is as it was."""
        before, self.wire.home = self.wire.home, ProcessClock(self.clock)
        self.wire.home.parted, self.wire.home.silenced, self.wire.home.lag = before.parted, before.silenced, before.lag

    def wall(self) -> float:
        """Unix time, as the site's clock has it."""
        return _EPOCH + self._jumped + self.clock.seconds()

    def _authority(self) -> Authority:
        """As a dispatcher has it that starts: the key and the revocations are what is on disk."""
        return Authority(self._key, self.wall, self.clock.seconds, self._revocations)

    def transport(self, tub: str = "", grant: str = "") -> MemoryTransport:
        """A transport of its own, with a TubID of its own unless `tub` names one, that shows the FURL `grant`, a member's
        unless that is given.
        """
        self._tubs += 1
        return MemoryTransport(self.wire, tub or f"tub{self._tubs}", grant or self.member)

    def node(self, kind: type[N], *args: Any, start: bool = True, tub: str = "", grant: str = "", **options: Any) -> N:
        """Make a node of the class `kind` on this site; with `start`, start it and let it link.

        It lives by the site's time: its `clock` is for timers of its own. Give `start=False` to what joins a `NodeCollection`,
        which starts it.

        :param args: for the class, as are `options`: `site.node(Shop, name="shop")`.
        :param tub: its TubID: nodes that name the same seem to come from one key, as a node does that was started anew.
        :param grant: the FURL that it shows, as `Node.grant` makes them; a member's without one.
        """
        transport = self.transport(tub, grant)
        node = kind(*args, transport=transport, clock=transport.home, **options)
        node._wall = self.wall  # an hour is an hour of the site's clock
        self.nodes.append(node)
        self._homes[node] = transport.home
        if start:
            node.startService()
            self.flush()
        return node

    def _processes(self, *nodes: Node | EventDispatcher) -> list[ProcessClock]:
        """The processes that these live in; members of a collection share one, which has a clock for each."""
        found: dict[ProcessClock, None] = {}
        for node in nodes:
            if isinstance(node, EventDispatcher):
                found[self.wire.home] = None
                continue
            if not isinstance(node._transport, MemoryTransport):
                raise AssertionError(f"{node.name} is not of this site: make it by site.node(...)")
            found[node._transport.home] = None
            found.update({home: None for other, home in self._homes.items() if other._transport is node._transport})
        return list(found)

    def _checkTimers(self) -> None:
        left = [f"{node.name}: {timer!r}" for node, home in self._homes.items() for timer in home.getDelayedCalls()]
        others = len(self.clock.getDelayedCalls()) - len(left)
        if left or others > 0:
            shown = left[:5] or [f"{others} of the test's own, on site.clock"]
            raise AssertionError(f"timers are left on the clock, cancel them in stopService: {'; '.join(shown)}")

    # -- time

    def flush(self) -> None:
        """Let everything happen that takes no time."""
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, everything happening at its time."""
        self.clock.advance(seconds)

    def wait(self, awaited: Deferred[Any] | Coroutine[Any, Any, Any], timeout: float = _PATIENCE, *, what: str = "") -> Any:
        """What a Deferred or a coroutine comes to, letting time pass until it is there; raises what it failed with.

        :param timeout: seconds of the site's time, after which it fails with an AssertionError that says what was waited for.
        :param what: what that is, in words, where it is not plain.
        """
        results: list[Any] = []
        deferred = awaited if isinstance(awaited, Deferred) else Deferred.fromCoroutine(awaited)
        deferred.addBoth(results.append)
        end = self.clock.seconds() + timeout
        self.flush()
        while not results:
            if self.clock.seconds() >= end:
                text = f"nothing came within {timeout:g} s of the site's time from {what or describe(awaited)}"
                raise AssertionError(f"{text}{progress(awaited)}; {self.state()}")
            self.clock.turn(end)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def until(self, condition: Callable[[], object], timeout: float = _PATIENCE, *, what: str = "") -> Any:
        """Let time pass until `condition()` is true; returns what it returned. Time-out and `what` as with `wait`."""
        end = self.clock.seconds() + timeout
        self.flush()
        while not (result := condition()):
            if self.clock.seconds() >= end:
                text = f"still not so after {timeout:g} s of the site's time: {what or conditionText(condition)}"
                raise AssertionError(f"{text}; {self.state()}")
            self.clock.turn(end)
        return result

    def state(self) -> str:
        """Who is there and in what state, what errors were logged, in one line; for messages."""
        dispatcher = "is not running"
        if self.dispatcher is not None and self.dispatcher.running:
            dispatcher = self._condition(self.dispatcher) or "runs"
        told = [f"the dispatcher {dispatcher}"]
        for node in self.nodes:
            linked = node._peer is not None and node._peer.linked
            life = ("is linked" if linked else "is not linked") if node.running else "is not started"
            told.append(f"{node.name} {self._condition(node) or life}")
        logged = self._errors.summary()
        return ", ".join(told) + (f"; logged meanwhile: {logged}" if logged else "")

    def _condition(self, node: Node | EventDispatcher) -> str:
        """What a fault has made of it, empty for nothing."""
        home = self._processes(node)[0]
        return "was killed" if home.dead else "is frozen" if home.frozen else "is cut off" if home.parted else ""
