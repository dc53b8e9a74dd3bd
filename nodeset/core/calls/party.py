"""One node as the switchboard of its dispatcher knows it: the calls that it makes, those that it answers."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import attrs
import msgspec

from nodeset.core.calls.callframes import Answer, Ask, Call, Cancel, Ending
from nodeset.core.calls.lane import Lane
from nodeset.core.session import Session

__all__ = ["MAX_RUNNING", "MAX_WAITING", "MAX_WAITING_BYTES", "Group", "Party", "State", "Way", "sizeOf", "waysOf"]

#: Calls that one node runs at a time, bytes of them; more wait at the dispatcher.
MAX_RUNNING: Final = 1_000
MAX_RUNNING_BYTES: Final = 8 * 1024 * 1024
#: Calls, bytes of them, that wait for one node, before they go to another one or to nobody.
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024


class State:
    """How far a call has come."""

    QUEUED: Final = 0
    SENT: Final = 1
    STREAMING: Final = 2
    DONE: Final = 3


class Way(msgspec.Struct, eq=False):
    """One call on its way from one node to another; `deadline` is in seconds of the dispatcher's clock.

    Of one that is `asked` for, the callee was sent it by an earlier dispatcher.
    """

    caller: Party
    id: int
    call: Call | None
    deadline: float
    size: int
    group: Group | None = None
    callee: Party | None = None
    state: int = 0
    asked: bool = False


@attrs.define(eq=False)
class Group:
    """One call of all nodes of a name: its ways, the answers that are due."""

    deadline: float
    ways: list[Way] = attrs.field(factory=list)

    @property
    def state(self) -> int:
        """`DONE` when all have answered."""
        return min((way.state for way in self.ways), default=State.DONE)


#: Those that wait for who was never called: an empty deque takes 760 bytes, and most nodes of a dispatcher may be idle.
_NOBODY: Final[deque[Way]] = deque(maxlen=0)


def sizeOf(call: Call) -> int:
    """The bytes of `call` that count: its arguments and its headers."""
    return len(call.payload) + len(call.headers)


def waysOf(entry: Way | Group) -> list[Way]:
    """One way, or all of a group."""
    return entry.ways if isinstance(entry, Group) else [entry]


class Party:
    """A node that calls, or is called. `ways` are its own calls by id, `serving` those that it was sent."""

    __slots__ = (
        "asked",
        "asks",
        "cancels",
        "claims",
        "held",
        "held_bytes",
        "husks",
        "lane",
        "methods",
        "now",
        "retiring",
        "running_bytes",
        "serving",
        "session",
        "speaks",
        "stream",
        "told",
        "waiting",
        "waiting_bytes",
        "ways",
    )

    def __init__(self, session: Session, switch: Any) -> None:
        self.session, self.stream = session, session.stream
        self.speaks = False
        self.retiring = False
        self.methods: frozenset[str] = frozenset()
        self.claims: dict[str, list[tuple[int, int]]] = {}
        self.ways: dict[int, Way | Group] = {}
        self.serving: dict[tuple[str, int], Way] = {}
        self.waiting = _NOBODY
        self.waiting_bytes = self.running_bytes = self.husks = 0
        self.held: dict[int, Call] = {}
        self.held_bytes = 0
        self.asked = self.told = 0
        self.asks: list[list[tuple[int, int]]] = []
        self.cancels: list[Cancel] = []
        self.now = 0.0
        self.lane = Lane(lambda: switch.draw(self))

    @property
    def load(self) -> tuple[int, int, int]:
        """How many calls it has made that are not over, how many it runs, how many wait for it here."""
        return len(self.ways), len(self.serving), len(self.waiting)

    @property
    def live(self) -> bool:
        """Whether it may be given calls without a doubt."""
        return self.session.away_since is None and not self.session.suspect

    @property
    def full(self) -> bool:
        """Whether more calls than may wait for it wait."""
        return len(self.waiting) - self.husks >= MAX_WAITING or self.waiting_bytes >= MAX_WAITING_BYTES

    @property
    def idle(self) -> bool:
        """Whether it has no call to answer."""
        return not self.serving and len(self.waiting) == self.husks

    @property
    def underWay(self) -> int:
        """How many of its own calls have no answer; streams that have begun do not count."""
        return sum(entry.state < State.STREAMING for entry in self.ways.values()) + len(self.held)

    def queue(self, way: Way, first: bool = False) -> None:
        """Have `way` wait for its turn."""
        if self.waiting is _NOBODY:
            self.waiting = deque()
        way.callee, way.state = self, State.QUEUED
        (self.waiting.appendleft if first else self.waiting.append)(way)
        self.waiting_bytes += way.size

    def groups(self) -> list[tuple[int, list[Party]]]:
        """Its calls of all nodes of a name that have no answer of all, each with those that were called."""
        entries = self.ways.items()
        return [
            (number, [way.callee for way in entry.ways if way.callee]) for number, entry in entries if isinstance(entry, Group)
        ]

    def next(self) -> Way | None:
        """The next one that waits, if it may be sent now; it waits no longer."""
        if len(self.serving) >= MAX_RUNNING or self.running_bytes >= MAX_RUNNING_BYTES:
            return None
        while self.waiting:
            way = self.waiting.popleft()
            if way.state == State.QUEUED and way.callee is self:
                self.waiting_bytes -= way.size
                return way
            self.husks -= 1
        return None

    def sent(self, way: Way, call: Call) -> None:
        """`way` is sent."""
        way.state = State.SENT
        self.serving[call.caller, call.id] = way
        self.running_bytes += way.size

    def release(self, way: Way) -> bool:
        """`way` is over, as far as this node is concerned; whether it knows of the call."""
        state, way.state, way.call = way.state, State.DONE, None
        if state == State.QUEUED:
            self.waiting_bytes -= way.size
            self.husks += 1
            if self.husks > 64 and 2 * self.husks > len(self.waiting):
                self.waiting = deque(one for one in self.waiting if one.state == State.QUEUED and one.callee is self)
                self.husks = 0
        elif state != State.DONE and self.serving.pop((way.caller.stream, way.id), None) is not None:
            self.running_bytes -= way.size
            return True
        return False

    def cancel(self, way: Way) -> Cancel:
        """What tells it that nobody waits for `way`. It is remembered for `sayAgain`."""
        if len(self.cancels) >= MAX_RUNNING:
            del self.cancels[: MAX_RUNNING // 2]
        self.cancels.append(Cancel(way.caller.stream, way.id))
        return self.cancels[-1]

    def sayAgain(self) -> list[Cancel | Ask]:
        """What it was told without credit, for a new link: it may be lost with the one before."""
        asks = [Ask(way.caller.stream, [(way.id, way.id)]) for way in self.serving.values() if way.asked]
        return [*self.cancels, *asks]

    def takeWaiting(self) -> list[Way]:
        """All that wait; none is left here."""
        ways = [way for way in self.waiting if way.state == State.QUEUED and way.callee is self]
        self.waiting = _NOBODY
        self.waiting_bytes = self.husks = 0
        return ways

    def hold(self, call: Call) -> bool:
        """Keep a call of its own until the nodes are back that it may mean; False when too many are kept."""
        if len(self.held) >= MAX_WAITING or self.held_bytes >= MAX_WAITING_BYTES:
            return False
        self.held[call.id] = call
        self.held_bytes += sizeOf(call)
        return True

    def unhold(self, number: int) -> None:
        """Keep this one no longer."""
        if (call := self.held.pop(number, None)) is not None:
            self.held_bytes -= sizeOf(call)

    def takeHeld(self) -> list[Call]:
        """Those that were kept; none is left here."""
        calls = list(self.held.values())
        self.held.clear()
        self.held_bytes = 0
        return calls

    def rewind(self) -> list[Way]:
        """A link is open again: what was sent and has perhaps not arrived goes once more. Returns the calls among it."""
        ways: list[Way] = []
        back = []
        for frame in self.lane.opened():
            if type(frame) is Call:
                way = self.serving.get((frame.caller, frame.id))
                if way is not None and way.state == State.SENT and way.call is None:
                    frame.again = True
                    way.call = frame
                    ways.append(way)
            elif type(frame) is Answer and frame.ending is not Ending.STREAM:
                back.append(frame)
        self.lane.back(back)
        return ways
