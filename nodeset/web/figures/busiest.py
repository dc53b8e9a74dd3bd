"""The nodes that do most, of all that a dispatcher tells of."""

from __future__ import annotations

import heapq
from typing import Annotated, Any, Final

import attrs
import msgspec

from nodeset.core.figures.reading import plain
from nodeset.errors import ProtocolError

__all__ = ["MOST_KNOWN", "MOST_ROWS", "Busiest", "NodeRow", "Page", "Sight", "infoOf", "readPage"]

#: Nodes that are listed.
MOST_ROWS: Final = 200
#: Nodes that are looked at; of more than these the rest is only counted.
MOST_KNOWN: Final = 20_000
#: Names of subscriptions, of methods, that a row lists, characters that they have together: two hundred rows make one message.
_NAMES, _ROOM = 32, 1000
#: Reasons of drops that a row lists.
_REASONS: Final = 16

_Text = Annotated[str, msgspec.Meta(max_length=1000)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class NodeTold(msgspec.Struct, frozen=True):
    """A node as the dispatcher tells of it; see `NodeInfo`. What an older one does not tell has these defaults."""

    name: _Text
    host: _Text
    tub_id: _Text = ""
    stream: _Text = ""
    state: _Text = "up"
    since: _Seconds = 0.0
    away: bool = False
    subscriptions: list[str] = []
    subscribed: _Natural = 0
    methods: list[str] = []
    version: _Text = ""
    latency: _Seconds | None = None
    queued_events: _Natural = 0
    queued_bytes: _Natural = 0
    unanswered_events: _Natural = 0
    calls_made: _Natural = 0
    calls_running: _Natural = 0
    calls_waiting: _Natural = 0
    drops: dict[str, _Natural] = {}
    published: _Natural = 0
    delivered: _Natural = 0


class Page(msgspec.Struct, frozen=True):
    """One page of nodes; `next` is from where on to ask for more, empty when that is all."""

    nodes: list[NodeTold]
    next: str = ""


class NodeRow(msgspec.Struct, frozen=True):
    """A node as a page shows it: `published` and `delivered` are events a second, None until it was seen twice."""

    name: str
    host: str
    tub_id: str
    stream: str
    state: str
    away: bool
    since: float
    latency: float | None
    published: float | None
    delivered: float | None
    queued_events: int
    queued_bytes: int
    unanswered_events: int
    calls_running: int
    drops: dict[str, int]
    subscriptions: list[str]
    subscribed: int
    methods: list[str]
    version: str


def readPage(told: Any) -> Page:
    """What a dispatcher told by its method `nodes`. Raises `ProtocolError` when it makes no sense."""
    try:
        return msgspec.convert(told, Page, strict=False)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the dispatcher's answer about its nodes makes no sense: {error}") from None


def infoOf(told: NodeTold) -> dict[str, Any]:
    """All that was told of a node, as JSON has it; see `NodeInfo`."""
    return {name: _shown(getattr(told, name)) for name in told.__struct_fields__}


def _shown(value: Any) -> Any:
    # What came as a name may be anything, lone surrogates too, of which no UTF-8 can be made.
    match value:
        case str():
            return plain(value)
        case list():
            return [plain(each) for each in value]
        case dict():
            return {plain(name): count for name, count in value.items()}
    return value


@attrs.frozen
class Sight:
    """All nodes as they were seen once.

    :ivar rows: the busiest, the busiest first.
    :ivar count: how many there are.
    :ivar whole: whether all of them were looked at; if not, the sums are of a part.
    """

    rows: list[NodeRow]
    count: int
    queued_events: int
    queued_bytes: int
    whole: bool


class Busiest:
    """Takes pages of nodes until all were seen, again and again; rates are from one time to the next."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, int, int]] = {}
        self.begin()

    def begin(self) -> None:
        """The first page is to come; what came of other pages before is of no use."""
        self._seen: dict[str, tuple[float, int, int]] = {}
        # The number, which no two share, keeps rows from being compared.
        self._top: list[tuple[float, int, int, NodeRow]] = []
        self._count = self._queued_events = self._queued_bytes = 0

    def forget(self) -> None:
        """The dispatcher is another one: begin anew, compare with nothing."""
        self._before = {}
        self.begin()

    @property
    def full(self) -> bool:
        """Whether so many were seen that no more should be asked for."""
        return self._count >= MOST_KNOWN

    def see(self, page: Page, at: float) -> None:
        """A page came, `at` so many seconds of a clock that is never set."""
        for told in page.nodes:
            self._count += 1
            self._queued_events += told.queued_events
            self._queued_bytes += told.queued_bytes
            published, delivered = self._rates(told, at)
            self._seen[told.stream] = (at, told.published, told.delivered)
            busy = (published or 0.0) + (delivered or 0.0)
            waiting = told.queued_events + told.unanswered_events + told.calls_running
            if len(self._top) < MOST_ROWS:
                heapq.heappush(self._top, (busy, waiting, -self._count, _rowOf(told, published, delivered)))
            elif (busy, waiting, -self._count) > self._top[0][:3]:
                heapq.heapreplace(self._top, (busy, waiting, -self._count, _rowOf(told, published, delivered)))

    def _rates(self, told: NodeTold, at: float) -> tuple[float | None, float | None]:
        then, published, delivered = self._before.get(told.stream, (at, 0, 0))
        if at <= then or told.published < published or told.delivered < delivered:
            return None, None
        seconds = at - then
        return round((told.published - published) / seconds, 3), round((told.delivered - delivered) / seconds, 3)

    def finish(self, whole: bool = True) -> Sight:
        """That were all, or as many as are looked at; begin anew."""
        # By name where nobody does more than another: a list that jumps at each look cannot be read.
        top = sorted(self._top, key=lambda each: (-each[0], each[3].name, each[3].stream))
        sight = Sight([row for *_, row in top], self._count, self._queued_events, self._queued_bytes, whole)
        self._before = self._seen
        self.begin()
        return sight


def _rowOf(told: NodeTold, published: float | None, delivered: float | None) -> NodeRow:
    return NodeRow(
        plain(told.name),
        plain(told.host),
        plain(told.tub_id),
        plain(told.stream),
        plain(told.state),
        told.away,
        told.since,
        told.latency,
        published,
        delivered,
        told.queued_events,
        told.queued_bytes,
        told.unanswered_events,
        told.calls_running,
        {plain(reason): count for reason, count in list(told.drops.items())[:_REASONS]},
        _cut(told.subscriptions),
        max(told.subscribed, len(told.subscriptions)),
        _cut(told.methods),
        plain(told.version),
    )


def _cut(names: list[str]) -> list[str]:
    kept, room = [], _ROOM
    for name in names[:_NAMES]:
        room -= len(name)
        if room < 0:
            break
        kept.append(plain(name))
    return kept
