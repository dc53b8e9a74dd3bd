"""A grant that is made for somebody else, by an owner at the dispatcher, by others on the spot."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.python.failure import Failure

from nodeset.cli.outcome import Exit, GaveUp
from nodeset.cli.share.expiry import readExpiry
from nodeset.cli.share.meaning import meaningOf, when
from nodeset.cli.share.secretfile import SecretFile
from nodeset.cli.share.whence import Whence, trace, wordOf
from nodeset.cli.visit import Visitor, Where, complain, end, visit
from nodeset.core.grants.granting import Granting
from nodeset.transport.furl import Furl
from nodeset.transport.rendezvous import fileOf

__all__ = ["Wish", "give", "ownFurl", "whereOwner"]

_VERBS = ("publish", "subscribe", "call", "answer")


@attrs.frozen
class Wish:
    """What somebody asks for, as it was typed.

    :ivar output: the file for the FURL, None or `-` for stdout.
    :ivar force: whether that file is replaced.
    :ivar token: whether only the grant in it is wanted, without the address.
    """

    verbs: Mapping[str, tuple[str, ...]]
    rate: float | None
    expires: str | None
    tub: str | None
    output: str | None
    force: bool
    token: bool = False

    def arguments(self) -> dict[str, Any]:
        """Those of `Node.grant`. Raises `BadGrant` for an expiry that is none."""
        named = any(self.verbs.values())
        verbs = {verb: list(self.verbs[verb]) if named else None for verb in _VERBS}
        return {**verbs, "rate": self.rate, "tub": self.tub, "expires": self.expires and readExpiry(self.expires)}


class _Holder(Granting):
    """Whoever holds a FURL, without a node."""

    def __init__(self, furl: Furl) -> None:
        self._furl = furl

    def _ownFurl(self) -> str:
        return str(self._furl)

    def check(self, arguments: dict[str, Any]) -> None:
        """Raises `BadGrant` for what cannot be granted by anybody."""
        self._caveat(**arguments)

    def narrow(self, arguments: dict[str, Any]) -> str:
        """A FURL that can do less than ours. Raises `BadGrant`."""
        results: list[Any] = []
        self.grant(**arguments).addBoth(results.append)  # nobody is asked, so it has fired
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return str(results[0])


def give(where: Where, wish: Wish) -> NoReturn:
    """Make the grant, put it where it belongs; ends the process."""
    work = _Work(where, wish)
    try:
        is_owner = work.prepare()
    except Exception as failed:
        error = failed  # the name that `except` binds is gone when it is raised again
        end("grant", lambda: _raise(error), where.debug)
    if is_owner:
        visit("grant", work.where, work.mint)
    end("grant", work.narrow, where.debug)


def _raise(error: Exception) -> int:
    raise error


class _Work:
    """One grant from the wish to the file."""

    def __init__(self, where: Where, wish: Wish) -> None:
        self.where, self._wish = where, wish
        self._file: SecretFile | None = None
        self._arguments: dict[str, Any] = {}
        self._narrowed = ""

    def prepare(self) -> bool:
        """Refuse what could not be done, before anything is; whether an owner does it."""
        self._arguments = self._wish.arguments()
        whence = trace(self.where.dispatcher, os.environ)
        self.where = whereOwner(self.where, whence)
        own = ownFurl(whence)
        mine, now = meaningOf(own.name), time.time()
        if mine.expires is not None and mine.expires <= now:
            raise GaveUp(f"your own grant ended at {when(mine.expires, now)}: ask for a new one", Exit.REFUSED)
        holder, is_owner = _Holder(own), mine.kind == "owner"
        holder.check(self._arguments)
        if not is_owner:
            self._narrowed = holder.narrow(self._arguments)
            if whence.source.warning:  # else the visit says it
                complain("grant", f"warning: {wordOf(whence.source.warning)}")
        self._open()
        self._forget()  # until there is something to write: nobody cleans up after a visit that never arrives
        return is_owner

    async def mint(self, node: Visitor) -> int:
        """Have the dispatcher make it."""
        try:
            self._open()
            return self._hand(await node.grant(**self._arguments), "nodeset revoke {id} takes it back")
        finally:
            self._forget()

    def narrow(self) -> int:
        """Hand out what was made on the spot."""
        try:
            self._open()
            return self._hand(self._narrowed, "take it back by nodeset revoke with its file, or an owner by the id {id}")
        finally:
            self._forget()

    def _open(self) -> None:
        if self._wish.output not in (None, "-"):
            self._file = SecretFile(Path(str(self._wish.output)), self._wish.force)

    def _forget(self) -> None:
        if self._file is not None:
            self._file.forget()

    def _hand(self, furl: str, back: str) -> int:
        name = furl.rpartition("/")[2]
        meaning, text = meaningOf(name), name if self._wish.token else furl
        if self._file is None:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        else:
            self._file.write(f"{text}\n")
        place = "" if self._file is None else f" in {self._wish.output}"
        ends = "" if meaning.expires is None else f", it ends {when(meaning.expires, time.time())}"
        complain("grant", f"made grant {meaning.id}{place}{ends}; {back.format(id=meaning.id)}")
        return Exit.OK


def ownFurl(whence: Whence) -> Furl:
    """The FURL that we act by: the owner's if there is one. Raises as `FurlSource.read`."""
    return whence.source.read() if whence.owner is None else whence.owner.read()


def whereOwner(where: Where, whence: Whence) -> Where:
    """The same dispatcher, as its owner if that is us."""
    return where if whence.owner is None else attrs.evolve(where, dispatcher=f"@{fileOf(whence.owner)}")
