"""What is callable over Foolscap: one small object for each thing that a peer may do, our classes behind it.

node -> node         meet(face)  ->  face                  when they were introduced
node -> dispatcher   open(face, hello)  ->  (link, opened)
both ways            batch(bytes)                              no answer: confirms are frames
plain peer -> dispatcher   publish, subscribe, unsubscribe, get_stats: see `nodeset.transport.legacy`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from foolscap.api import Referenceable, RemoteInterface, TupleOf
from foolscap.constraint import ByteStringConstraint
from foolscap.remoteinterface import RemoteInterfaceConstraint
from twisted.logger import Logger
from zope.interface import classImplements

from nodeset.core.batch import MAX_BATCH, MAX_HELLO
from nodeset.core.grants.rights import MEMBER, Rights
from nodeset.core.link import Acceptor, Receiver
from nodeset.errors import LinkLost, NodeSetError
from nodeset.transport.copies import MessageConstraint, NodeConstraint, TextConstraint

__all__ = ["LinkFace", "MeetingFace", "OpeningFace", "RILink", "RIMeeting", "RIOpening", "TubLink"]


_BATCH = ByteStringConstraint(MAX_BATCH)
_HELLO = ByteStringConstraint(MAX_HELLO)
_TEXT = TextConstraint(800)
_NODE = NodeConstraint()
_MESSAGE = MessageConstraint()


class RILink(RemoteInterface):
    """One end of a link."""

    __remote_name__ = "nodeset.link.1"

    def batch(data: Any = _BATCH) -> Any:
        """Take one batch."""
        return None


_LINK = RemoteInterfaceConstraint(RILink)


class RIOpening(RemoteInterface):
    """Where links are opened, and where peers without NodeSet do all they do."""

    __remote_name__ = "nodeset.opening.1"

    def open(face: Any = _LINK, hello: Any = _HELLO) -> Any:
        """Open a link; the answer is its other end with the packed `Opened`."""
        return TupleOf(_LINK, _HELLO)

    def publish(uri: Any = _TEXT, msg: Any = _MESSAGE) -> Any:
        """Publish; True once the dispatcher has it."""
        return bool

    def subscribe(uri: Any = _TEXT, node: Any = _NODE, name: Any = _TEXT) -> Any:
        """Have `node` called with events; True once that is so."""
        return bool

    def unsubscribe(uri: Any = _TEXT, node: Any = _NODE, name: Any = _TEXT) -> Any:
        """Undo `subscribe`; False when there was nothing to undo."""
        return bool

    def get_stats() -> Any:
        """What the dispatcher counts, as JSON."""
        return TextConstraint(100_000)


class RIMeeting(RemoteInterface):
    """Where one node that was introduced comes, once."""

    __remote_name__ = "nodeset.meeting.1"

    def meet(face: Any = _LINK) -> Any:
        """Open a link; the answer is its other end."""
        return _LINK


class LinkFace(Referenceable):
    """Our end, as the other side sees it."""

    log = Logger()

    def __init__(self) -> None:
        self._ended = False
        self._receiver: Receiver | None = None
        self._early: list[bytes] = []
        self._link: TubLink | None = None

    def begin(self, receiver: Receiver, link: TubLink) -> None:
        """From now on `receiver` hears what comes, first what came early."""
        self._receiver, self._link = receiver, link
        early, self._early = self._early, []
        for data in early:
            self.remote_batch(data)

    def end(self) -> Receiver | None:
        """Hear no more; returns who was hearing."""
        self._ended = True
        receiver, self._receiver, self._link = self._receiver, None, None
        self._early.clear()
        return receiver

    def remote_batch(self, data: bytes) -> None:
        """A batch came."""
        if self._link is None:
            # Between our `open` and its answer; whoever sends much there loses it with the connection.
            if len(self._early) < 16 and not self._ended:
                self._early.append(data)
        elif self._receiver is not None:
            try:
                self._receiver.batchReceived(data)
            except NodeSetError as error:
                self.log.warn("{peer} is cut off: {reason}", peer=self._link.peer, reason=str(error))
                self._link.abort()
            except Exception:
                # A fault of ours; the link is not to be trusted any more, the peers of it will resend.
                self.log.failure("a batch from {peer} could not be taken in", peer=self._link.peer)
                self._link.abort()


class TubLink:
    """A `Link` over a pair of faces.

    :param reference: the other side's face.
    :param face: ours.
    """

    __slots__ = ("_broker", "_face", "_lost", "_marker", "_over", "_reference", "_sendBatch")

    def __init__(self, reference: Any, face: LinkFace, receiver: Receiver, over: Callable[[TubLink], None]) -> None:
        self._reference, self._face, self._over = reference, face, over
        self._lost = False
        self._broker: Any = reference.tracker.broker
        self._broker.links += 1
        # The fast broker's way, when nothing else is on its way.
        self._sendBatch: Callable[[int, bytes], bool] | None = getattr(self._broker, "sendBatch", None)
        self._marker = reference.notifyOnDisconnect(self.lose)
        face.begin(receiver, self)

    @property
    def peer(self) -> str:
        """The beginning of the peer's TubID."""
        return str(self._reference.getRemoteTubID())[:8]

    def getHost(self) -> Any:
        """The address of our end of the connection."""
        return self._reference.tracker.broker.transport.getHost()

    def send(self, batch: bytes) -> None:
        """See `Link`."""
        if self._lost:
            return
        if self._sendBatch is None or not self._sendBatch(self._reference.tracker.clid, batch):
            self._reference.callRemoteOnly("batch", batch)
        self._broker.checkUnread()

    def close(self) -> None:
        """See `Link`. Everything on this connection is lost with it."""
        if not self._lost:
            self._reference.tracker.broker.transport.loseConnection()

    def abort(self) -> None:
        """See `Link`. Everything on this connection is lost with it."""
        if not self._lost:
            self._reference.tracker.broker.transport.abortConnection()

    def discard(self) -> None:
        """Nobody here wants this link: cut it without telling its receiver."""
        self._face.end()
        self.abort()

    def lose(self, reason: NodeSetError | None = None) -> None:
        """The connection is gone."""
        if self._lost:
            return
        self._lost = True
        self._broker.links -= 1
        self._reference.dontNotifyOnDisconnect(self._marker)
        self._marker = None  # which holds us
        receiver = self._face.end()
        self._over(self)
        if receiver is not None:
            receiver.linkLost(reason or LinkLost("the connection was lost"))


class OpeningFace(Referenceable):
    """The dispatcher, as nodes see it whose grant allows `rights`."""

    def __init__(self, acceptor: Acceptor, rights: Rights = MEMBER) -> None:
        self._acceptor, self._rights = acceptor, rights
        self._links: set[TubLink] = set()

    def check(self) -> None:
        """Raises `GrantRefused` when nothing may be done here any more."""

    def remote_open(self, face: Any, hello: bytes) -> tuple[LinkFace, bytes]:
        """Open a link to the holder of `face`; its TubID, which TLS has proved, is who it is."""
        self.check()
        ours = LinkFace()
        relay = _Relay()
        link = TubLink(face, ours, relay, self._links.discard)
        try:
            relay.receiver, answer = self._acceptor.opening(str(face.getRemoteTubID()), hello, link, self._rights)
        except NodeSetError:
            ours.end()
            link.lose()
            raise
        self._links.add(link)
        return ours, answer


class Taking(Protocol):
    """Who is come to by a `MeetingFace`."""

    def take(self, face: Any) -> LinkFace:
        """The holder of `face` comes; returns our end. Raises `Refused`."""


class MeetingFace(Referenceable):
    """An offer to meet, as the one that comes sees it."""

    def __init__(self, offer: Taking) -> None:
        self._offer = offer

    def remote_meet(self, face: Any) -> LinkFace:
        """Somebody comes: the holder of `face`, whose TubID TLS has proved."""
        return self._offer.take(face)


class _Relay:
    """Stands for the receiver while the acceptor makes it."""

    __slots__ = ("receiver",)

    def __init__(self) -> None:
        self.receiver: Receiver | None = None

    def batchReceived(self, batch: bytes) -> None:
        if self.receiver is not None:
            self.receiver.batchReceived(batch)

    def linkLost(self, reason: NodeSetError) -> None:
        if self.receiver is not None:
            self.receiver.linkLost(reason)


for _face, _interface in ((LinkFace, RILink), (OpeningFace, RIOpening), (MeetingFace, RIMeeting)):
    classImplements(_face, _interface)  # type: ignore[misc]  # mypy-zope knows zope's interfaces but not Foolscap's
