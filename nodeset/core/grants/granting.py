"""A node's verbs for handing on what it may do."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import ceil, isfinite
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed

from nodeset.core.address import checkPart, checkPattern, covers
from nodeset.core.grants import chain as grants
from nodeset.core.grants.chain import Caveat
from nodeset.core.grants.rights import checkCall, coversCall
from nodeset.core.grants.warrants import plain
from nodeset.core.link import Transport
from nodeset.errors import BadGrant, GrantRefused, InvalidAddressing, NodeSetError, NotRunning

__all__ = ["Granting"]

#: The highest rate that means anything.
_MOST: Final = 1e9
_LATEST: Final = 2**53


def _wallTime() -> float:
    return datetime.now(UTC).timestamp()


class Granting:
    """Grants are FURLs: whoever has one can do what it allows, and can narrow it further.

    For `Node`, which has a `_transport` and a `call`.
    """

    _transport: Transport | None
    call: Callable[..., Deferred[Any]]
    #: Unix time.
    _wall: Callable[[], float] = staticmethod(_wallTime)

    def grant(
        self,
        *,
        publish: Iterable[str] | None = None,
        subscribe: Iterable[str] | None = None,
        call: Iterable[str] | None = None,
        answer: Iterable[str] | None = None,
        rate: float | None = None,
        expires: float | datetime | None = None,
        tub: str | None = None,
    ) -> Deferred[str]:
        """Make a FURL that can do exactly this, and no more than this node's own grant.

        Fires with its text, which is a secret: give it to a node as `dispatcher_url`, or in a file that only it can read.
        With an owner's grant (`owner.furl`) the dispatcher makes a new one; else the node's own is narrowed here, asking
        nobody, and ends with it. What was granted is known after the dispatcher's restart as well.

        A verb that is not named is not granted as soon as any is; when none is, the new grant differs from the node's own
        (an owner's: from a member's) only by `rate`, `expires` and `tub`.

        :param publish: names and patterns of events. `nodeset.>` is published by who was given just that, not by `>`.
        :param subscribe: names and patterns of events.
        :param call: `NODE/METHOD`, the method a name or pattern; `calc` means all of `calc`, `*` all of all nodes. The
            dispatcher's own methods are those of `nodeset`.
        :param answer: names of nodes under which the holder may be called and get what is addressed; `*` is any.
        :param rate: events and calls a second, of all who hold it or what derives from it together.
        :param expires: seconds from now, or a datetime that knows its time zone.
        :param tub: the TubID of the one node that may use it.
        :return: fails with `Refused` when the dispatcher does not mint, `NotRunning` when this node has no address yet.
        :raise BadGrant: for what cannot be granted, or what this node's own grant does not cover.
        """
        caveat = self._caveat(publish, subscribe, call, answer, rate, expires, tub)
        try:
            furl = self._ownFurl()
        except NodeSetError as error:
            return fail(error)
        place, _slash, name = furl.rpartition("/")
        own = _read(name)
        if all(link.owner for link in own):
            return self.call("", "grant", plain(caveat)).addCallback(lambda minted: f"{place}/{minted}")
        _checkWithin(own, caveat)
        return succeed(f"{place}/{grants.narrow(name, caveat)}")

    def revoke(self, furl_or_id: str) -> Deferred[bool]:
        """Make a grant worthless, with all that derives from it; links that live by it are cut.

        An owner revokes any grant, by its FURL or by its id (`msg.meta.grant` of what was published under it). Others
        revoke what derives from their own grant, by its FURL. Fires when it is done for good, which a restart of the
        dispatcher does not change, with False when it was revoked before. Fails with `Refused`.

        :raise BadGrant: for what is neither.
        """
        if not isinstance(furl_or_id, str) or not furl_or_id:
            raise BadGrant(f"a grant is revoked by its FURL or its id, which are text, not by {furl_or_id!r:.40}")
        what = furl_or_id.rpartition("/")[2]
        if "/" in furl_or_id and not grants.isGrant(what):
            raise BadGrant("this FURL has no grant in it, its name does not begin with g1.: give the one to be revoked, whole")
        if len(what) > grants.MAX_NAME:
            raise BadGrant(f"a grant has at most {grants.MAX_NAME} characters, this has {len(what)}: give its FURL alone")
        return self.call("", "revoke", what)

    def _ownFurl(self) -> str:
        if self._transport is None:
            raise NotRunning("this node was not started: start it, then its grant is known")
        return self._transport.furl()

    def _caveat(
        self,
        publish: Iterable[str] | None,
        subscribe: Iterable[str] | None,
        call: Iterable[str] | None,
        answer: Iterable[str] | None,
        rate: float | None,
        expires: float | datetime | None,
        tub: str | None,
    ) -> Caveat:
        given = {"publish": publish, "subscribe": subscribe, "call": call, "answer": answer}
        checks = {"publish": checkPattern, "subscribe": checkPattern, "call": checkCall, "answer": _checkName}
        verbs: dict[str, list[str] | None] = dict.fromkeys(given)
        if any(wanted is not None for wanted in given.values()):
            verbs = {verb: _patterns(verb, wanted, checks[verb]) for verb, wanted in given.items()}
        elif rate is None and expires is None and tub is None:
            raise BadGrant("this would grant all that this node may do: name what is granted, or a rate, an expiry, a tub")
        if tub is not None and not (isinstance(tub, str) and 0 < len(tub) <= 64 and tub.isalnum() and tub.isascii()):
            raise BadGrant(f"tub must be a TubID, the 32 letters after pb:// in a FURL of its node, not {tub!r:.60}")
        return Caveat(
            secrets.token_bytes(8),
            verbs["publish"],
            verbs["subscribe"],
            verbs["call"],
            verbs["answer"],
            _rate(rate),
            self._ends(expires),
            tub,
        )

    def _ends(self, expires: float | datetime | None) -> int | None:
        if expires is None:
            return None
        now = self._wall()
        if isinstance(expires, datetime):
            if expires.tzinfo is None:
                raise BadGrant(f"expires {expires} has no time zone: give one, as in datetime.now(UTC) + timedelta(hours=1)")
            ends = expires.timestamp()
        elif isinstance(expires, (int, float)) and not isinstance(expires, bool) and isfinite(expires):
            ends = now + expires
        else:
            raise BadGrant(f"expires must be seconds from now, or a datetime with its time zone, not {expires!r:.60}")
        if ends <= now:
            raise BadGrant(f"expires {expires!s:.60} is in the past: such a grant would never be of use")
        if ends > _LATEST:
            raise BadGrant(f"expires {expires!s:.60} is too far away: leave it out for a grant that does not end")
        return ceil(ends)


def _patterns(verb: str, wanted: Iterable[str] | None, check: Callable[[str], str]) -> list[str]:
    if wanted is None:
        return []
    if isinstance(wanted, (str, bytes)) or not isinstance(wanted, Iterable):
        raise BadGrant(f"{verb} must be a list of patterns, not {wanted!r:.60}: write [{wanted!r:.60}]")
    found = list(wanted)
    for pattern in found:
        if not isinstance(pattern, str) or not pattern:
            raise BadGrant(f"{verb} has the pattern {pattern!r:.60}: give text such as 'orders.created', 'orders.>'")
        try:
            check(pattern)
        except InvalidAddressing as error:
            raise BadGrant(f"{verb} has the pattern {pattern!r:.60}: {error}") from None
    return found


def _checkName(name: str) -> str:
    if name != "*":
        checkPart(name, "node name")
        if "*" in name or ">" in name:
            raise InvalidAddressing(f"Invalid addressing: node name {name!r:.60} has a wildcard in it: write it out, or '*'")
    return name


def _rate(rate: float | None) -> float | None:
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= _MOST:
        raise BadGrant(f"rate must be a positive number of events and calls a second, at most {_MOST:g}, not {rate!r:.60}")
    return float(rate)


def _read(name: str) -> list[Caveat]:
    try:
        return grants.caveatsOf(name)
    except GrantRefused as error:
        raise BadGrant(f"the address of this node's dispatcher has no grant that could be narrowed: {error}") from None


def _checkWithin(own: list[Caveat], caveat: Caveat) -> None:
    """What reaches beyond would do no harm, but not what was meant either."""
    for link in own:
        for verb, inside in _WITHIN.items():
            outer: list[str] | None = getattr(link, verb)
            for pattern in getattr(caveat, verb) or ():
                if outer is not None and not inside(outer, pattern):
                    raise BadGrant(
                        f"{verb} {pattern!r} is outside this node's own grant, which has {', '.join(outer) or 'none'}"
                    )
        if link.rate is not None and caveat.rate is not None and caveat.rate > link.rate:
            raise BadGrant(f"rate {caveat.rate:g} is over the {link.rate:g} of this node's own grant")
        if link.expires is not None and caveat.expires is not None and caveat.expires > link.expires:
            late = caveat.expires - link.expires
            raise BadGrant(f"expires {late} s after this node's own grant does: give an earlier time, or none")
        if link.tub is not None and caveat.tub not in (None, link.tub):
            raise BadGrant("tub is another one than the one that this node's own grant is bound to: nobody could use it")
    if own[0].answer is None and "*" in (caveat.answer or ()):
        raise BadGrant("answer '*' is outside this node's own grant, which has only the label that its holder chooses")


def _within(outer: list[str], pattern: str) -> bool:
    return any(covers(one, pattern) for one in outer)


def _callWithin(outer: list[str], wanted: str) -> bool:
    return any(coversCall(one, wanted) for one in outer)


def _nameWithin(outer: list[str], name: str) -> bool:
    return "*" in outer or name in outer


_WITHIN: Final[dict[str, Callable[[list[str], str], bool]]] = {
    "publish": _within,
    "subscribe": _within,
    "call": _callWithin,
    "answer": _nameWithin,
}
