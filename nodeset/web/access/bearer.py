"""A grant as a request carries it: `Authorization: Bearer g1....`, or the whole FURL that has it as its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from nodeset.core.address import covers
from nodeset.core.grants.chain import Link, caveatsOf, idOf, isGrant
from nodeset.core.grants.rights import Rights, coversCall
from nodeset.errors import GrantRefused, InvalidAddressing

__all__ = ["Allowed", "allowedBy", "labelOf", "nameIn", "readBearer", "rightsIn", "rootOf", "whyNot"]

_SCHEME: Final = "bearer "


def readBearer(header: str | None) -> str | None:
    """What stands behind `Bearer` in an Authorization header; None without a header.

    Raises `GrantRefused` for another scheme.
    """
    if header is None:
        return None
    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise GrantRefused("this bridge knows the scheme Bearer alone: send Authorization: Bearer g1....")
    return header[len(_SCHEME) :].strip()


def nameIn(text: str, own: str) -> str:
    """The grant in this text, which is one, or a FURL with one. Raises `GrantRefused`, without the text.

    :param own: the bridge's own FURL: another one must lead to the same dispatcher, whose grant it has.
    """
    name = text
    if "://" in text:
        if _placeOf(text) != _placeOf(own):
            raise GrantRefused("this FURL is of another dispatcher than that of this bridge")
        name = text.rpartition("/")[2]
    if not isGrant(name):
        raise GrantRefused("this is no grant, it does not begin with g1.: nodeset grant --token prints one")
    return name


def _placeOf(furl: str) -> str:
    """By what a dispatcher is told from others: the TubID, where a FURL has one, never its hints."""
    scheme, _mark, rest = furl.partition("://")
    place = rest.partition("/")[0]
    return f"{scheme}://{place.partition('@')[0]}"


def whyNot(name: str, own: str, now: float) -> str:
    """Why nobody need ask the dispatcher about this grant, empty when it has to be asked; `now` is Unix time."""
    try:
        caveats = caveatsOf(name)
    except GrantRefused as error:
        return str(error)
    ours = own.rpartition("/")[2]
    if isGrant(ours) and ours.split(".")[1] != name.split(".")[1]:
        return "this grant is not signed with the key of this dispatcher: get one from its owner"
    if any(caveat.expires is not None and caveat.expires <= now for caveat in caveats):
        return "this grant has expired: get a new one"
    return ""


def rightsIn(name: str) -> Rights:
    """What a grant says that it allows, whether or not it is signed: the dispatcher has the last word.

    Raises `GrantRefused` for what is none.
    """
    caveats = caveatsOf(name)
    ids = [""] * (len(caveats) - 1) + [idOf(name)]
    return Rights(tuple(Link(caveat, grant) for caveat, grant in zip(caveats, ids, strict=True)))


def labelOf(name: str) -> str:
    """The grant as a log may have it: with its whole id, so that nobody can make another one that is called alike."""
    return f"grant {idOf(name)}"


def rootOf(name: str) -> str:
    """By what all grants are known alike that were narrowed from one that the dispatcher minted."""
    return ".".join(name.split(".", 3)[:3])


@attrs.frozen
class Allowed:
    """What an agent may do, as a page shows it: patterns for each verb, None for everything."""

    publish: list[str] | None
    subscribe: list[str] | None
    call: list[str] | None


def allowedBy(rights: Rights) -> Allowed:
    """The patterns that all links of a grant allow."""
    caveats = [link.caveat for link in rights.chain]
    return Allowed(
        _narrowest([caveat.publish for caveat in caveats], covers),
        _narrowest([caveat.subscribe for caveat in caveats], covers),
        _narrowest([caveat.call for caveat in caveats], coversCall),
    )


def _narrowest(lists: list[list[str] | None], inside: Callable[[str, str], bool]) -> list[str] | None:
    """Of the last link that says anything those which every link before it has too."""
    said = [each for each in lists if each is not None]
    if not said:
        return None
    return [pattern for pattern in said[-1] if all(any(_lies(inside, outer, pattern) for outer in each) for each in said[:-1])]


def _lies(inside: Callable[[str, str], bool], outer: str, pattern: str) -> bool:
    try:
        return inside(outer, pattern)
    except (InvalidAddressing, ValueError):
        return False
