"""The HTTP server of the bridge: twisted.web's, within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import Any, AnyStr, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from nodeset.web.channel import Channel
from nodeset.web.forms import whyNotRead
from nodeset.web.limits import Limits
from nodeset.web.problem import Problem

__all__ = ["BODIES", "BridgeRequest", "BridgeSite", "Entrance"]

#: Bytes of all bodies together that may be in memory, or so many of the largest, if that is more.
BODIES, _LARGEST = 64 * 1024 * 1024, 8
#: Below here no form is read.
_FORMLESS: Final = b"/v1/"
#: Seconds between two looks for who takes too long.
_LOOK: Final = 0.5


class Entrance(Protocol):
    """Where requests go."""

    def enter(self, request: BridgeRequest) -> None:
        """Answer it, now or later."""

    def expire(self, request: BridgeRequest) -> None:
        """It took too long: answer it now, if it is not answered."""


class BridgeRequest(Request):
    """One request, whose body stays in memory.

    :ivar under_way: what answers it, while that takes its time.
    """

    channel: Channel
    under_way: Deferred[Any] | None = None
    _given: dict[str, str] | None = None

    def gotLength(self, length: int | None) -> None:
        """A body comes. Not to the disk, as twisted.web has it: the channel keeps it small."""
        self.content = BytesIO()

    def process(self) -> None:
        """It came whole."""
        self.channel.site.entrance.enter(self)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """It came whole, as bytes."""
        # To find out that it is no form, twisted.web has its type parsed as the header of a mail: a third of a small request.
        kind = self.getHeader("content-type") or ""
        is_form = command == b"POST" and "form" in kind.lower() and not path.startswith(_FORMLESS)
        content: Any = self.content
        why_not = whyNotRead(kind, content.getvalue()) if is_form else ""
        if is_form and len(self.requestHeaders.getRawHeaders(b"content-type") or ()) > 1:
            why_not = "it has more than one Content-Type"  # we look at the last one, twisted.web at the first
        if why_not:
            self.channel.refuse(Problem(400, why_not), "form")
            return
        self._parsePOSTFormSubmission = is_form
        Request.requestReceived(self, command, path, version)

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """The last value of a header, as text for a name that is text.

        Byte for byte, whatever it is: twisted.web takes it for UTF-8, fails with what is none. Of the score of headers for
        which a request is looked through it has a handful.
        """
        if isinstance(key, bytes):
            return Request.getHeader(self, key)
        return self.given.get(key.lower())

    @property
    def given(self) -> dict[str, str]:
        """All headers by their names in small letters, the last value of each."""
        given = self._given
        if given is None:
            every = self.requestHeaders.getAllRawHeaders()
            given = self._given = {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in every}
        return given

    def openEnded(self) -> None:
        """It will be answered for as long as the client likes: no deadline holds."""
        self.channel.stream()

    @property
    def address(self) -> str:
        """The IP address that it came from, empty for a connection without one."""
        return str(getattr(self.client, "host", ""))


class BridgeSite(Site):
    """Connections that cannot cost more than `limits` allow.

    :param entrance: where requests go.
    :param limits: asked each time anew, so that they may change.
    :ivar counters: by name: connections, what was refused.
    """

    displayTracebacks = False
    noisy = False

    def __init__(
        self, entrance: Entrance, limits: Callable[[], Limits], clock: IReactorTime, counters: Counter[str] | None = None
    ) -> None:
        base: Any = Site
        base.__init__(self, Resource(), requestFactory=BridgeRequest, timeout=None, reactor=clock)
        self.entrance, self._limits, self.clock = entrance, limits, clock
        self.counters: Counter[str] = Counter() if counters is None else counters
        #: Connections that are open.
        self.channels: set[Channel] = set()
        self._kept = 0
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self._listens = False

    @property
    def limits(self) -> Limits:
        """Those that hold now."""
        return self._limits()

    @property
    def answering(self) -> int:
        """Requests that came whole, and are not answered yet, streams aside."""
        return sum(channel.is_answering for channel in self.channels)

    def keep(self, channel: Channel, size: int) -> bool:
        """So many bytes of a body come by this channel; whether it was refused, as the largest of too many."""
        channel.kept += size
        self._kept += size
        most = max(BODIES, _LARGEST * self.limits.max_body)
        while self._kept > most:
            # Nobody has shown yet who he is: what is taken away is what costs most.
            coming = [each for each in self.channels if each.is_receiving]
            largest = max(coming, key=lambda each: each.kept, default=channel)
            largest.refuse(Problem(503, f"{most} bytes of requests are under way: come back", retry_after=1), "bodies")
            if largest is channel:
                return True
        return False

    def release(self, channel: Channel) -> None:
        """The bodies that came by it are not in memory any more; again is fine."""
        self._kept -= channel.kept
        channel.kept = 0

    def startFactory(self) -> None:
        """Begin to look at the clock."""
        self._listens = True
        if not self._looking.running:
            self._looking.start(_LOOK, now=False)

    def stopFactory(self) -> None:
        """Nobody listens any more; connections go on until `cut`."""
        self._listens = False
        if self._looking.running and not self.channels:
            self._looking.stop()

    def hangUp(self) -> None:
        """End all connections, once what was written to them is sent."""
        for channel in list(self.channels):
            channel.loseConnection()

    def cut(self) -> None:
        """End all connections of HTTP at once."""
        for channel in list(self.channels):
            if not channel.is_upgraded:
                channel.abort()
        if self._looking.running:
            self._looking.stop()

    def buildProtocol(self, addr: Any) -> Any:
        """A channel of our kind, without HTTP/2."""
        channel: Any = Channel()
        channel.site = channel.factory = self
        channel.requestFactory = self.requestFactory
        channel.timeOut, channel.callLater = None, self.clock.callLater
        return channel

    def log(self, request: Any) -> None:
        """No line for each request: /metrics has the figures."""

    def _look(self) -> None:
        now = self.clock.seconds()
        for channel in list(self.channels):
            channel.check(now)
        if not self.channels and not self._listens:
            self._looking.stop()
