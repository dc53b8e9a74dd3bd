"""The pusher's end of a stream to one peer: what is on its way there, what waits until there is room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs
import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from nodeset.core.link import Link
from nodeset.core.streams.chunks import OVERHEAD, Kind, pack, pieces, unpack
from nodeset.core.streams.spout import Spout
from nodeset.errors import LinkLost, NodeSetError, ProtocolError, RemoteError

__all__ = ["QUEUED", "WINDOW", "PushEnd", "StreamPeer"]

#: Bytes that may be on their way to a peer that has not taken them; a chunk may begin while there are less.
WINDOW: Final = 4 * 1024 * 1024
#: Bytes that may wait behind them, when nobody heeds the back-pressure.
QUEUED: Final = 16 * 1024 * 1024
#: Bytes of results that are heard before it is said.
_HEARD: Final = 256 * 1024


@attrs.frozen
class StreamPeer:
    """Who is at the other end of a stream.

    `direct` says whether chunks go there without the dispatcher; `introduction` is by what the dispatcher lets us call it.
    """

    name: str
    host: str
    tub: str
    introduction: str = attrs.field(repr=False)
    direct: bool = True

    def __str__(self) -> str:
        return f"{self.name}@{self.host}"


class PushEnd:
    """A `Receiver` of what one peer says about the chunks that it is sent.

    :param room: called when there is room again.
    :param lost: called once, when the peer is lost otherwise than by `finish`.
    """

    def __init__(
        self,
        peer: StreamPeer,
        clock: IReactorTime,
        room: Callable[[], None] = lambda: None,
        lost: Callable[[PushEnd, NodeSetError], None] = lambda end, error: None,
    ) -> None:
        self.peer = peer
        self.room, self.lost = room, lost
        self._clock = clock
        #: When something was heard last.
        self.heard = clock.seconds()
        self.open = False
        self._spout = Spout(clock)
        self._number = 0
        self._flying = 0
        self._sizes: deque[tuple[int, int]] = deque()
        self._waiting: deque[tuple[int, bytes, Kind]] = deque()
        self._queued = 0
        self._results: dict[int, Deferred[Any]] = {}
        self._unsaid = 0
        self._ending = self._said = False
        self._ended: list[Deferred[None]] = []

    # -- the link

    def begin(self, link: Link, peer: StreamPeer) -> None:
        """Send over `link` from now on, first that we are here: by that the other end knows which link it is."""
        self.peer, self.open = peer, True
        self._spout.attach(link)
        self._spout.write(pack(Kind.BEAT), soon=True)

    def beat(self) -> None:
        """Say that we are here."""
        self._spout.write(pack(Kind.BEAT))

    def linkLost(self, reason: NodeSetError) -> None:
        """The link is gone, or the peer."""
        self._over(reason)

    def _over(self, reason: NodeSetError, clean: bool = False) -> None:
        if not self.open:
            return
        self.open = False
        self._spout.detach()
        self._waiting.clear()
        self._sizes.clear()
        self._flying = self._queued = 0
        results, self._results = self._results, {}
        ended, self._ended = self._ended, []
        if not clean:
            self.lost(self, reason)
        for result in results.values():
            result.errback(LinkLost(f"{self.peer} was lost before it had taken the chunk: {reason}"))
        for waiting in ended:
            waiting.callback(None)

    def cut(self, reason: NodeSetError) -> None:
        """Give the peer up, telling it why."""
        link = self._spout.link
        self._spout.write(pack(Kind.END, self._number, str(reason).encode(errors="replace")[:1000]))
        self._spout.flush()
        self.linkLost(reason)
        if link is not None:
            link.close()

    # -- out

    @property
    def full(self) -> bool:
        """Whether the next chunk would have to wait."""
        return bool(self._waiting) or self._flying >= WINDOW

    def hasPlace(self, size: int) -> bool:
        """Whether a chunk of `size` bytes may be given now, be it to wait."""
        return not self._waiting or self._queued + size <= QUEUED

    def write(self, chunk: bytes) -> None:
        """Send it, now or when there is room."""
        self._put(chunk, Kind.WRITE)

    def push(self, chunk: bytes) -> Deferred[Any]:
        """Send it; fires with what the peer returned. Fails with `RemoteError` for what it raised, or `LinkLost`."""
        number = self._put(chunk, Kind.PUSH)

        def forget(cancelled: Deferred[Any]) -> None:
            self._results.pop(number, None)

        result = self._results[number] = Deferred(forget)
        return result

    def _put(self, chunk: bytes, kind: Kind) -> int:
        self._number += 1
        if self.full:
            self._waiting.append((self._number, chunk, kind))
            self._queued += len(chunk) + OVERHEAD
        else:
            self._send(self._number, chunk, kind)
        return self._number

    def _send(self, number: int, chunk: bytes, kind: Kind) -> None:
        weight = len(chunk) + OVERHEAD
        idle = not self._flying
        self._flying += weight
        self._sizes.append((number, weight))
        for piece in pieces(kind, number, chunk):
            self._spout.write(piece, soon=idle)

    def finish(self) -> Deferred[None]:
        """Say that nothing follows; fires when the peer has taken all that was sent, or is lost."""
        if not self.open:
            return succeed(None)
        if not self._ending:
            self._ending = True
            self._sayEnd()
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        return ended

    def _sayEnd(self) -> None:
        if not self._waiting and not self._said:
            self._said = True
            self._spout.write(pack(Kind.END, self._number))

    # -- in

    def batchReceived(self, batch: bytes) -> None:
        """The peer says something. Raises `ProtocolError` for nonsense."""
        self.heard = self._clock.seconds()
        had_room = not self.full
        for kind, number, _whole, body in unpack(batch):
            if not self.open:
                return
            if kind is Kind.BEAT:
                continue
            if kind is Kind.END:
                self._peerEnds(body)
                return
            if kind not in (Kind.TOOK, Kind.RESULT, Kind.FAILED) or number > self._number:
                raise ProtocolError(f"whom we push to cannot say {kind.name} {number}")
            self._took(number)
            if kind is not Kind.TOOK:
                self._answered(kind, number, body)
        if not had_room and not self.full:
            self.room()

    def _took(self, number: int) -> None:
        sizes = self._sizes
        while sizes and sizes[0][0] <= number:
            self._flying -= sizes.popleft()[1]
        while self._waiting and self._flying < WINDOW:
            waiting, chunk, kind = self._waiting.popleft()
            self._queued -= len(chunk) + OVERHEAD
            self._send(waiting, chunk, kind)
        if self._ending:
            self._sayEnd()

    def _answered(self, kind: Kind, number: int, body: bytes) -> None:
        self._unsaid += len(body) + OVERHEAD
        if self._unsaid >= _HEARD:
            self._unsaid = 0
            self._spout.write(pack(Kind.HEARD, number))
        result = self._results.pop(number, None)
        if result is None:
            return  # nobody waits for it any more, or nobody did
        if kind is Kind.FAILED:
            name, _colon, text = body.decode(errors="replace").partition(": ")
            result.errback(RemoteError(f"{self.peer} could not take the chunk: {name}: {text}"[:1000], name))
            return
        try:
            value = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            result.errback(RemoteError(f"{self.peer} answered with what is no JSON"))
        else:
            result.callback(value)

    def _peerEnds(self, body: bytes) -> None:
        link = self._spout.link
        reason = LinkLost(body.decode(errors="replace")[:500] or "it ended the stream")
        self._over(reason, clean=self._said and not body)
        if link is not None:
            link.close()
