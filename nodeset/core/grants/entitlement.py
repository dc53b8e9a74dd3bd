"""Whether those that push to a node still may.

    taker -> dispatcher   unentitled([[pusher's stream, event name], ...])  ->  the places of those that may not

A direct stream does not pass the dispatcher, so what was granted for it, then revoked, would count for ever. What the
dispatcher does not know, since it or the pusher is out of reach, ends no stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from nodeset.core.streams.introduction import Ask
from nodeset.core.streams.takeend import TakeEnd
from nodeset.errors import LinkLost, NodeSetError

__all__ = ["LOOK", "Entitlement"]

#: Seconds between two questions.
LOOK: Final = 30.0
_ANSWER: Final = 10.0


class Entitlement:
    """Asks while there are streams.

    :param pushed: the streams that come in, each with its pusher's stream id.
    """

    log = Logger()

    def __init__(self, ask: Ask, pushed: Callable[[], list[tuple[str, TakeEnd]]], clock: IReactorTime) -> None:
        self._ask, self._pushed = ask, pushed
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def watch(self) -> None:
        """There is a stream."""
        if not self._loop.running:
            self._loop.start(LOOK, now=False).addErrback(lambda failure: self.log.failure("nobody asks any more", failure))

    def stop(self) -> None:
        """Ask no more."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None] | None:
        pushed = self._pushed()
        if not pushed:
            self.stop()
            return None
        return Deferred.fromCoroutine(self._askFor(pushed))

    async def _askFor(self, pushed: list[tuple[str, TakeEnd]]) -> None:
        try:
            answer: Any = await self._ask("", "unentitled", [[[stream, end.name] for stream, end in pushed]], _ANSWER)
        except NodeSetError:
            return  # there is no dispatcher now, or one that knows nothing of this
        for place in answer if isinstance(answer, list) else ():
            if isinstance(place, int) and 0 <= place < len(pushed):
                revoked = "the right to push this was revoked"
                pushed[place][1].cut(LinkLost(revoked), revoked)
