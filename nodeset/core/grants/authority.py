"""Which grants count at a dispatcher."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from nodeset.core.grants import chain as grants
from nodeset.core.grants.chain import Caveat
from nodeset.core.grants.revocations import Revocation, Revocations
from nodeset.core.grants.rights import Buckets, Rights
from nodeset.errors import GrantRefused

__all__ = ["Authority"]

#: Names whose rights are remembered, so that they are compiled once for all links that show them.
_REMEMBERED: Final = 1024
#: Revocations a second, by others than owners, of what came from one grant.
_REVOCATIONS: Final = 20.0


class Authority:
    """The key that grants are signed with, with what was revoked.

    :param key: 32 secret bytes.
    :param wall: returns Unix time.
    :param clock: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        key: bytes,
        wall: Callable[[], float],
        clock: Callable[[], float],
        revocations: Revocations | None = None,
    ) -> None:
        self._key, self.wall, self._clock = key, wall, clock
        self._revocations = Revocations() if revocations is None else revocations
        self._buckets = Buckets()
        self._rights: dict[str, Rights] = {}

    def mint(self, caveat: Caveat) -> str:
        """The name of a grant of one link. Raises `BadGrant`."""
        return grants.mint(self._key, caveat)

    def rights(self, name: str) -> Rights:
        """What the holder of `name` may do. Raises `GrantRefused` when that is nothing, which says why."""
        rights = self._rights.get(name)
        if rights is None:
            rights = self._compile(name)
            self._remember(name, rights)
        if why := self.why(rights):
            raise GrantRefused(why)
        return rights

    def chainOf(self, name: str) -> Rights:
        """The same of one that may be expired or revoked, without remembering it. Raises `GrantRefused`."""
        return self._rights.get(name) or Rights(grants.verify(self._key, name))

    def _compile(self, name: str) -> Rights:
        chain = grants.verify(self._key, name)
        now = self._clock()
        limited = ((link.id, link.caveat.rate) for link in chain)
        return Rights(chain, [self._buckets.get(grant, rate, now) for grant, rate in limited if rate is not None])

    def _remember(self, name: str, rights: Rights) -> None:
        if len(self._rights) >= _REMEMBERED:
            del self._rights[next(iter(self._rights))]
        self._rights[name] = rights

    def why(self, rights: Rights) -> str:
        """Why these rights count no longer, empty while they do."""
        if any(grant in self._revocations for grant in rights.ids):
            return "this grant was revoked, or the one that it came from"
        if rights.expires is not None and rights.expires <= self.wall():
            ended = datetime.fromtimestamp(min(rights.expires, 253402300799), UTC)
            return f"this grant expired on {ended:%Y-%m-%d at %H:%M:%S} UTC"
        return ""

    def revoke(self, revocation: Revocation, owner: bool) -> None:
        """From now on this grant counts for nothing. Raises `Refused` or `StateUnusable` when that cannot be kept."""
        self._revocations.add(revocation, owner, self.wall())

    def mayRevoke(self, root: str) -> bool:
        """Whether one more of what came from this grant may be revoked now, by another than an owner; it is counted.

        Each is written to the disk while everybody waits.
        """
        now = self._clock()
        bucket = self._buckets.get(f"revoke {root}", _REVOCATIONS, now)
        if not bucket.has(now):
            return False
        bucket.take(1)
        return True

    def isRevoked(self, grant: str) -> bool:
        """Whether the grant with this id was revoked."""
        return grant in self._revocations
