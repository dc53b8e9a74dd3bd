"""What a node does with the last values that it keeps: it tells its dispatcher of which events, hands them to newcomers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from nodeset.core.address import parse
from nodeset.core.batch import Frame, Keep, Level, Mode, Want
from nodeset.core.blocks import Terms
from nodeset.core.headers import makeHeaders
from nodeset.core.publisher import Publisher
from nodeset.core.retained.store import Kept, Retained
from nodeset.errors import InvalidAddressing, Overloaded, ProtocolError

__all__ = ["MAX_WANTS", "Keeping"]

#: Askings that may wait: more than a dispatcher has nodes by default.
MAX_WANTS = 200_000
#: Values that are on their way to newcomers at a time, their bytes: the node's own events wait behind no more than these.
_AT_ONCE, _AT_ONCE_BYTES = 64, 1024 * 1024
#: Seconds until a value that is handed over is given up, the usual ones.
_TIMEOUT = 60.0


class Keeping:
    """The last values of one node, over all its links.

    :param write: sends a frame, if a link is open.
    """

    def __init__(
        self, publisher: Publisher, clock: IReactorTime, write: Callable[[Frame], None], counters: Counter[str]
    ) -> None:
        self._publisher, self._clock, self._write, self._counters = publisher, clock, write, counters
        self.retained = Retained()
        self._wants: deque[Want] = deque()
        #: What is left to hand of the first of them.
        self._events: deque[str] = deque()
        self._told: list[str] = []
        self._under_way = self._bytes = 0
        self._busy = self._stopped = False

    # -- what the node keeps

    def keep(self, event: str, payload: bytes, raw: bool, ttl: float | None) -> tuple[Kept, Kept | None]:
        """Keep this as the last value; returns it with the one before. Raises `Overloaded` when there is no room."""
        now = self._clock.seconds()
        before = self.retained.get(event)
        expires = None if ttl is None else now + ttl
        try:
            kept = self.retained.keep(event, payload, raw, expires)
        except Overloaded:
            self.tick()  # some may be over
            kept = self.retained.keep(event, payload, raw, expires)
        if before is None:
            self._write(Keep(event))
        return kept, before

    def putBack(self, event: str, before: Kept | None) -> None:
        """What was kept could not be published: the one before is the last one still."""
        self.retained.put(event, before)
        if before is None:
            self._write(Keep(event, False))

    def forget(self, event: str) -> bool:
        """Keep nothing of `event`; returns whether something was kept."""
        known = self.retained.get(event) is not None
        if known:
            self.putBack(event, None)
        return known

    def tick(self) -> None:
        """Some time has passed: forget what is over, go on with what had no room."""
        for event in self.retained.expire(self._clock.seconds()):
            self._write(Keep(event, False))
        self._hand()

    # -- links

    def told(self) -> list[str]:
        """What the next dispatcher is told in a hello."""
        self._told = self.retained.events()
        return self._told

    def untold(self) -> list[Keep]:
        """A link is open: what has changed since the hello was written."""
        told, kept = set(self._told), set(self.retained.events())
        self._told = []
        return [*(Keep(event) for event in sorted(kept - told)), *(Keep(event, False) for event in sorted(told - kept))]

    def linkLost(self) -> None:
        """The next dispatcher, or this one on the next link, asks for what was not handed yet."""
        self._wants.clear()
        self._events.clear()

    def stop(self) -> None:
        """The node is about to leave: hand no more."""
        self._stopped = True
        self.linkLost()

    def wanted(self, want: Want) -> None:
        """Hand what is kept of a pattern to the node with a stream. Raises `ProtocolError` for what is no pattern."""
        try:
            parse(want.pattern)
        except InvalidAddressing as error:
            raise ProtocolError(str(error)) from None
        if self._stopped:
            return
        if len(self._wants) >= MAX_WANTS:
            self._counters["unhanded"] += 1  # but not said back: we are asked again on the next link
            return
        self._wants.append(want)
        if len(self._wants) == 1:
            self._begin()
        self._hand()

    def _begin(self) -> None:
        """Look up what is kept for the first of those who want something."""
        self._events = deque(self.retained.matching(self._wants[0].pattern))

    def _hand(self) -> None:
        """Hand as much as may be under way, in turn."""
        if self._busy:
            return
        self._busy = True
        try:
            while self._wants and self._under_way < _AT_ONCE and self._bytes < _AT_ONCE_BYTES:
                if self._events:
                    if not self._handOne(self._events[0], self._wants[0].to):
                        return
                    self._events.popleft()
                else:
                    self._write(self._wants.popleft())
                    if self._wants:
                        self._begin()
        finally:
            self._busy = False

    def _handOne(self, event: str, to: str) -> bool:
        """Publish the last value of `event` for one node alone; returns False when there was no room for it."""
        now = self._clock.seconds()
        kept = self.retained.get(event)
        if kept is None or kept.isOver(now):
            return True
        headers = makeHeaders(kept.raw, retained=kept.number, handed=True)
        left = None if kept.expires is None else kept.expires - now
        size = len(kept.payload)
        handed = self._publisher.publish(Terms(event, Mode.ALL, Level.DELIVERED, _TIMEOUT, headers, left, to), kept.payload)
        if handed.called:  # there was no room even to wait: the next tick tries again
            handed.addErrback(lambda failure: None)
            return False
        self._under_way += 1
        self._bytes += size
        handed.addBoth(self._handed, size)
        return True

    def _handed(self, result: object, size: int) -> None:
        self._under_way -= 1
        self._bytes -= size
        self._counters["unhanded" if isinstance(result, Failure) else "handed"] += 1
        self._hand()
