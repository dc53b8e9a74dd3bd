"""Which nodes a dispatcher asks to hand their last values to whom.

It asks for each new subscription who keeps what matches, for each new keeper who subscribes already. What was asked is owed
until the node has said it back, so that a link that is lost meanwhile loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from nodeset.core.address import isPattern, parse
from nodeset.core.alarms import Alarms
from nodeset.core.answers import Answers
from nodeset.core.batch import MAX_RETAINED, Keep, Want
from nodeset.core.retained.keepers import Keepers
from nodeset.core.routing import RouteEntry, RoutingTable
from nodeset.core.session import Session
from nodeset.errors import InvalidAddressing, ProtocolError, Refused

__all__ = ["Handing"]

#: Subscriptions and kept events that are looked up in one go, a few milliseconds.
_AT_ONCE = 1000


class Handing:
    """Asks by frames that it adds to what `answers` has to send; it learns of subscriptions from `table`.

    :param settled: whether the dispatcher routes yet: one that starts anew asks when all are back, once.
    """

    def __init__(
        self, table: RoutingTable, answers: Answers, alarms: Alarms, settled: Callable[[float], bool] = lambda now: True
    ) -> None:
        self._table, self._answers, self._alarms, self._settled = table, answers, alarms, settled
        self._resting = False
        self._keepers = Keepers()
        #: Whom to look up: a new subscription, or a new keeper with what it keeps.
        self.new: dict[RouteEntry | tuple[str, str], None] = {}
        #: By who is to get it, then by pattern: who was asked.
        self._owed: dict[str, dict[str, set[str]]] = {}
        table.addObserver("add", self.subscribed)
        table.addObserver("remove", self._unsubscribed)

    def subscribed(self, entry: RouteEntry) -> None:
        """There is a new subscription, or one that covers more than before."""
        if self._keepers:
            self.new[entry] = None

    def _unsubscribed(self, entry: RouteEntry) -> None:
        self.new.pop(entry, None)
        owed = self._owed.get(str(entry.peer))
        if owed is not None and owed.pop(entry.pattern, None) is not None and not owed:
            del self._owed[str(entry.peer)]

    # -- who keeps what

    @staticmethod
    def check(retained: list[str]) -> None:
        """Raises `Refused` for an event that nobody publishes."""
        try:
            for event in retained:
                _check(event)
        except InvalidAddressing as error:
            raise Refused(str(error)) from None

    def joined(self, session: Session, known: bool, retained: list[str]) -> None:
        """`session` has opened a link, keeps the last values of `retained`, which were checked."""
        stream = session.stream
        retained = [
            event for event in retained if not session.rights.mayPublish(event)
        ]  # who may not publish one is not asked for it
        for event in set(self._keepers.kept(stream)).difference(retained):
            self._keepers.remove(stream, event)
        for event in retained:
            self._keepers.add(stream, event)
            if not known:
                self.new[stream, event] = None
        if known:
            for to, patterns in self._owed.items():
                for pattern, keepers in patterns.items():
                    if stream in keepers:
                        self._answers.sends.append((session, Want(pattern, to)))

    def said(self, session: Session, frame: Keep | Want) -> None:
        """`session` says what it keeps, or that it has done what it was asked. Raises `ProtocolError`."""
        if type(frame) is Want:
            self._settle(session.stream, frame.pattern, frame.to)
        elif type(frame) is Keep:
            self._keep(session, frame)

    def _keep(self, session: Session, frame: Keep) -> None:
        """`session` keeps an event from now on, or no longer. Raises `ProtocolError`.

        A new one is on its way to all who subscribe; one that its hello had no room for may be new to them.
        """
        stream = session.stream
        if not frame.kept:
            self._keepers.remove(stream, frame.event)
            self.new.pop((stream, frame.event), None)
            return
        if self._keepers.count(stream) >= MAX_RETAINED:
            raise ProtocolError(f"a node may keep the last values of {MAX_RETAINED} events, not of {frame.event!r:.60} as well")
        try:
            _check(frame.event)
        except InvalidAddressing as error:
            raise ProtocolError(str(error)) from None
        if session.rights.mayPublish(frame.event):
            return  # as in `joined`
        self._keepers.add(stream, frame.event)
        if frame.rest:
            self.new[stream, frame.event] = None

    def left(self, session: Session) -> None:
        """`session` hands nothing any more, nor wants anything."""
        stream = session.stream
        self._owed.pop(stream, None)
        if not self._keepers.count(stream):
            return
        self._keepers.leave(stream)
        for new in [new for new in self.new if isinstance(new, tuple) and new[0] == stream]:
            del self.new[new]
        for to, patterns in list(self._owed.items()):
            for pattern in list(patterns):
                self._settle(stream, pattern, to)

    # -- asking

    def ask(self, now: float) -> None:
        """Ask whom there is to ask, for some of what is new; after that others get their turn until the next alarm."""
        if not self.new or self._resting or not self._settled(now):
            return
        for new in list(islice(self.new, _AT_ONCE)):
            del self.new[new]
            if isinstance(new, RouteEntry):
                for keeper in self._keepers.find(new.pattern):
                    self._ask(keeper, new)
            else:
                for entry in self._table.lookup(parse(new[1])):
                    self._ask(new[0], entry)
        if self.new:
            self._resting = True
            self._alarms.at(now, self._rested)

    def _rested(self, now: float) -> None:
        self._resting = False

    def _ask(self, keeper: str, entry: RouteEntry) -> None:
        sessions, to = self._answers.sessions, str(entry.peer)
        session = sessions[keeper]
        if keeper == to and not any(session.spellings[entry].values()):
            return  # it does not want its own events
        asked = self._owed.setdefault(to, {}).setdefault(entry.pattern, set())
        if keeper not in asked:
            asked.add(keeper)
            if not session.away:
                self._answers.sends.append((session, Want(entry.pattern, to)))

    def _settle(self, keeper: str, pattern: str, to: str) -> None:
        patterns = self._owed.get(to, {})
        asked = patterns.get(pattern, set())
        asked.discard(keeper)
        if not asked and patterns.pop(pattern, None) is not None and not patterns:
            del self._owed[to]


def _check(event: str) -> None:
    """Raises `InvalidAddressing` for what nobody can publish."""
    if isPattern(parse(event).eventName):
        raise InvalidAddressing(f"{event!r:.60} is a pattern: one subscribes to it, nobody keeps its last value")
