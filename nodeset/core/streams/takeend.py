"""The taker's end of a stream from one pusher: chunks in order, one at a time, with credit for those that were taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.limits import MAX_EVENT
from nodeset.core.link import Link
from nodeset.core.patience import deferredOf
from nodeset.core.seldom import Seldom
from nodeset.core.streams.chunks import OVERHEAD, Kind, pack, unpack
from nodeset.core.streams.formatter import writeJson
from nodeset.core.streams.pushend import WINDOW
from nodeset.core.streams.spout import Spout
from nodeset.errors import BadMessage, LinkLost, NodeSetError, ProtocolError

__all__ = ["StreamSource", "TakeEnd"]

#: Bytes that are taken before it is said, unless nothing more is taken for `_LULL` seconds.
_TELL: Final = WINDOW // 4
_LULL: Final = 0.02
#: Bytes of results that the pusher may not have heard; there is no next chunk until it has.
_UNHEARD: Final = 4 * MAX_EVENT
#: Seconds for which chunks are taken in one go, before the reactor gets a turn.
_SLICE: Final = 0.01


@attrs.define
class StreamSource:
    """Who pushes: the node, by the name that it gives itself, with the TubID that its connection or the dispatcher proves."""

    name: str
    host: str
    tub: str
    direct: bool = True

    def __str__(self) -> str:
        return f"{self.name}@{self.host}"


class TakeEnd:
    """A `Receiver` of chunks.

    :param take: called with each chunk; what it returns may be waited for, what it comes to is the result.
    :param ended: called once: with None when the pusher has closed the stream, else with why it is lost.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        source: StreamSource,
        clock: IReactorTime,
        take: Callable[[bytes], Any],
        ended: Callable[[NodeSetError | None], None],
    ) -> None:
        self.name, self.source = name, source
        #: When something was heard last.
        self.heard = clock.seconds()
        self.open = True
        self.taken = self.failed = 0
        self._take, self._ended, self._clock = take, ended, clock
        self._spout = Spout(clock)
        self._seldom = Seldom()
        self._number = 0
        self._parts: list[bytes] = []
        self._missing = 0
        self._queue: deque[tuple[int, bytes, Kind]] = deque()
        self._held = 0
        self._untold = 0
        self._unheard: deque[tuple[int, int]] = deque()
        self._unheard_bytes = 0
        self._last = 0
        self._busy = self._working = False
        self._later: IDelayedCall | None = None
        self._telling: IDelayedCall | None = None
        self._over: list[NodeSetError | None] = []

    # -- the link

    @property
    def link(self) -> Link | None:
        """By which link chunks come, once one has shown itself."""
        return self._spout.link

    def begin(self, link: Link, direct: bool) -> None:
        """Chunks come over `link`."""
        self.source.direct = direct
        self._spout.attach(link)

    def beat(self) -> None:
        """Say that we are here."""
        self._spout.write(pack(Kind.BEAT))

    def linkLost(self, reason: NodeSetError) -> None:
        """The link is gone; what came before is still taken."""
        self._spout.detach()
        self._unheard_bytes = 0
        self._finish(reason)

    def cut(self, reason: NodeSetError, tell: str = "") -> None:
        """Take no more, not even what waits; the pusher is told, if there is something to tell."""
        link = self._spout.link
        if link is not None and tell:
            self._spout.write(pack(Kind.END, 0, tell.encode()[:1000]))
            self._spout.flush()
        self._queue.clear()
        self._spout.detach()
        if link is not None:
            link.close()
        if self.open:
            self._over = [reason]
            self._close()  # whatever the handler of the last chunk still does

    def _finish(self, reason: NodeSetError | None) -> None:
        if self.open and not self._over:
            self._over.append(reason)
            self._parts.clear()
            self._work()

    def _close(self) -> None:
        """All was taken that came."""
        reason = self._over[0]
        self.open = False
        self._stopTimers()
        link = self._spout.link
        if reason is None and link is not None:
            self._spout.write(pack(Kind.END, self._number))
            self._spout.flush()
            self._spout.detach()
            link.close()
        self._ended(reason)

    def _stopTimers(self) -> None:
        for timer in (self._later, self._telling):
            if timer is not None:
                timer.cancel()
        self._later = self._telling = None

    # -- in

    def batchReceived(self, batch: bytes) -> None:
        """Something comes from the pusher. Raises `ProtocolError` for nonsense, or for more than it had credit for."""
        self.heard = self._clock.seconds()
        for kind, number, whole, body in unpack(batch):
            if self._over or not self.open:
                return
            if kind is Kind.WRITE or kind is Kind.PUSH:
                self._gather(kind, number, whole, body)
            elif self._missing:
                raise ProtocolError(f"{kind.name} in the middle of a chunk")
            elif kind is Kind.HEARD:
                self._hear(number)
            elif kind is Kind.END:
                if body:  # the pusher gives up, what was to follow is missing
                    self._finish(LinkLost(body.decode(errors="replace")[:500]))
                else:
                    self._finish(None)
                return
            elif kind is not Kind.BEAT:
                raise ProtocolError(f"who pushes cannot say {kind.name}")
        self._work()

    def _gather(self, kind: Kind, number: int, whole: int, body: bytes) -> None:
        if self._missing:
            if number != self._number or len(body) > self._missing:
                raise ProtocolError(f"chunk {number} comes in the middle of chunk {self._number}")
        else:
            if number != self._number + 1:
                raise ProtocolError(f"chunk {number} follows chunk {self._number}")
            if self._held >= WINDOW:
                raise ProtocolError(f"chunk {number} comes without credit")
            self._number = number
            self._missing = whole
            self._held += whole + OVERHEAD
        if len(body) == whole:
            self._missing = 0
            self._queue.append((number, body, kind))
            return
        self._parts.append(body)
        self._missing -= len(body)
        if not self._missing:
            self._queue.append((number, b"".join(self._parts), kind))
            self._parts.clear()

    def _hear(self, number: int) -> None:
        unheard = self._unheard
        while unheard and unheard[0][0] <= number:
            self._unheard_bytes -= unheard.popleft()[1]

    # -- taking

    def _work(self) -> None:
        if self._working or self._busy or self._later is not None or not self.open:
            return
        self._working = True
        try:
            self._takeAll(self._clock.seconds() + _SLICE)
        finally:
            self._working = False
        if self._over and self.open and not self._queue and not self._busy:
            self._close()

    def _takeAll(self, until: float) -> None:
        """Take what waits, until a chunk takes its time, or time is up, or too many results are unheard."""
        while self._queue and not self._busy and self._unheard_bytes < _UNHEARD:
            if self._clock.seconds() > until:
                self._later = self._clock.callLater(0, self._resume)
                return
            number, chunk, kind = self._queue.popleft()
            self._busy = True
            try:
                result = self._take(chunk)
                waiting = None if result is None else deferredOf(result)
            except BaseException:  # whatever user code raises is told to who pushed, and the next chunk is taken
                self._took(Failure(), number, len(chunk), kind)
            else:
                if waiting is None:
                    self._took(result, number, len(chunk), kind)
                else:
                    waiting.addBoth(self._took, number, len(chunk), kind)

    def _resume(self) -> None:
        self._later = None
        self._work()

    def _took(self, result: Any, number: int, size: int, kind: Kind) -> None:
        self._busy = False
        if not self.open:
            if isinstance(result, Failure):
                self._log(result)
            return
        self.taken += 1
        self._held -= size + OVERHEAD
        self._untold += size + OVERHEAD
        self._last = number
        if isinstance(result, Failure):
            self._fail(result, number)
        elif kind is Kind.PUSH:
            self._succeed(result, number)
        elif self._untold >= _TELL:
            self._tell()
        elif self._telling is None and self.link is not None:
            self._telling = self._clock.callLater(_LULL, self._lull)
        if not self._working and self._later is None and self.open:
            # Not from within what the handler waited for.
            self._later = self._clock.callLater(0, self._resume)

    def _succeed(self, result: Any, number: int) -> None:
        try:
            packed = b"null" if result is None else writeJson(result, "the result of onStream")
            if len(packed) > MAX_EVENT:
                raise BadMessage(f"the result of onStream has {len(packed)} bytes, at most {MAX_EVENT} can be told")
        except Exception:
            self._fail(Failure(), number)
        else:
            self._answer(Kind.RESULT, number, packed)

    def _fail(self, failure: Failure, number: int) -> None:
        self.failed += 1
        self._log(failure)
        kind = failure.type.__name__ if failure.type else "Exception"
        self._answer(Kind.FAILED, number, f"{kind}: {failure.getErrorMessage()}"[:1000].encode(errors="replace"))

    def _log(self, failure: Failure) -> None:
        unsaid = self._seldom.mayI(self._clock.seconds())
        if unsaid is not None:
            more = f" ({unsaid} more since the last such line)" if unsaid else ""
            self.log.failure(
                "a chunk of {name} from {source} failed{more}", failure, name=self.name, source=str(self.source), more=more
            )

    def _answer(self, kind: Kind, number: int, body: bytes) -> None:
        if self.link is None:
            return
        self._untold = 0
        weight = len(body) + OVERHEAD
        self._unheard.append((number, weight))
        self._unheard_bytes += weight
        self._spout.write(pack(kind, number, body), soon=not self._queue)

    def _lull(self) -> None:
        self._telling = None
        if self._untold:
            self._tell()

    def _tell(self) -> None:
        self._untold = 0
        self._spout.write(pack(Kind.TOOK, self._last), soon=True)
