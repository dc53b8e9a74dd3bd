"""Foolscap's connections with limits: what a peer sends is looked at before Foolscap keeps it.

`BoundedBroker` puts a `TokenGuard` in front of Foolscap's parser. Strangers may send strings of 8 KiB; whoever has named a
reference of ours that exists, which takes the secret in a FURL, may send batches. `ImpatientNegotiation` bounds the time till
TLS stands, `PROOF_TIMEOUT` the time from there till such a name.
"""

from __future__ import annotations

import re
import time
from functools import cache
from typing import Any

from foolscap.broker import Broker, PBRootUnslicer
from foolscap.negotiate import Negotiation
from foolscap.slicers.dict import DictUnslicer
from foolscap.tokens import OPEN, STRING, VOCAB, BananaError, Violation
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.batch import MAX_BATCH
from nodeset.core.seldom import Seldom
from nodeset.errors import ProtocolError
from nodeset.transport.guard import TokenGuard
from nodeset.transport.tls import startTls, takeApart

__all__ = ["STRANGER_LIMIT", "BoundedBroker", "ImpatientNegotiation", "ReplacingNegotiation", "trust"]

#: Bytes in one token from a peer that has shown no capability (D8).
STRANGER_LIMIT = 8 * 1024
#: Seconds in which a peer has to name a reference of ours once TLS stands; with the negotiation's time this makes 30 (row 20).
PROOF_TIMEOUT = 10.0
#: Seconds within which connections of one Tub, to addresses of ours that it dialled together, stand.
_AT_ONCE = 2.0
#: Bytes that may wait for a peer to read them: so many, so many more for each link on the connection, this many altogether.
#: Events and calls wait elsewhere for who gives no credit; but there is an answer to every question.
MAX_UNREAD, MAX_UNREAD_LINK, MAX_UNREAD_ALL = 32 * 1024 * 1024, 2 * 1024 * 1024, 1024 * 1024 * 1024

#: What may be opened inside a call or an answer: all else (sets, copies of other classes, ...) nobody here says.
_OPENED = {"arguments", "boolean", "copyable", "dict", "list", "none", "reference", "tuple", "unicode"}
_OPENED |= {"my-reference", "their-reference", "your-reference"}


#: For all brokers of this process together.
_seldom = Seldom()


class _TextKeys(DictUnslicer):
    """Reads a dictionary whose keys are text. To look up another kind can take for ever: the hash of a tuple is that of
    all that it holds, once for each time that it holds it.
    """

    def checkToken(self, typebyte: bytes, size: int) -> None:
        if self.gettingKey and typebyte not in (STRING, VOCAB, OPEN):
            raise Violation("the keys of a dictionary must be text")
        super().checkToken(typebyte, size)

    def doOpen(self, opentype: tuple[str, ...]) -> Any:
        if self.gettingKey and opentype != ("unicode",):
            raise Violation("the keys of a dictionary must be text")
        return super().doOpen(opentype)


class _FewTypes(PBRootUnslicer):
    """Reads what peers of ours say, no other type."""

    def open(self, opentype: tuple[str, ...]) -> Any:
        """What reads an object of this type."""
        if opentype[0] not in _OPENED:
            raise Violation(f"no value can be of the type {str(opentype[0])[:40]!r} here")
        if opentype == ("dict",):
            return _TextKeys()
        return super().open(opentype)


@cache
def _vocabulary(words: tuple[bytes, ...]) -> tuple[dict[bytes, int], dict[int, bytes]]:
    return {word: number for number, word in enumerate(words)}, dict(enumerate(words))


class BoundedBroker(Broker):
    """A stock broker that cuts off whoever sends a token over the limit, on the token's header."""

    log = Logger()
    unslicerClass = _FewTypes
    connectionAbandoned: bool
    _proving: IDelayedCall | None = None
    #: When the connection stood, by the monotonic clock.
    made = 0.0
    #: How many links are on this connection.
    links = 0

    def connectionMade(self) -> None:
        """TLS stands; who is at the other end has little time to show a capability, if it is we who were connected to."""
        super().connectionMade()
        self.made = time.monotonic()
        clock = getattr(self.tub, "clock", None)  # a Tub that listens has one
        if clock is not None and self._cameToUs():
            self._proving = clock.callLater(PROOF_TIMEOUT, self._unproven)

    def _cameToUs(self) -> bool:
        info = self._connectionInfo
        return info is None or not info.connectorStatuses

    def _unproven(self) -> None:
        self._proving = None
        self._cutOff(f"it named no reference of ours in {PROOF_TIMEOUT:.0f} s")

    def trusted(self) -> None:
        """The peer has shown a capability: it may stay, may send batches."""
        # The string of a batch is all that may be as long; names and numbers around it are far below.
        self.guard.limit = MAX_BATCH
        self._stopProving()

    def _stopProving(self) -> None:
        if self._proving is not None:
            self._proving.cancel()
            self._proving = None

    def populateVocabTable(self, vocabStrings: list[bytes]) -> None:
        """Share the tables of words with all other connections that begin with the same; each would take two kilobytes."""
        outgoing, incoming = _vocabulary(tuple(vocabStrings))
        self.outgoingVocabTableWasReplaced(outgoing)
        self.replaceIncomingVocabulary(incoming)

    def outgoingVocabTableWasAmended(self, index: int, value: bytes) -> None:
        """Add a word of ours, to this connection's table alone."""
        self.outgoingVocabulary: dict[bytes, int] = dict(self.outgoingVocabulary)
        base: Any = super()
        base.outgoingVocabTableWasAmended(index, value)

    def addIncomingVocabulary(self, key: int, value: bytes) -> None:
        """Add a word of the peer's, to this connection's table alone."""
        self.incomingVocabulary: dict[int, bytes] = dict(self.incomingVocabulary)
        base: Any = super()
        base.addIncomingVocabulary(key, value)

    def initReceive(self) -> None:
        """Prepare to receive."""
        super().initReceive()
        self.guard = TokenGuard(STRANGER_LIMIT)

    def dataReceived(self, chunk: bytes) -> None:
        """Look first, then receive."""
        if self.connectionAbandoned:
            return
        try:
            self.guard.feed(chunk)
        except ProtocolError as error:
            self._cutOff(str(error))
        else:
            self.receive(chunk)

    def receive(self, chunk: bytes) -> None:
        """Take in what the guard has let pass."""
        super().dataReceived(chunk)

    def reportReceiveError(self, failure: Failure) -> None:
        """What came is no Banana, or says what Foolscap does not take: the peer's fault, so no traceback."""
        error = failure.value
        # Foolscap's words, up to where they begin to repeat what was sent.
        words = re.split("[':\n]", str(error))[0] if isinstance(error, BananaError) else ""
        self._cutOff(words[:200] or f"it sent nonsense ({type(error).__name__})")

    def handleError(self, message: bytes) -> None:
        """The peer says that it cuts us off; what it gives as its reason stays out of our log."""
        self._cutOff("it gave up with an error of its own")

    def callFailed(self, failure: Failure, request: int, delivery: object = None) -> None:
        """A call fails, by what it asks for or by how."""
        self._note("failed_calls")
        super().callFailed(failure, request, delivery)

    def scheduleCall(self, delivery: Any, ready: Any) -> None:
        """A call has come, whole."""
        # What read it would hold itself, for ever, and us.
        delivery.allargs.references.clear()
        delivery.allargs.parent = None
        super().scheduleCall(delivery, ready)

    def connectionLost(self, reason: Failure) -> None:
        """It is over."""
        self._stopProving()
        super().connectionLost(reason)
        if self.remote_tubref is not None and hasattr(self.tub, "note"):
            # How often this Tub has connected, kept for ever; the newest connection wins here whatever that says.
            self.tub.master_table.pop(self.remote_tubref.getTubID(), None)
        takeApart(self, reason)

    def checkUnread(self) -> None:
        """Cut off a peer that asks and does not read."""
        transport = self.transport
        unread = len(getattr(transport, "dataBuffer", b"")) + getattr(transport, "_tempDataLen", 0)
        if unread > MAX_UNREAD and not self.connectionAbandoned:
            most = min(MAX_UNREAD + self.links * MAX_UNREAD_LINK, MAX_UNREAD_ALL)
            if unread > most:
                self._cutOff(f"it does not read, and over {most} bytes wait for it")

    def _cutOff(self, reason: str) -> None:
        self.connectionAbandoned = True
        self._note("cut_off")
        unsaid = _seldom.mayI(time.monotonic())
        if unsaid is not None:
            more = f" ({unsaid} more were cut off since the last such line)" if unsaid else ""
            self.log.warn("{peer} is cut off: {reason}{more}", peer=self._whose(), reason=reason, more=more)
        self.transport.abortConnection()

    def _note(self, what: str) -> None:
        note = getattr(self.tub, "note", None)  # a dispatcher's Tub has one
        if note is not None:
            note(what)

    def _whose(self) -> str:
        return self.remote_tubref.getShortTubID() if self.remote_tubref else "a stranger"

    def remote_getReferenceByName(self, name: bytes) -> Any:
        """Somebody names a reference; who knows one is no stranger, unless what it leads to says so."""
        reference = super().remote_getReferenceByName(name)
        forPeer = getattr(reference, "forPeer", None)
        if forPeer is not None:
            reference = forPeer(self.remote_tubref.getTubID() if self.remote_tubref is not None else "")
        if getattr(reference, "trusted", True):
            trust(self)
        return reference


def trust(broker: BoundedBroker) -> None:
    """Take batches from this peer from now on."""
    broker.trusted()


class ImpatientNegotiation(Negotiation):
    """Foolscap's negotiation with a time limit that is no gift to who only connects."""

    SERVER_TIMEOUT = 20

    def startTLS(self, certificate: object) -> None:
        """Go on in TLS."""
        startTls(self.tub, self.transport)

    def connectionLost(self, reason: Failure) -> None:
        """It is over, before there was a broker."""
        super().connectionLost(reason)
        takeApart(self, reason)

    def negotiationTimedOut(self) -> None:
        """Time is up. Foolscap would wait for the peer to close TLS as well, which it need not ever do."""
        super().negotiationTimedOut()
        self.transport.abortConnection()

    def dataReceived(self, chunk: bytes) -> None:
        """Listen until it has failed: whoever goes on talking then would fill the memory."""
        if self.failureReason is None:
            super().dataReceived(chunk)
        else:
            self.transport.abortConnection()


class ReplacingNegotiation(ImpatientNegotiation):
    """Where the newest connection of a Tub replaces an older one, but not one that came with it.

    Only the holder of a certificate gets this far, and a dispatcher never dials: the older one is dead, even where the peer
    cannot prove by sequence numbers that it knows (a half-open TCP). A Tub that knows us by several addresses dials them all at
    once, then keeps the connection that we answered first: to put another in its place would end both.
    """

    def compareOfferAndExisting(self, offer: dict[str, str], existing: BoundedBroker, lp: object) -> bool:
        """Whether to take the new one."""
        is_same = offer.get("my-incarnation") == existing.current_slave_IR
        is_over = existing.disconnected or existing.connectionAbandoned
        return not is_same or is_over or time.monotonic() - existing.made > _AT_ONCE
