"""A link between two nodes that cannot connect to each other: its batches go as calls through the dispatcher.

    pusher -> taker   carry(key, number, text)     batches toward the taker, in order, base64
    pusher -> taker   hear(key)                    batches toward the pusher, as soon as there are some

Only the pusher calls, so that the taker needs no right to call it. A call that fails is the end of the link.
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from nodeset.core.limits import MAX_EVENT
from nodeset.core.link import Receiver
from nodeset.core.streams.chunks import PIECE
from nodeset.errors import LinkLost, NodeSetError, ProtocolError

__all__ = ["CARRY_TIMEOUT", "HEAR_TIMEOUT", "RelayEnd", "RelayLink"]

#: Calls that carry batches at a time; what comes too early is kept until its turn.
_CALLS: Final = 4
#: Seconds for which a `hear` waits when there is nothing to hear; those that a call may take beside that.
_QUIET: Final = 20.0
CARRY_TIMEOUT: Final = 30.0
HEAR_TIMEOUT: Final = _QUIET + CARRY_TIMEOUT
#: Bytes that may wait for the pusher to hear them; those of one batch, as text, fit into a call.
_UNHEARD: Final = 8 * MAX_EVENT
_MOST_TEXT: Final = 2 * MAX_EVENT
#: Seconds for which a closed end keeps what was not heard.
_LINGER: Final = 10.0


def _write(batches: deque[bytes]) -> str:
    """The next batches as text: batches of frames, put together, are a batch."""
    taken, size = [batches.popleft()], 0
    while batches and (size := size + len(batches[0])) <= PIECE:
        taken.append(batches.popleft())
    return binascii.b2a_base64(b"".join(taken), newline=False).decode()


def _read(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) > _MOST_TEXT:
        raise ProtocolError(f"what is relayed must be text of at most {_MOST_TEXT} characters")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (ValueError, UnicodeEncodeError):
        raise ProtocolError("what is relayed must be base64") from None


class RelayLink:
    """The pusher's end, a `Link`.

    :param call: calls a method of the taker with arguments; the number is its time-out.
    """

    def __init__(
        self,
        call: Callable[[str, list[Any], float], Deferred[Any]],
        key: str,
        receiver: Receiver,
        clock: IReactorTime,
        peer: str,
    ) -> None:
        self._call, self._key, self._clock, self._peer = call, key, clock, peer
        self._receiver: Receiver | None = receiver
        self._queue: deque[bytes] = deque()
        self._calls: set[Deferred[Any]] = set()
        self._number = 0
        self._closing = self._lost = False
        self._hearing: Deferred[Any] | None = None
        self._hear()

    @property
    def peer(self) -> str:
        """See `Link`."""
        return self._peer

    def send(self, batch: bytes) -> None:
        """See `Link`."""
        if not self._lost and not self._closing:
            self._queue.append(batch)
            self._pump()

    def _pump(self) -> None:
        while self._queue and len(self._calls) < _CALLS and not self._lost:
            self._number += 1
            carried = self._call("carry", [self._key, self._number, _write(self._queue)], CARRY_TIMEOUT)
            self._calls.add(carried)
            carried.addBoth(self._carried, carried)
        if self._closing and not self._queue and not self._calls:
            self._lose(LinkLost("this side closed the link"))

    def _carried(self, result: Any, carried: Deferred[Any]) -> None:
        self._calls.discard(carried)
        if isinstance(result, Failure):
            self._failed(result)
        else:
            self._pump()

    def _hear(self) -> None:
        hearing = self._hearing = self._call("hear", [self._key], HEAR_TIMEOUT)
        hearing.addCallbacks(self._heard, self._failed)

    def _heard(self, texts: Any) -> None:
        self._hearing = None
        try:
            if not isinstance(texts, str):
                raise ProtocolError("what is relayed must be text")
            batch = _read(texts)
            if batch and self._receiver is not None:
                self._receiver.batchReceived(batch)
        except NodeSetError as error:
            self._lose(error)
        if not self._lost:
            # Not at once: calls that are answered within a turn would never let the reactor have it.
            self._clock.callLater(0, self._hearAgain)

    def _hearAgain(self) -> None:
        if not self._lost and self._hearing is None:
            self._hear()

    def _failed(self, failure: Failure) -> None:
        if not self._lost:
            error = failure.value
            self._lose(error if isinstance(error, NodeSetError) else LinkLost(f"the relay failed: {failure.getErrorMessage()}"))

    def close(self) -> None:
        """See `Link`."""
        if not self._closing:
            self._closing = True
            self._pump()

    def abort(self) -> None:
        """See `Link`."""
        self._lose(LinkLost("this side cut the link"))

    def _lose(self, reason: NodeSetError) -> None:
        if self._lost:
            return
        self._lost = True
        self._queue.clear()
        receiver, self._receiver = self._receiver, None
        hearing, self._hearing = self._hearing, None
        for call in [*self._calls, *([hearing] if hearing is not None else [])]:
            call.addErrback(lambda failure: failure.trap(CancelledError, NodeSetError))
            call.cancel()
        if receiver is not None:
            self._clock.callLater(0, receiver.linkLost, reason)


class RelayEnd:
    """The taker's end, a `Link`.

    :param over: called once nothing is left here to be heard.
    """

    def __init__(self, receiver: Receiver, clock: IReactorTime, peer: str, over: Callable[[], None]) -> None:
        self._receiver: Receiver | None = receiver
        self._clock, self._peer, self._over = clock, peer, over
        self._number = 0
        self._early: dict[int, bytes] = {}
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._hearing: Deferred[str] | None = None
        self._timer: IDelayedCall | None = None
        self._closed = False
        #: Whether nothing is left to be heard.
        self.done = False

    @property
    def peer(self) -> str:
        """See `Link`."""
        return self._peer

    # -- called by the pusher

    def carry(self, number: Any, text: Any) -> None:
        """Batches come. Raises `ProtocolError` for what cannot be, `LinkLost` when we are closed."""
        batch = _read(text)
        if self._closed:
            raise LinkLost("this stream is over")
        if not isinstance(number, int) or not self._number < number <= self._number + _CALLS or number in self._early:
            raise ProtocolError(f"batch {number!r:.40} does not follow batch {self._number}")
        self._early[number] = batch
        while (following := self._early.pop(self._number + 1, None)) is not None:
            self._number += 1
            if self._receiver is not None:
                try:
                    self._receiver.batchReceived(following)
                except NodeSetError as error:
                    self._lose(error)
                    raise

    def hear(self) -> Deferred[str]:
        """Fires with batches as text, with none after 20 s. Raises `LinkLost` when nothing will come any more."""
        self._answer("")
        if self._queue:
            return succeed(self._next())
        if self._closed:
            raise LinkLost("this stream is over")
        hearing: Deferred[str] = Deferred(self._unheard)
        self._hearing = hearing
        self._timer = self._clock.callLater(_QUIET, self._answer, "")
        return hearing

    def _unheard(self, cancelled: Deferred[str]) -> None:
        self._stopTimer()
        self._hearing = None

    def _next(self) -> str:
        text = _write(self._queue)
        self._queued = sum(map(len, self._queue))
        if self._closed and not self._queue:
            self._end()
        return text

    def _answer(self, text: str) -> None:
        hearing, self._hearing = self._hearing, None
        self._stopTimer()
        if hearing is not None:
            hearing.callback(text)

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    # -- used by our side

    def send(self, batch: bytes) -> None:
        """See `Link`."""
        if self._closed:
            return
        self._queue.append(batch)
        self._queued += len(batch)
        if self._hearing is not None:
            self._answer(self._next())
        elif self._queued > _UNHEARD:
            self._lose(LinkLost("the pusher does not hear what it is told"))

    def close(self) -> None:
        """See `Link`. What was sent may still be heard, for 10 s."""
        if not self._closed:
            self._closed = True
            self._tell(LinkLost("this side closed the link"))
            if self._queue:
                self._timer = self._clock.callLater(_LINGER, self._end)
            else:
                self._end()

    def abort(self) -> None:
        """See `Link`."""
        self._lose(LinkLost("this side cut the link"))

    def _lose(self, reason: NodeSetError) -> None:
        self._closed = True
        self._queue.clear()
        self._tell(reason)
        self._end()

    def _end(self) -> None:
        self._queue.clear()
        self.done = True
        self._answer("")
        self._over()

    def _tell(self, reason: NodeSetError) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self._clock.callLater(0, receiver.linkLost, reason)
