"""What of that which a node asks for its grant lets through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nodeset.core.address import ANY_NODE, LOCALHOST, OWN, EventURI, checkPart, isPattern, parse
from nodeset.core.answers import Answers
from nodeset.core.batch import MAX_RANGES, MAX_REASON, MAX_SUBSCRIPTIONS, Done, Events, Result
from nodeset.core.grants.rights import Rights
from nodeset.core.hello import Hello, isProved
from nodeset.core.ranges import addTo, split
from nodeset.core.session import Session
from nodeset.errors import GrantRefused, InvalidAddressing, ProtocolError, Refused

__all__ = ["MAX_BRANCHES", "Admission"]

#: Parts that the patterns of one node may have together: each is a branch of the table of routes, some 300 bytes.
MAX_BRANCHES: Final = 50_000

_AGAIN = "; it was sent before, and may have arrived then"


class Admission:
    """Looks at runs and subscriptions before anything is made of them; publishers are told at once what does not pass.

    :param site: the host name that means the dispatcher, beside `localhost`.
    """

    def __init__(self, answers: Answers, site: str) -> None:
        self._answers, self._site = answers, site

    @staticmethod
    def welcome(peer: str, hello: Hello, rights: Rights) -> None:
        """Raises `Refused` for who bears a name that nobody can bear, or shows a grant that is somebody else's."""
        if not rights.tubs <= {peer}:
            raise GrantRefused("this grant is bound to another Tub than yours: use it there, or get one of your own")
        try:
            checkPart(hello.name, "node name")
            checkPart(hello.host, "host name")
            checkPart(hello.stream, "stream id")  # which others are told, and take apart at slashes
        except InvalidAddressing as error:
            raise Refused(str(error)) from None
        if not isProved(hello):
            raise Refused(f"stream {hello.stream[:6]}… is another node's; start anew to get one of your own")
        if hello.name == OWN:
            raise Refused(f"the name {OWN!r} is the dispatcher's own: choose another one for this node")

    @staticmethod
    def check(session: Session, run: Events) -> None:
        """Raises `ProtocolError` for a run that `session` has no business sending, whatever its grant."""
        try:
            uri = parse(run.event)
        except InvalidAddressing as error:
            raise ProtocolError(str(error)) from None
        if isPattern(uri.eventName):
            raise ProtocolError(f"{run.event!r} is a pattern: one subscribes to it, one does not publish to it")
        if max(run.lengths) > session.max_event:
            raise ProtocolError(f"an event of {max(run.lengths)} bytes is over the limit of {session.max_event}")
        if run.first <= session.highest:
            raise ProtocolError(f"sequence number {run.first} comes after {session.highest}")
        session.highest = run.last
        session.published += len(run.lengths)

    def admit(self, session: Session, batch: list[Events], now: float) -> list[Events]:
        """What may go on of a batch that `session` published, stamped with who it is."""
        rights = session.rights
        if rights.vouched:
            return batch
        by, mayPublish = session.by, rights.mayPublish
        admitted: list[Events] = []
        refused: dict[str, list[tuple[int, int]]] = {}
        for run in batch:
            run.by = by
            if why := mayPublish(run.event):
                self._refuse(run, run.first, run.last, why, refused)
            elif rights.limited:
                admitted += self._within(session, run, now, refused)
            else:
                admitted.append(run)
        if refused and not session.away:
            for reason, ranges in refused.items():
                done = (Done(part, Result.REFUSED, 0, 0, 0, reason[:MAX_REASON]) for part in split(ranges, MAX_RANGES))
                self._answers.sends += [(session, frame) for frame in done]
        return admitted

    def _within(self, session: Session, run: Events, now: float, refused: dict[str, list[tuple[int, int]]]) -> Iterator[Events]:
        """The parts of `run` for which there is room in the rate; what is under way since an earlier link takes none."""
        pending = self._answers.pending.within(run.stream, run.first, run.last) if run.again else []
        at = run.first
        for first, last in [*pending, (run.last + 1, run.last)]:
            if at < first:
                allowed = session.rights.take(now, first - at)
                if allowed:
                    yield run.part(at, at + allowed - 1)
                if at + allowed < first:
                    self._refuse(run, at + allowed, first - 1, session.rights.limit, refused)
            if first <= last:
                yield run.part(first, last)
            at = max(at, last + 1)

    def _refuse(self, run: Events, first: int, last: int, why: str, refused: dict[str, list[tuple[int, int]]]) -> None:
        self._answers.counters["refused_events"] += last - first + 1
        addTo(refused.setdefault(why + _AGAIN if run.again else why, []), first, last)

    def whyNot(self, session: Session, uri: EventURI) -> str:
        """Why `session` may not subscribe to this, empty when it may."""
        if uri.hostName not in (LOCALHOST, self._site, session.host):
            return f"{uri.raw!r} is not an address of this node, {session.name}@{session.host}"
        if uri.nodeName != ANY_NODE and (why := session.rights.mayAnswer(uri.nodeName, uri.nodeName == session.name)):
            return f"{uri.raw!r} is not an address of this node, {session.name}@{session.host}: {why}"
        return session.rights.maySubscribe(uri.eventName)

    @staticmethod
    def noRoom(session: Session, pattern: str, uri: EventURI) -> str:
        """Why `session` may not have one subscription more, empty when it may, or has it."""
        if pattern in session.entries:
            return ""
        if len(session.entries) >= MAX_SUBSCRIPTIONS:
            return f"a node may have {MAX_SUBSCRIPTIONS} subscriptions: use patterns"
        if session.branches + uri.branches > MAX_BRANCHES:
            return f"the patterns of a node may have {MAX_BRANCHES} parts together: use fewer or shorter ones"
        return ""

    def alias(self, session: Session, uri: EventURI) -> str:
        """The name under which a subscription gets what is addressed; one that nobody can write for who has none."""
        if uri.nodeName != ANY_NODE:
            return uri.nodeName
        return session.name if session.answers else ""
