"""What the name leads to that a peer shows: a face of the dispatcher, or one that says why not."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from foolscap.api import Referenceable
from twisted.logger import Logger
from zope.interface import classImplements

from nodeset.core.grants import chain as grants
from nodeset.core.grants.authority import Authority
from nodeset.core.grants.rights import Rights
from nodeset.core.seldom import Seldom
from nodeset.errors import GrantRefused
from nodeset.transport.faces import RIOpening
from nodeset.transport.furl import newName
from nodeset.transport.legacy import LegacyDoor, LegacyFace

__all__ = ["Entrance", "RefusedFace"]

#: Faces that are remembered, so that who shows one name again and again is given one object; reasons to refuse, the same.
_FACES: Final = 1024
_REASONS: Final = 64


class RefusedFace(Referenceable):
    """Whatever is asked of it, it says why this grant counts for nothing; who holds it is still a stranger."""

    trusted = False

    def __init__(self, why: str) -> None:
        self._why = why

    def forPeer(self, tub_id: str) -> RefusedFace:
        """The face for who shows the name."""
        return self

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise GrantRefused(self._why)

    remote_open = remote_publish = remote_subscribe = remote_unsubscribe = remote_get_stats = _refuse


class GrantFace(LegacyFace):
    """The dispatcher, for the holder of a grant; it looks anew each time whether that still counts."""

    trusted = True

    def __init__(self, entrance: Entrance, door: LegacyDoor, rights: Rights) -> None:
        super().__init__(entrance.dispatcher, door, rights)
        self._entrance = entrance

    def forPeer(self, tub_id: str) -> GrantFace | RefusedFace:
        """The face for who shows the name, who may be another one than it is bound to."""
        if self._rights.tubs <= {tub_id}:
            return self
        return self._entrance.refusal("this grant is bound to another Tub than yours: use it there, or get one of your own")

    def check(self) -> None:
        """Raises `GrantRefused` when the grant has ended."""
        if why := self._entrance.authority.why(self._rights):
            raise GrantRefused(why)


class Entrance:
    """Looks names up for a Tub. A name costs what verifying one costs, whoever shows it; nothing is kept of a wrong one."""

    log = Logger()

    def __init__(self, tub: Any, door: LegacyDoor, authority: Authority) -> None:
        self.dispatcher, self.authority = door.dispatcher, authority
        self._tub, self._door = tub, door
        self._faces: dict[str, GrantFace] = {}
        self._refusals: dict[str, RefusedFace] = {}
        self._seldom = Seldom()

    def lookUp(self, name: str) -> GrantFace | RefusedFace | None:
        """The face for this name, None when it is not even meant to be a grant."""
        if not grants.isGrant(name):
            return None
        try:
            rights = self.authority.rights(name)
        except GrantRefused as error:
            self.dispatcher.exchange.answers.counters["refused_grants"] += 1
            unsaid = self._seldom.mayI(self._tub.clock.seconds())
            if unsaid is not None:
                more = f" ({unsaid} more were since the last such line)" if unsaid else ""
                self.log.info("a grant that somebody shows is refused: {reason}", reason=f"{error}{more}")
            return self.refusal(str(error))
        face = self._faces.get(name)
        if face is None:
            if len(self._faces) >= _FACES:
                del self._faces[next(iter(self._faces))]
            face = self._faces[name] = GrantFace(self, self._door, rights)
        return face

    def refusal(self, why: str) -> RefusedFace:
        """The face that says so."""
        face = self._refusals.get(why)
        if face is None:
            if len(self._refusals) >= _REASONS:
                del self._refusals[next(iter(self._refusals))]
            face = self._refusals[why] = RefusedFace(why)
            # Foolscap tells the name of a reference to who gets it: the first one that was refused is nobody else's business.
            self._tub.referenceToName[face] = newName()
        return face


classImplements(RefusedFace, RIOpening)
