"""A node of the bridge, which passes payloads on as they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from nodeset.core.address import matches, parse
from nodeset.core.arguments import subscribable
from nodeset.core.message import RawMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch

__all__ = ["BridgeNode", "Taker"]

#: Called with the name of an event, with its message: `msg.data` is the payload as it was published.
Taker = Callable[[str, RawMessage], object]
#: Events whose takers are remembered.
_REMEMBERED: Final = 4096


@lru_cache(_REMEMBERED)
def _nameOf(address: str) -> str:
    return parse(address).eventName


class BridgeNode(Node):
    """A node that looks on: for each pattern it subscribes once, however many want it."""

    autosubscribe = False
    observes = True

    def __init__(self, *args: Any, **about: Any) -> None:
        super().__init__(*args, **about)
        self._takers: dict[str, list[Taker]] = {}
        #: Who waits for the dispatcher's answer, by pattern.
        self._asked: dict[str, list[Deferred[bool]]] = {}
        self._known: dict[str, tuple[Taker, ...]] = {}
        self._watchers: list[Callable[[bool, str], object]] = []

    def listen(self, pattern: str, taker: Taker) -> Deferred[bool]:
        """Call `taker` with each event that `pattern` matches.

        Fires with True once the dispatcher confirms it, at once when it did before; fails with `Refused`, then nothing stands.

        :raise InvalidAddressing: for what is no name or pattern.
        """
        known = self._takers.get(pattern)
        self._known.clear()
        # Each has a Deferred of its own: who gives up waiting takes nothing from the others.
        answer: Deferred[bool] = Deferred()
        if known is not None:
            known.append(taker)
            waiting = self._asked.get(pattern)
            if waiting is None:
                return succeed(True)
            waiting.append(answer)
            return answer
        self._takers[pattern] = [taker]
        asked = self._asked[pattern] = [answer]

        def answered(result: Any) -> None:
            if isinstance(result, Failure) and self._asked.get(pattern) is asked:
                self._takers.pop(pattern, None)
                self._known.clear()
            if self._asked.get(pattern) is asked:
                del self._asked[pattern]
            for each in asked:
                each.callback(result)  # a failure as well

        try:
            self.subscribe(pattern).addBoth(answered)
        except BaseException:
            del self._takers[pattern], self._asked[pattern]
            raise
        return answer

    def unlisten(self, pattern: str, taker: Taker) -> None:
        """Undo one `listen`; the last one unsubscribes."""
        takers = self._takers.get(pattern, [])
        if taker in takers:
            takers.remove(taker)
            self._known.clear()
            if not takers:
                del self._takers[pattern]
                self._asked.pop(pattern, None)
                self.unsubscribe(pattern).addErrback(lambda failure: None)  # a node that stops has nothing left to undo

    def hears(self, pattern: str) -> bool:
        """Whether what `listen` subscribed to stands still: with a new link, a narrower grant of ours, the dispatcher may have
        refused it."""
        if pattern in self._asked or self._peer is None:
            return True
        return subscribable(pattern, self.name, self.host) in self._peer.subscriptions()

    def watchLink(self, watcher: Callable[[bool, str], object]) -> None:
        """Call `watcher` with whether a link is open now, with the reason if not, each time that this changes."""
        self._watchers.append(watcher)

    def unwatchLink(self, watcher: Callable[[bool, str], object]) -> None:
        """Undo `watchLink`; again is fine."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def linkOpened(self) -> None:
        """Tell who watches."""
        for watcher in list(self._watchers):
            watcher(True, "")

    def linkLost(self, reason: str) -> None:
        """Tell who watches."""
        for watcher in list(self._watchers):
            watcher(False, reason)

    @catch("nodeset.>", RawMessage)
    @catch(">", RawMessage)
    def passOn(self, msg: RawMessage) -> None:
        """Give an event to all who listen for it."""
        assert msg.meta is not None, "it was received"
        address = msg.meta.event
        takers = self._known.get(address)
        if takers is None:
            takers = self._find(address)
        event = _nameOf(address)
        for taker in takers:
            taker(event, msg)

    def _find(self, address: str) -> tuple[Taker, ...]:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        event = _nameOf(address)
        found = tuple(taker for pattern, takers in self._takers.items() if matches(pattern, event) for taker in takers)
        self._known[address] = found
        return found
