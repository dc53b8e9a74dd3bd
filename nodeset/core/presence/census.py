"""Who is there as far as one node was told, with what of it is new to the handlers of that node.

What is known is kept over links and starts of the dispatcher. A node that is told to be as it was known to be is not shown
again; one that is missing when a snapshot ends is shown as down. So handlers see no ghost and nothing twice, and miss only
what began and ended while no dispatcher could tell of it.
"""

from __future__ import annotations

import attrs

from nodeset.core.batch import NO_HEADERS, Events, Level, Mode
from nodeset.core.presence.standing import BEGIN, DOWN, END, EVENTS, PREFIX, SNAPSHOT, Told, packTold, unpackTold, watched

__all__ = ["LOCAL", "MAX_KNOWN", "Census"]

#: The stream under which handlers are shown what they are shown: no node's, since those are longer.
LOCAL = "presence"
#: Nodes that are remembered, as many as a dispatcher has at most unless it was told otherwise. More are shown as they are told.
MAX_KNOWN = 100_000


@attrs.define(eq=False)
class _Known:
    """A node as it was last told; with no state it is to be shown again."""

    name: str
    host: str
    tub: str
    state: str


class Census:
    """What one node knows of who is there.

    :ivar stream: the stream of the dispatcher that tells, None before a first link.
    """

    def __init__(self, most: int = MAX_KNOWN) -> None:
        self.stream: str | None = None
        self._most = most
        self._wanted: frozenset[str] = frozenset()
        self._known: dict[str, _Known] = {}
        self._unmentioned: dict[str, None] | None = None
        self._heard = 0
        self._shown = 0

    def __len__(self) -> int:
        """How many nodes are known."""
        return len(self._known)

    def want(self, patterns: list[str]) -> None:
        """These event names and patterns are subscribed to from now on; what they add is shown by the next snapshot."""
        wanted = frozenset(state for pattern in patterns for state in watched(pattern))
        new, self._wanted = wanted - self._wanted, wanted
        if not wanted:
            self._known.clear()
            self._unmentioned = None
        for known in self._known.values():
            if known.state in new:
                known.state = ""

    def met(self, stream: str) -> None:
        """A link to the dispatcher with this stream is open."""
        if stream != self.stream:
            self.stream, self._heard = stream, 0
        self._unmentioned = None  # a snapshot that was under way begins again

    def hear(self, run: Events) -> list[Events]:
        """The dispatcher tells something: what is to be shown, as runs of the stream `LOCAL`."""
        shown: list[Told] = []
        if run.event == BEGIN:
            self._unmentioned = dict.fromkeys(self._known)
        elif run.event == END:
            shown += self._findMissing()
        elif run.event == SNAPSHOT:
            for payload in run.cut(0, 0, len(run.lengths)):
                shown += self._told(payload)
        elif run.event.startswith(PREFIX):
            # What was lost with a link, or its answer was, is told again.
            again = min(max(0, self._heard + 1 - run.first), len(run.lengths))
            for payload in run.cut(again, sum(run.lengths[:again]), len(run.lengths)):
                shown += self._told(payload)
            self._heard = max(self._heard, run.last)
        return self._runs([told for told in shown if told.state in self._wanted])

    def _findMissing(self) -> list[Told]:
        missing, self._unmentioned = self._unmentioned or {}, None
        return [self._gone(stream, "it is not there any more") for stream in missing if stream in self._known]

    def _gone(self, stream: str, reason: str) -> Told:
        known = self._known.pop(stream)
        return Told(known.name, known.host, known.tub, stream, DOWN, known.state, reason)

    def _told(self, payload: bytes) -> list[Told]:
        """What `payload` says, as far as it is new."""
        told = unpackTold(payload)
        if told is None:
            return []
        if self._unmentioned is not None:
            self._unmentioned.pop(told.stream, None)
        known, shown = self._known.get(told.stream), [told]
        if known is not None:
            told.was = known.state
        if told.state == DOWN:
            self._known.pop(told.stream, None)
            return shown
        if known is not None and (known.name, known.host) != (told.name, told.host):
            shown.insert(0, self._gone(told.stream, f"it is called {told.name} now"))
            told.was, known = "", None
        if known is not None:
            if known.state == told.state:
                return []
            known.state = told.state
        elif len(self._known) < self._most:
            self._known[told.stream] = _Known(told.name, told.host, told.tub, told.state)
        return shown

    def _runs(self, shown: list[Told]) -> list[Events]:
        runs = []
        for told in shown:
            self._shown += 1
            payload = packTold(told)
            event, number = EVENTS[told.state], self._shown
            runs.append(
                Events(LOCAL, number, Mode.ALL, False, event, number, Level.ACCEPTED, [len(payload)], NO_HEADERS, payload)
            )
        return runs
