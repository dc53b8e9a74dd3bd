"""Grants that are taken back."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

import attrs
import click

from nodeset.cli.outcome import Exit, GaveUp, explain, judge
from nodeset.cli.share.giving import ownFurl, whereOwner
from nodeset.cli.share.whence import furlFrom, trace
from nodeset.cli.shown import printable
from nodeset.cli.visit import Visitor, Where, complain, end, visit
from nodeset.core.grants.chain import idOf, isGrant
from nodeset.errors import NodeSetError, NotThere

__all__ = ["Target", "read", "take"]

_ID: Final = re.compile(r"[0-9a-f]{24}")
#: Lines of stdin, characters of each: more is somebody else's file.
_MOST: Final = 10_000
_LONGEST: Final = 9000


@attrs.frozen
class Target:
    """One grant to be ended: what the dispatcher is told, what people are, whose dispatcher it is if that is known."""

    text: str = attrs.field(repr=False)
    id: str
    tub_id: str = ""


def read(words: Sequence[str]) -> list[Target]:
    """The grants that these words stand for. Raises `BadFurl`, `BadSettings`, `NotThere`, `GrantRefused` or `GaveUp`."""
    return list(dict.fromkeys(_target(each) for word in words for each in _expand(word)))


def _expand(word: str) -> Iterator[str]:
    if word != "-":
        yield word
        return
    count = 0
    while line := sys.stdin.readline(_LONGEST):
        count += 1
        if count > _MOST:
            raise GaveUp(f"stdin has more than {_MOST} lines: give so many at a time", Exit.USAGE)
        if line := line.strip():
            if not (_ID.fullmatch(line) or line.startswith("pb://")):
                raise GaveUp(f"line {count} of stdin is neither a FURL nor the id of a grant", Exit.USAGE)
            yield line


def _target(word: str) -> Target:
    if _ID.fullmatch(word):
        return Target(word, word)
    try:
        furl, _path, warning = furlFrom(word, os.environ)
    except NotThere:
        shown = printable(word[:200])
        raise GaveUp(
            f"{shown} is neither the file of a FURL nor the id of a grant, 24 hexadecimal digits (nodeset furl shows it)",
            Exit.USAGE,
        ) from None
    if warning and word in sys.argv:
        complain("revoke", f"warning: {warning}")
    if not isGrant(furl.name):
        raise GaveUp("this FURL has no grant in it, its name does not begin with g1.: give the one to be revoked", Exit.USAGE)
    return Target(str(furl), idOf(furl.name), furl.tub_id)


def take(where: Where, words: Sequence[str]) -> NoReturn:
    """Revoke them all; ends the process, with the code of the first that could not be."""
    try:
        targets = read(words)
        whence = trace(where.dispatcher, os.environ)
        where = whereOwner(where, whence)
        own = ownFurl(whence).tub_id
        for each in targets:
            if each.tub_id not in ("", own):
                raise GaveUp(
                    f"grant {each.id} is of the dispatcher {each.tub_id[:8]}…, not of this one, {own[:8]}…: "
                    "say which one by --dispatcher",
                    Exit.USAGE,
                )
    except Exception as failed:
        error = failed
        end("revoke", lambda: _raise(error), where.debug)

    async def errand(node: Visitor) -> int:
        code = Exit.OK
        for each in targets:
            try:
                was_new = await node.revoke(each.text)
            except NodeSetError as error:
                complain("revoke", f"{each.id}: {explain(error)}")
                code = code or judge(error)
            else:
                click.echo(f"{each.id} revoked, links that lived by it are cut" if was_new else f"{each.id} was revoked before")
        return code

    visit("revoke", where, errand)


def _raise(error: Exception) -> int:
    raise error
