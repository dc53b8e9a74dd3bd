"""What a grant allows, compiled for one link.

Each question is answered from the patterns of all links once; the answer is remembered, so that asking it again for the next
run of the same event is one look into a dictionary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from weakref import WeakValueDictionary

from nodeset.core.address import ANY_NODE, OWN, checkPart, checkPattern, covers, isIntroduction, liesWithin, parse
from nodeset.core.grants.chain import Caveat, Chain, Link
from nodeset.errors import GrantRefused, InvalidAddressing

__all__ = ["MEMBER", "VOUCHED", "Bucket", "Buckets", "Rights", "checkCall", "coversCall", "memberCaveat"]

#: Methods of the dispatcher that look at the caller's grant themselves.
_OPEN: Final = frozenset({"grant", "revoke", "streams", "unentitled"})
#: Answers that are remembered for each session.
_REMEMBERED: Final = 1024
#: Buckets that are kept although nobody who draws from them is linked, so that hanging up does not fill one.
_KEPT: Final = 10_000


class Bucket:
    """So many a second, of all who hold the grant or what derives from it; as much as comes in a second may come at once."""

    __slots__ = ("__weakref__", "_at", "_level", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._level, self._at = max(1.0, rate), now

    def has(self, now: float) -> int:
        """How many may come now."""
        if now > self._at:
            self._level = min(max(1.0, self.rate), self._level + (now - self._at) * self.rate)
            self._at = now
        return int(self._level + 1e-9)

    def take(self, count: int) -> None:
        """So many have come."""
        self._level -= count


class Buckets:
    """The buckets of a dispatcher by the id of their grant."""

    def __init__(self) -> None:
        self._all: WeakValueDictionary[str, Bucket] = WeakValueDictionary()
        self._kept: dict[str, Bucket] = {}

    def get(self, grant: str, rate: float, now: float) -> Bucket:
        """The bucket of this grant."""
        bucket = self._all.get(grant)
        if bucket is None:
            bucket = self._all[grant] = Bucket(rate, now)
        self._kept.pop(grant, None)
        self._kept[grant] = bucket
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return bucket


class Rights:
    """What the holder of a chain may do: what every link of it allows. No link at all forbids nothing.

    :ivar grant: the id of the last link, empty without one.
    :ivar ids: those of all links: who revokes one of them revokes this.
    :ivar expires: when the first of them ends, in Unix time; None for never.
    :ivar tubs: the TubIDs that links bind it to.
    :ivar owner: whether it may mint and revoke.
    :ivar vouched: whether its session is a room of the dispatcher's own, which has checked, and stamped, what it publishes.
    :raise GrantRefused: a link has a pattern that is none.
    """

    def __init__(self, chain: Chain = (), buckets: Sequence[Bucket] = (), vouched: bool = False) -> None:
        self.chain, self.vouched = chain, vouched
        caveats = [link.caveat for link in chain]
        self.grant = chain[-1].id if chain else ""
        self.ids = frozenset(link.id for link in chain)
        self.expires = min((caveat.expires for caveat in caveats if caveat.expires is not None), default=None)
        self.tubs = frozenset(caveat.tub for caveat in caveats if caveat.tub is not None)
        self.owner = bool(caveats) and all(caveat.owner for caveat in caveats)
        _checkPatterns(caveats)
        self._publish = [caveat.publish for caveat in caveats if caveat.publish is not None]
        self._subscribe = [caveat.subscribe for caveat in caveats if caveat.subscribe is not None]
        self._call = [caveat.call for caveat in caveats if caveat.call is not None]
        self._answer = [caveat.answer for caveat in caveats if caveat.answer is not None]
        # The name of others has to be given from the very first link: later ones only take away.
        self._lends = not caveats or caveats[0].answer is not None
        self._buckets = list(buckets)
        self._publishing: dict[str, str] = {}
        self._calling: dict[tuple[str, str], str] = {}

    def mayPublish(self, event: str) -> str:
        """Why not to publish under this address, empty when it may."""
        answer = self._publishing.get(event)
        if answer is None:
            name = parse(event).eventName
            allowed = all(_cover(patterns, name) for patterns in self._publish)
            answer = "" if allowed else f"its grant does not let it publish {name!r}"
            if len(self._publishing) >= _REMEMBERED:
                self._publishing.clear()
            self._publishing[event] = answer
        return answer

    def maySubscribe(self, pattern: str) -> str:
        """Why not to subscribe to this name or pattern of events, empty when it may: it must lie inside every link."""
        if all(_cover(patterns, pattern) for patterns in self._subscribe):
            return ""
        return f"its grant does not let it subscribe to {pattern!r}"

    def mayCall(self, target: str, method: str) -> str:
        """Why not to call this, empty when it may; `target` is a node's name, `name@host`, or empty for the dispatcher.

        An introduction is looked at by who made it.
        """
        node = target.partition("@")[0] or OWN
        if (node == OWN and method in _OPEN) or isIntroduction(target):
            return ""
        answer = self._calling.get((node, method))
        if answer is None:
            wanted = f"{node}/{method}"
            allowed = all(any(coversCall(outer, wanted) for outer in patterns) for patterns in self._call)
            answer = "" if allowed else f"its grant does not let it call {method!r} of {node!r}"
            if len(self._calling) >= _REMEMBERED:
                self._calling.clear()
            self._calling[node, method] = answer
        return answer

    def mayAnswer(self, name: str, own: bool) -> str:
        """Why not to be called, to get what is addressed, under this name, empty when it may.

        :param own: whether this is the node's own label, which it may choose as long as no link says otherwise.
        """
        if (own or self._lends) and all(ANY_NODE in names or name in names for names in self._answer):
            return ""
        return f"its grant does not let it answer as {name!r}"

    def take(self, now: float, count: int) -> int:
        """How many of `count` events, or calls, may come now; they are counted."""
        if not self._buckets:
            return count
        allowed = min(count, *(bucket.has(now) for bucket in self._buckets))
        for bucket in self._buckets:
            bucket.take(allowed)
        return allowed

    @property
    def limited(self) -> bool:
        """Whether `take` may say less than it is asked for."""
        return bool(self._buckets)

    @property
    def limit(self) -> str:
        """The rate that counts, for a reason."""
        return f"its grant lets through {min(bucket.rate for bucket in self._buckets):g} events and calls a second"


def _cover(patterns: Iterable[str], pattern: str) -> bool:
    return any(covers(outer, pattern) for outer in patterns)


def checkCall(text: str) -> str:
    """`NODE/METHOD` for what may be called: `calc` is `calc/>`. Raises `InvalidAddressing`."""
    node, slash, method = text.partition("/")
    if node != ANY_NODE:
        checkPart(node, "node name")
        if "*" in node or ">" in node:
            raise InvalidAddressing(
                f"Invalid addressing: node name {node!r} has a wildcard in it: write it out, or '*' for all"
            )
    return f"{node}/{checkPattern(method) if slash else '>'}"


def coversCall(outer: str, inner: str) -> bool:
    """Whether `outer` lets all be called that `inner` does; both may be `NODE` for `NODE/>`."""
    node, _slash, method = outer.partition("/")
    wanted, _slash, given = inner.partition("/")
    return node in (ANY_NODE, wanted) and liesWithin(given or ">", method or ">")


def _checkPatterns(caveats: Iterable[Caveat]) -> None:
    try:
        for caveat in caveats:
            for pattern in (*(caveat.publish or ()), *(caveat.subscribe or ())):
                checkPattern(pattern)
            for wanted in caveat.call or ():
                checkCall(wanted)
    except InvalidAddressing as error:
        raise GrantRefused(f"this grant is of no use: {error}") from None


def memberCaveat(id: bytes) -> Caveat:
    """What the FURL allows that every node of a site finds."""
    return Caveat(id, publish=[">"], subscribe=[">", f"{OWN}.>"], call=["*"])


#: Whoever has shown no grant, on links that need none.
MEMBER: Final = Rights((Link(memberCaveat(bytes(8)), ""),))
#: A room of the dispatcher's own, which looks after the rights of those that it speaks for.
VOUCHED: Final = Rights(vouched=True)
