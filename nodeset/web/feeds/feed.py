"""The events of some patterns that one agent may see, with all who read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.batch import NO_HEADERS
from nodeset.core.headers import retainedOf
from nodeset.core.message import RawMessage
from nodeset.web.agent import Agent
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.feeds.formats import Entry, Scribe, batches
from nodeset.web.feeds.latest import Latest
from nodeset.web.feeds.ring import Bounds, Ring
from nodeset.web.feeds.tap import BATCH, Opening, Sink, Tap

__all__ = ["LINK", "Feed"]

#: Why events may be missing: there was no dispatcher for a while.
LINK: Final = "link"


class Feed:
    """One feed.

    :param node: who hears the events.
    :param epoch: what its ids begin with.
    :param stir: called when something came, once until `flush`.
    :ivar idle_since: since when nobody reads it, None while somebody does.
    :ivar trouble: why the dispatcher does not let it hear its events, once it said so.
    """

    log = Logger()

    def __init__(
        self,
        node: BridgeNode,
        patterns: tuple[str, ...],
        epoch: str,
        bounds: Bounds,
        seconds: Callable[[], float],
        wall: Callable[[], float],
        stir: Callable[[Feed], object],
    ) -> None:
        self.node, self.patterns = node, patterns
        self.ring, self.latest = Ring(epoch, bounds), Latest(bounds)
        self._scribe = Scribe(epoch)
        self._seconds, self._wall, self._stir = seconds, wall, stir
        self._number = 0
        self._pending: list[Entry] = []
        self._newest: RawMessage | None = None
        self._taps: dict[Tap, None] = {}
        self._opening = 0
        self._unconfirmed = set(patterns)
        self._waiting: list[Deferred[None]] = []
        self.trouble: Failure | None = None
        self.is_over = False
        self._is_lost = False
        self.idle_since: float | None = seconds()

    @property
    def size(self) -> int:
        """Bytes of what it keeps."""
        return self.ring.size + self.latest.size

    def shrink(self) -> None:
        """Keep half of that."""
        ring, latest = self.ring, self.latest
        if latest.size > ring.size:
            latest.clear()
        else:
            ring.shrink(ring.size // 2)

    @property
    def taps(self) -> list[Tap]:
        """Who reads it."""
        return list(self._taps)

    @property
    def number(self) -> int:
        """Of the newest entry."""
        return self._number

    # -- the dispatcher

    def listen(self) -> None:
        """Hear the events."""
        for pattern in self.patterns:
            self.node.listen(pattern, self.hear).addCallbacks(self._confirmed, self._refused, callbackArgs=(pattern,))

    def _confirmed(self, result: bool, pattern: str) -> None:
        self._unconfirmed.discard(pattern)
        if not self._unconfirmed:
            self.release()

    def _refused(self, failure: Failure) -> None:
        if not self.is_over and self.trouble is None:
            self.trouble = failure
            self._stir(self)
            self.release()

    def release(self) -> None:
        """Let nobody wait any longer for the dispatcher's answer."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:  # what one of them does may make another one give up
                each.callback(None)

    def confirmed(self) -> Deferred[None]:
        """Fires once the dispatcher has answered all, or there is none that could."""
        if self.is_over or self.trouble is not None or not self._unconfirmed or not self.node.is_linked:
            return succeed(None)

        def giveUp(waiting: Deferred[None]) -> None:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

        waiting: Deferred[None] = Deferred(giveUp)
        self._waiting.append(waiting)
        return waiting

    def unlisten(self) -> None:
        """Hear nothing any more."""
        self.is_over = True
        for pattern in self.patterns:
            self.node.unlisten(pattern, self.hear)
        self._pending.clear()
        self.release()

    # -- what comes

    def hear(self, event: str, msg: RawMessage) -> None:
        """An event came. One that two of our patterns match comes twice in a row, as the same message."""
        if msg is self._newest or self.is_over:
            return
        self._newest = msg
        is_raw = is_retained = False
        meta = msg.meta
        if meta is not None and meta.packed_headers is not NO_HEADERS:
            headers = meta.headers
            is_raw, is_retained = headers.get("content_type") == "raw", retainedOf(headers)[0] > 0
        self._number += 1
        entry = self._scribe.event(self._number, self._seconds(), event, self._wall(), msg.data, is_raw)
        if is_retained:
            self.latest.put(event, entry)
        self._add(entry)

    def _add(self, entry: Entry) -> None:
        if not self._pending:
            self._stir(self)
        self._pending.append(entry)
        self.ring.add(entry)

    def lost(self) -> None:
        """There is no dispatcher."""
        self._is_lost = True
        self.release()
        for tap in self.taps:
            self.tell(tap, lambda sink: sink.linked(False))

    def found(self) -> None:
        """There is one again: nobody knows what was published meanwhile, nor which values are still kept."""
        self.latest.clear()
        for tap in self.taps:
            self.tell(tap, lambda sink: sink.linked(True))
        if not self._is_lost:
            return  # there was none before either
        self._is_lost = False
        self._number += 1
        self._add(self._scribe.gap(self._number, self._seconds(), LINK))

    def flush(self) -> int:
        """Give everybody what came in this turn; returns how many events that were, one for each who reads it."""
        pending, self._pending = self._pending, []
        self._newest = None
        if not self._taps:
            return 0
        given = len(pending) * len(self._taps)
        for batch in batches(pending, BATCH):
            for tap in list(self._taps):
                if not tap.is_closed:
                    try:
                        tap.sink.take(batch)
                    except Exception:
                        self._failed(tap)
        return given

    def tell(self, tap: Tap, say: Callable[[Sink], object]) -> None:
        """Say something to one sink; one that fails harms nobody else."""
        try:
            say(tap.sink)
        except Exception:
            self._failed(tap)

    def _failed(self, tap: Tap) -> None:
        self.log.failure("a client of {patterns} failed, it gets nothing more", Failure(), patterns=list(self.patterns))
        tap.close()

    # -- who reads

    def come(self) -> int:
        """Somebody is about to read: the number after which he does."""
        self._opening += 1
        self.idle_since = None
        return self._number

    def turnAway(self) -> None:
        """He does not, after all."""
        self._opening -= 1
        self._rest()

    def enter(self, agent: Agent, sink: Sink, last_id: str | None, came: int) -> Tap:
        """He does, `came` having been the number when he asked."""
        # What is pending would come again in this turn's batch, to those who were here before.
        self.flush()
        self._opening -= 1
        ring = self.ring
        ring.trim(self._seconds())
        gap = ""
        if last_id is None:
            entries = [*self.latest.upTo(came), *ring.after(came)]
        else:
            entries, gap = ring.resume(last_id)
        gap_id = ring.idOf(entries[0].number - 1 if entries else self._number) if gap else ""
        opening = Opening(gap, gap_id, self.node.is_linked, tuple(entries), ring.idOf(self._number))
        tap = Tap(agent, sink, opening, self._leave)
        self._taps[tap] = None
        return tap

    def _leave(self, tap: Tap) -> None:
        self._taps.pop(tap, None)
        self._rest()

    def _rest(self) -> None:
        if not self._taps and not self._opening:
            self.idle_since = self._seconds()
