"""Whom a dispatcher introduces to whom: the peers of a stream, with the address by which its pusher may call each.

    node -> dispatcher    streams(address)  ->  [event name, [[introduction, name, host, TubID], ...]]
    node -> node          a call to `=introduction`, of methods of streams alone
    taker -> dispatcher   unentitled(pushed)  ->  see `nodeset.core.grants.entitlement`

An introduction is made for one pusher, one taker, one event name, all of which it says or proves, so that the dispatcher
need not remember any: the taker reads in it what the pusher may push. It is worth nothing to anybody else, nor after the
pusher has lost the right to publish that name, nor to the next start of the dispatcher.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import msgspec

from nodeset.core.address import SIGN, EventURI, isPattern, parse
from nodeset.core.limits import Name, StreamId
from nodeset.core.routing import RouteEntry
from nodeset.core.session import Session
from nodeset.errors import BadArguments, InvalidAddressing, Refused

__all__ = ["MAX_PEERS", "METHODS", "Matchmaker", "introducedBy", "nobody"]

#: Peers that one stream may have: each is sent every chunk.
MAX_PEERS: Final = 256
#: The methods of a taker, each under this before its own name.
METHODS: Final = "nodeset.stream."

#: Sessions that were expelled and are remembered.
_REMEMBERED: Final = 10_000

_Pushed = Annotated[list[tuple[StreamId, Name]], msgspec.Meta(max_length=1024)]


class Matchmaker:
    """Makes introductions, and knows them again.

    :param lookup: the subscriptions that an address means.
    :param session: the session with this stream id, if it is here.
    :param secret: random for each start of the dispatcher.
    """

    def __init__(
        self,
        lookup: Callable[[EventURI], Iterable[RouteEntry]],
        session: Callable[[str], Session | None],
        secret: bytes,
    ) -> None:
        self._lookup, self._session, self._secret = lookup, session, secret
        self._expelled: dict[str, None] = {}

    def streams(self, pusher: Session, address: Any = None) -> tuple[str, list[tuple[str, str, str, str]]]:
        """The takers that `address` means now, each once, `pusher` itself only if it subscribed by itself.

        Raises `Refused` when it may not publish that, or when there are too many; `BadArguments`.
        """
        if not isinstance(address, str):
            raise BadArguments("streams takes the address of an event")
        try:
            uri = parse(address)
        except InvalidAddressing as error:
            raise BadArguments(str(error)) from None
        if isPattern(uri.eventName):
            raise BadArguments(f"{address[:80]!r} is a pattern: one subscribes to it, one streams to a name")
        self._mustPublish(pusher, uri.eventName)
        takers: dict[str, Session] = {}
        for entry in self._lookup(uri):
            if entry.peer == pusher.stream and not entry.own:
                continue
            session = self._session(str(entry.peer))
            if session is not None and not session.away and not session.retiring and f"{METHODS}open" in session.methods:
                takers[session.stream] = session
        if len(takers) > MAX_PEERS:
            raise Refused(f"{len(takers)} nodes take {uri.eventName}, a stream has {MAX_PEERS} peers at most: publish it")
        return uri.eventName, [
            (self._introduce(pusher.stream, taker.stream, uri.eventName), taker.name, taker.host, taker.peer)
            for taker in takers.values()
        ]

    def expel(self, pusher: Session) -> None:
        """Its grant counts no longer."""
        self._expelled.pop(pusher.stream, None)
        self._expelled[pusher.stream] = None
        if len(self._expelled) > _REMEMBERED:
            del self._expelled[next(iter(self._expelled))]

    def unentitled(self, taker: Session, pushed: Any = None) -> list[int]:
        """Which of these, stream id and event name each, `taker` is to take no longer. Raises `BadArguments`.

        Who is not here is as it was, unless it was expelled.
        """
        try:
            rows = msgspec.convert(pushed, _Pushed)
        except msgspec.ValidationError:
            raise BadArguments("unentitled takes pairs of a stream id with an event name, 1024 at most") from None
        return [place for place, (stream, name) in enumerate(rows) if not self._mayStill(stream, name)]

    def _mayStill(self, stream: str, name: str) -> bool:
        pusher = self._session(stream)
        return stream not in self._expelled if pusher is None else not pusher.rights.mayPublish(name)

    def admit(self, pusher: Session, target: str, method: str) -> str:
        """The stream id of the taker whom `pusher` may call by this target. Raises `Refused`."""
        taker, name, proof = _split(target)
        if not method.startswith(METHODS):
            raise Refused(f"an introduction is for streams, not for {method[:80]!r}")
        if not hmac.compare_digest(proof.encode("utf-8", "replace"), self._prove(pusher.stream, taker, name).encode()):
            raise Refused("this introduction is not yours, or of an earlier start of the dispatcher: open the stream anew")
        self._mustPublish(pusher, name)
        return taker

    def _mustPublish(self, pusher: Session, name: str) -> None:
        if refusal := pusher.rights.mayPublish(name):
            raise Refused(refusal)

    def _introduce(self, pusher: str, taker: str, name: str) -> str:
        return f"{taker}/{name}/{self._prove(pusher, taker, name)}"

    def _prove(self, pusher: str, taker: str, name: str) -> str:
        said = "\0".join((pusher, taker, name)).encode("utf-8", "replace")
        return base64.urlsafe_b64encode(hmac.digest(self._secret, said, "sha256")[:20]).decode().rstrip("=")


def _split(target: str) -> tuple[str, str, str]:
    # Neither a stream id nor a part of an address has a slash in it.
    parts = target.removeprefix(SIGN).split("/")
    if not target.startswith(SIGN) or len(parts) != 3:
        raise Refused("this is no introduction")
    return parts[0], parts[1], parts[2]


def nobody(pusher: Session, target: str, method: str) -> str:
    """Admits nobody."""
    raise Refused("this dispatcher introduces nobody")


def introducedBy(target: str) -> str:
    """The name of what may be pushed by a call to this target, which the dispatcher has let pass. Raises `Refused`."""
    return _split(target)[1]
