"""What a dispatcher answers to who asks for a grant, or for the end of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
import msgspec

from nodeset.core.calls.desk import Desk
from nodeset.core.exchange import Exchange, Session
from nodeset.core.grants import chain as grants
from nodeset.core.grants.authority import Authority
from nodeset.core.grants.chain import Caveat
from nodeset.core.grants.revocations import Revocation
from nodeset.core.grants.rights import Rights, memberCaveat
from nodeset.errors import GrantRefused, Refused

__all__ = ["Warrants", "caveatFrom", "plain"]

_ID_SIZE: Final = 24
_REVOKED: Final = "its grant was revoked"
_LETTERS: Final = dict(zip(Caveat.__struct_fields__, Caveat.__struct_encode_fields__, strict=True))
_FIELDS: Final = frozenset({"publish", "subscribe", "call", "answer", "rate", "expires", "tub"})


@attrs.define(eq=False)
class Warrants:
    """The methods `grant` and `revoke` of the dispatcher's desk.

    :param cut: called with each session whose grant counts no longer, with the reason.
    :param random: returns so many random bytes.
    """

    _authority: Authority
    _exchange: Exchange
    _cut: Callable[[Session, str], None]
    _random: Callable[[int], bytes]
    _observers: list[Callable[[str], None]] = attrs.field(factory=list)
    _ending: dict[str, tuple[float, str]] = attrs.field(factory=dict)

    def offerAt(self, desk: Desk) -> None:
        """Be asked there from now on."""
        desk.offer("grant", self.grant)
        desk.offer("revoke", self.revoke)

    def observe(self, observer: Callable[[str], None]) -> None:
        """Call `observer` with the id of each grant that is revoked, when that is done."""
        self._observers.append(observer)

    def grant(self, session: Session, caveat: Any = None) -> str:
        """The name of a new grant. For owners."""
        self._check(session)
        if not session.rights.owner:
            raise Refused("only an owner's grant mints others: narrow your own, or take the FURL in owner.furl")
        made = caveatFrom(caveat, self._random(8))
        if made.expires is not None and made.expires <= self._authority.wall():
            raise Refused(f"expires {made.expires} is in the past by the dispatcher's clock: set one of the two clocks")
        return self._authority.mint(made)

    def revoke(self, session: Session, what: Any = None) -> bool:
        """Revoke a grant by its name, or for an owner by its id; False when it was revoked before."""
        if not isinstance(what, str):
            raise Refused(f"what to revoke must be text, not {type(what).__name__}: give the grant's FURL or its id")
        self._check(session)
        revocation = self._revocation(session.rights, what)
        if self._authority.isRevoked(revocation.id):
            return False
        if not session.rights.owner and not self._authority.mayRevoke(revocation.root):
            raise Refused("many grants that come from yours were revoked just now: try again in a second")
        self._authority.revoke(revocation, session.rights.owner)
        try:
            for observer in self._observers:  # first, so that whoever is cut finds what comes instead
                observer(revocation.id)
        finally:  # what cannot be written down instead keeps nobody's link
            self._cutAll(session, revocation.id)
        return True

    def _cutAll(self, session: Session, grant: str) -> None:
        for other in list(self._exchange.answers.sessions.values()):
            if other is session and grant in other.rights.ids:
                self._ending[other.stream] = 0.0, _REVOKED  # once it has its answer
            elif grant in other.rights.ids:
                self._cut(other, _REVOKED)

    def _check(self, session: Session) -> None:
        """Raises `GrantRefused` for who is about to be cut."""
        if why := self._authority.why(session.rights):
            raise GrantRefused(why)

    def _revocation(self, own: Rights, what: str) -> Revocation:
        if not grants.isGrant(what):
            if not own.owner:
                raise Refused("only an owner revokes by id: give the FURL of what derives from your grant")
            if len(what) != _ID_SIZE or not set(what) <= set("0123456789abcdef"):
                raise Refused(f"{what[:40]!r} is no grant and no id of one, which has {_ID_SIZE} digits of 0-9a-f")
            return Revocation(what, "", None)
        rights = self._authority.chainOf(what)
        # An id is made of the tags before it, so nobody has ours in his chain who does not derive from us.
        if not own.owner and (not own.grant or own.grant not in rights.ids or own.grant == rights.grant):
            raise Refused("this grant does not derive from yours: ask who gave it, or an owner, to revoke it")
        return Revocation(rights.grant, rights.chain[0].id, rights.expires)

    # -- grants that end

    def opened(self, session: Session) -> None:
        """`session` is here, with rights that may end."""
        if session.rights.expires is not None:
            self._ending[session.stream] = session.rights.expires, "its grant expired"
        else:
            self._ending.pop(session.stream, None)

    def look(self) -> None:
        """Cut whoever's grant has ended."""
        if not self._ending:
            return
        now = self._authority.wall()
        for stream, (expires, reason) in list(self._ending.items()):
            session = self._exchange.answers.sessions.get(stream)
            if session is None:
                del self._ending[stream]
            elif expires <= now:
                del self._ending[stream]
                self._cut(session, reason)


def plain(caveat: Caveat) -> dict[str, Any]:
    """What `caveat` says, as an argument of a call."""
    found: dict[str, Any] = msgspec.structs.asdict(caveat)
    return {name: value for name, value in found.items() if name in _FIELDS and value is not None}


def caveatFrom(said: Any, id: bytes) -> Caveat:
    """The caveat that an owner asks for; one that names no verb is a member's. Raises `Refused`."""
    if not isinstance(said, dict) or not said.keys() <= _FIELDS:
        raise Refused(f"a grant is made of {', '.join(sorted(_FIELDS))}")
    if not said.keys() & {"publish", "subscribe", "call", "answer"}:
        member = memberCaveat(id)
        said = {**said, "publish": member.publish, "subscribe": member.subscribe, "call": member.call}
    try:
        found = msgspec.convert({**{_LETTERS[name]: value for name, value in said.items()}, _LETTERS["id"]: id}, Caveat)
        # What it says is checked as it will be each time that it is shown.
        Rights((grants.Link(found, ""),))
    except msgspec.ValidationError as error:
        raise Refused(f"this is no grant: {_spelled(str(error))}") from None
    return found


def _spelled(error: str) -> str:
    """`error` with the names of fields in place of the letters that stand for them."""
    for name, letter in _LETTERS.items():
        error = error.replace(f"$.{letter}", name)
    return error
