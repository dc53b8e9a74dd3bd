"""What the name in a FURL grants, as people read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import msgspec

from nodeset.cli.shown import printable
from nodeset.core.address import covers
from nodeset.core.grants.chain import Caveat, caveatsOf, idOf, isGrant
from nodeset.core.grants.rights import coversCall, memberCaveat
from nodeset.errors import InvalidAddressing

__all__ = ["Meaning", "inWords", "meaningOf", "plain", "when"]

#: The last second that a datetime knows.
_LATEST: Final = 253402300799
_VERBS: Final = ("publish", "subscribe", "call", "answer")
_UNITS: Final = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


@attrs.frozen
class Meaning:
    """What a name says that it grants, whether or not it is signed: that only its dispatcher knows.

    :ivar kind: `owner`, `member`, `limited`, or `none` for a name that is no grant.
    :ivar id: by what an owner revokes it, empty without a grant.
    :ivar expires: Unix time at which the first of its links ends, None for never.
    """

    kind: str
    id: str = ""
    links: tuple[Caveat, ...] = ()
    expires: int | None = None

    def hasExpired(self, now: float) -> bool:
        """Whether it is over; `now` is Unix time."""
        return self.expires is not None and self.expires <= now


def meaningOf(name: str) -> Meaning:
    """Read the name of a FURL. Raises `GrantRefused` for a grant that is cut off or damaged."""
    if not isGrant(name):
        return Meaning("none")
    links = tuple(caveatsOf(name))
    ends = [link.expires for link in links if link.expires is not None]
    return Meaning(_kindOf(links), idOf(name), links, min(ends, default=None))


def _kindOf(links: Sequence[Caveat]) -> str:
    if all(link.owner for link in links):
        return "owner"
    first = links[0]
    return "member" if len(links) == 1 and first == memberCaveat(first.id) else "limited"


def when(then: float, now: float) -> str:
    """A moment of Unix time, with how far away it is.

    >>> when(7200, 3600)
    '1970-01-01 02:00:00 UTC, in 1.0 h'
    """
    moment = datetime.fromtimestamp(min(max(then, 0), _LATEST), UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {f'in {_far(then - now)}' if then > now else f'{_far(now - then)} ago'}"


def _far(seconds: float) -> str:
    size, unit = next((each for each in _UNITS if seconds >= each[0]), _UNITS[-1])
    return f"{seconds / size:.1f} {unit}" if size > 1 else f"{seconds:.0f} {unit}"


def inWords(meaning: Meaning, now: float) -> list[tuple[str, str]]:
    """A label with a text for each line that there is to say."""
    if meaning.kind == "none":
        return [("grant", "none: this name is no grant, so nothing can be said of what it allows")]
    links = meaning.links
    rates = [link.rate for link in links if link.rate is not None]
    tubs = [link.tub for link in links if link.tub is not None]
    ends = "never" if meaning.expires is None else when(meaning.expires, now)
    lines = [
        ("grant", _KINDS[meaning.kind]),
        ("id", f"{meaning.id} (nodeset revoke {meaning.id})"),
        ("links", f"{len(links)}{', every one of them must allow it' if len(links) > 1 else ''}"),
        *((verb, _allowed(verb, links)) for verb in _VERBS),
        ("rate", f"{min(rates):g} events and calls a second" if rates else "any"),
        ("expires", f"{'EXPIRED ' if meaning.hasExpired(now) else ''}{ends}"),
    ]
    return lines + [("only for", f"the node with TubID {printable(tub)}") for tub in dict.fromkeys(tubs)]


def _allowed(verb: str, links: Sequence[Caveat]) -> str:
    lists: list[list[str]] = [wanted for link in links if (wanted := getattr(link, verb)) is not None]
    if verb == "answer" and links[0].answer is None:
        return "the label that its holder chooses" + (f", if that is {_join(lists)}" if lists else "")
    return _join(_narrowest(verb, lists)) if lists else "everything"


def _join(lists: list[list[str]]) -> str:
    return ", and of that: ".join(" ".join(map(printable, each)) or "nothing" for each in lists)


def _narrowest(verb: str, lists: list[list[str]]) -> list[list[str]]:
    """Those lists that the ones after them do not make superfluous."""
    kept: list[list[str]] = []
    for each in lists:
        kept = [outer for outer in kept if not all(_lies(verb, outer, pattern) for pattern in each)]
        kept.append(each)
    return kept


def _lies(verb: str, outer: list[str], pattern: str) -> bool:
    try:
        return any(_INSIDE[verb](one, pattern) for one in outer)
    except (InvalidAddressing, ValueError):
        return False  # of an unsigned grant that nobody checked


_INSIDE: Final[dict[str, Callable[[str, str], bool]]] = {
    "publish": covers,
    "subscribe": covers,
    "call": coversCall,
    "answer": lambda outer, name: outer in ("*", name),
}
_KINDS: Final = {
    "owner": "owner: everything, with the right to mint and to revoke grants",
    "member": "member: publish, subscribe, call everything",
    "limited": "limited to what follows",
}


def plain(meaning: Meaning) -> dict[str, Any]:
    """The same as JSON has it; a verb that is null is not limited by that link."""
    fields = [*_VERBS, "rate", "expires", "tub", "owner"]
    links = [{name: msgspec.structs.asdict(link)[name] for name in fields} for link in meaning.links]
    return {"kind": meaning.kind, "id": meaning.id, "expires": meaning.expires, "links": links}
