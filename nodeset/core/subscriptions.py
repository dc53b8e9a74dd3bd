"""What a node subscribes to, over every link.

The list lives here and is told anew to each dispatcher. A Deferred fires when a dispatcher says that a subscription is active;
the subscription itself stands from the call on, however long no dispatcher is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed

from nodeset.core.batch import MAX_HELLO, MAX_SUBSCRIPTIONS, Frame, Sub, Subbed, Unsub
from nodeset.errors import NotRunning, ProtocolError, Refused

__all__ = ["Subscriptions"]


#: Bytes of all subscriptions together: they have to be told in one `Hello`, with room for what else is in it.
_ROOM = MAX_HELLO * 3 // 4


def _weigh(pattern: str) -> int:
    """The bytes that a subscription takes at most."""
    return len(pattern.encode()) + 32


class Subscriptions:
    """The subscriptions that are held, by pattern.

    :param write: sends a frame; called only while a link is open, between `opened` and `linkLost`.
    :param refused: called with a pattern that the dispatcher does not grant, and its reason.
    """

    def __init__(self, write: Callable[[Frame], None], refused: Callable[[str, str], None]) -> None:
        self._write, self._refused = write, refused
        self._held: dict[str, Sub] = {}
        self._weight = 0
        self._active: set[str] = set()
        self._awaited: dict[str, list[Deferred[bool]]] = {}
        self._asked: deque[tuple[str, Deferred[bool] | None]] = deque()
        self._linked = False

    def held(self) -> list[Sub]:
        """Every subscription, in the order subscribed."""
        return list(self._held.values())

    def subscribe(self, sub: Sub) -> Deferred[bool]:
        """Hold `sub`; fires with True once it is active, fails with `Refused`. Again is fine; `own` only grows.

        One that is too many is refused at once: a hello that says more than it may would keep us from every link.
        """
        pattern = sub.pattern
        held = self._held.get(pattern)
        if held is None and (len(self._held) >= MAX_SUBSCRIPTIONS or self._weight + _weigh(pattern) > _ROOM):
            reason = f"a node may have {MAX_SUBSCRIPTIONS} subscriptions, {_ROOM} bytes of them: use patterns"
            self._refused(pattern, reason)
            return fail(Refused(f"the subscription to {pattern!r} is one too many: {reason}"))
        if held is not None and held.own and not sub.own:
            sub = Sub(pattern, True, sub.policy, sub.max_events, sub.max_bytes)
        if held is None:
            self._weight += _weigh(pattern)
        if sub != held:
            self._held[pattern] = sub
            self._active.discard(pattern)
            self._ask(sub)
        elif pattern in self._active:
            return succeed(True)
        active: Deferred[bool] = Deferred()
        self._awaited.setdefault(pattern, []).append(active)
        return active

    def unsubscribe(self, pattern: str) -> Deferred[bool]:
        """Hold `pattern` no longer; fires with False when it was not held, else with True once it is over."""
        if not self._drop(pattern):
            return succeed(False)
        self._active.discard(pattern)
        for waiting in self._awaited.pop(pattern, ()):
            waiting.callback(False)
        if not self._linked:
            return succeed(True)
        over: Deferred[bool] = Deferred()
        self._asked.append((pattern, over))
        self._write(Unsub(pattern))
        return over

    def _ask(self, sub: Sub) -> None:
        if self._linked:
            self._asked.append((sub.pattern, None))
            self._write(sub)

    def opened(self, told: list[Sub], refused: dict[str, str]) -> None:
        """A link is open that was told of `told`; ask for what has changed while that was on its way."""
        self._linked = True
        known = {sub.pattern: sub for sub in told}
        for pattern, sub in known.items():
            if pattern in refused:
                self._refuse(pattern, refused[pattern])
            elif pattern not in self._held:
                self._asked.append((pattern, Deferred()))
                self._write(Unsub(pattern))
            elif self._held[pattern] == sub:
                self._activate(pattern)
        for sub in self.held():
            if known.get(sub.pattern) != sub:
                self._ask(sub)

    def answered(self, frame: Subbed) -> None:
        """The dispatcher answers the request that is longest unanswered. Raises `ProtocolError` if it does not."""
        pattern, over = self._asked.popleft() if self._asked else ("", None)
        if pattern != frame.pattern:
            raise ProtocolError(f"{frame.pattern!r} was answered where {pattern!r} was due")
        if over is not None:
            over.callback(True)
        elif frame.refused:
            self._refuse(pattern, frame.refused)
        elif pattern in self._held and all(asked != pattern for asked, _over in self._asked):
            self._activate(pattern)

    def _activate(self, pattern: str) -> None:
        self._active.add(pattern)
        for waiting in self._awaited.pop(pattern, ()):
            waiting.callback(True)

    def _drop(self, pattern: str) -> bool:
        held = self._held.pop(pattern, None) is not None
        if held:
            self._weight -= _weigh(pattern)
        return held

    def _refuse(self, pattern: str, reason: str) -> None:
        self._drop(pattern)
        waiting = self._awaited.pop(pattern, [])
        self._refused(pattern, reason)
        for deferred in waiting:
            deferred.errback(Refused(f"the dispatcher refuses the subscription to {pattern!r}: {reason}"))

    def linkLost(self) -> None:
        """Nothing is active any more; all is asked for again on the next link."""
        self._linked = False
        self._active.clear()
        asked, self._asked = self._asked, deque()
        for _pattern, over in asked:
            if over is not None:
                over.callback(True)

    def stop(self) -> None:
        """Whoever still waits is told that it will not come."""
        awaited, self._awaited = self._awaited, {}
        for pattern, waiting in awaited.items():
            for deferred in waiting:
                deferred.errback(NotRunning(f"the node stopped before the subscription to {pattern!r} was active"))
