"""Addresses of events, with the patterns that match them.

An event's full address is `node@host/event`. Every part but the event may be left out: `ev` and `/ev` are `*@localhost/ev`,
`h/ev` and `@h/ev` are `*@h/ev`, `n@/ev` is `n@localhost/ev`. The host is a site's or a node's host name; `localhost` is the
dispatcher that one is connected to.

An event name is made of parts joined by dots, `orders.created`. A *pattern* is for subscribing, never for publishing: `*`
stands for exactly one part, a last `>` for one or more. NodeSet's own events, `nodeset.` and more, are matched only by
patterns that begin with `nodeset.` themselves: who subscribes to `>` wants the events of the application.
"""

from __future__ import annotations

from functools import lru_cache

from zope.interface import implementer

from nodeset.core.interfaces import IEventURI
from nodeset.errors import InvalidAddressing

__all__ = [
    "ANY_NODE",
    "LOCALHOST",
    "MAX_PART",
    "OWN",
    "SIGN",
    "EventURI",
    "checkPart",
    "checkPattern",
    "covers",
    "isIntroduction",
    "isMeant",
    "isPattern",
    "liesWithin",
    "matches",
    "parse",
    "parseTarget",
]

#: Bytes of UTF-8 in one part of an address.
MAX_PART = 255
#: The first part of the names of NodeSet's own events, of which there are two parts at least.
OWN = "nodeset"
ANY_NODE = "*"
LOCALHOST = "localhost"
#: What the target of a call begins with that is an introduction.
SIGN = "="

_QUOTES = "'\""
_TARGETS = "write name or name@host"
_FORMS = "write event, host/event or node@host/event"


def _quoted(text: object) -> str:
    shown = repr(text)
    # Cut inside the quotes, so that they are closed.
    return shown if len(shown) <= 60 else f"{shown[:56]}...{shown[0] if shown[0] in _QUOTES else ''}"


def checkPart(part: str, what: str) -> str:
    """Return `part`, or raise `InvalidAddressing` when it cannot be part of an address; `what` names it in the error."""
    if not isinstance(part, str):
        raise InvalidAddressing(f"{what} {_quoted(part)} is no text but a {type(part).__name__}: give a str")
    if not part:
        raise InvalidAddressing(f"Invalid addressing: {what} is empty: give one, as in orders.created")
    if not part.isprintable() or " " in part:
        raise InvalidAddressing(
            f"Invalid addressing: {what} {_quoted(part)} has a space or an unprintable character: leave it out"
        )
    if "/" in part or "@" in part:
        raise InvalidAddressing(f"Invalid addressing: {what} {_quoted(part)} has a '/' or '@' in it: {_FORMS}")
    if len(part) > MAX_PART or len(part.encode()) > MAX_PART:
        raise InvalidAddressing(f"Invalid addressing: {what} {_quoted(part)} is longer than {MAX_PART} bytes: shorten it")
    return part


def isPattern(name: str) -> bool:
    """Whether `name` holds a wildcard, so that it can be subscribed to but not published."""
    return "*" in name or ">" in name


def _checkPlace(part: str, what: str) -> None:
    checkPart(part, what)
    if isPattern(part):  # it would match nobody, silently
        raise InvalidAddressing(
            f"Invalid addressing: {what} {_quoted(part)} has a wildcard: write it out, only the event's name may have one"
        )


def checkPattern(name: str) -> str:
    """Return `name` if it is an event name or a pattern, else raise `InvalidAddressing`."""
    checkPart(name, "event name")
    parts = name.split(".")
    for index, part in enumerate(parts):
        if not part:
            raise InvalidAddressing(
                f"Invalid addressing: {_quoted(name)} has an empty part between its dots: write one dot between two parts"
            )
        if isPattern(part) and not (part == "*" or (part == ">" and index == len(parts) - 1)):
            raise InvalidAddressing(
                f"Invalid addressing: {_quoted(name)} has a misplaced wildcard: "
                "write '*' as a whole part, '>' as the whole last part"
            )
    return name


def matches(pattern: str, name: str) -> bool:
    """Whether the event `name` is one that `pattern` stands for."""
    wanted, given = pattern.split("."), name.split(".")
    if given[0] == OWN and len(given) > 1 and wanted[0] != OWN:
        return False
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(want in ("*", part) for want, part in zip(wanted, given, strict=True))


def covers(outer: str, inner: str) -> bool:
    """Whether `outer` stands for every event name that `inner` stands for, which may be a pattern or a name."""
    if inner.startswith(f"{OWN}.") and not outer.startswith(OWN):
        return False
    return liesWithin(inner, outer)


def liesWithin(inner: str, outer: str) -> bool:
    """The same for names of any kind, among which none are NodeSet's own."""
    wide, given = outer.split("."), inner.split(".")
    if wide[-1] == ">":
        wide.pop()
        if len(given) <= len(wide):
            return False
    elif len(wide) != len(given) or given[-1] == ">":
        return False
    # A `>` of the inner one within reach would be longer names than the outer one may know.
    return all(part != ">" and want in ("*", part) for want, part in zip(wide, given, strict=False))


@implementer(IEventURI)
class EventURI:
    """An address taken apart: `eventName`, `nodeName` (`*` is any), `hostName`, and `raw` as it was written.

    Raises `InvalidAddressing` for anything else than the forms that this module's docstring lists. The event may be a
    pattern; who publishes asks `isPattern`.
    """

    __slots__ = ("_text", "eventName", "hostName", "nodeName", "raw")

    def __init__(self, raw: str) -> None:
        if not isinstance(raw, str):
            raise InvalidAddressing(f"the address {_quoted(raw)} is no text but a {type(raw).__name__}: give a str")
        if len(raw) > 3 * MAX_PART + 2:
            raise InvalidAddressing(f"Invalid addressing: {_quoted(raw)} is too long: each part may have {MAX_PART} bytes")
        place, _slash, event = raw.rpartition("/")
        if "/" in place:
            raise InvalidAddressing(f"Invalid addressing: {_quoted(raw)} has more than one '/': {_FORMS}")
        node, _at, host = place.rpartition("@")
        self.raw = raw
        self.eventName = checkPattern(event)
        self.nodeName = node or ANY_NODE
        self.hostName = host or LOCALHOST
        if self.nodeName != ANY_NODE:
            _checkPlace(self.nodeName, "node name")
        _checkPlace(self.hostName, "host name")
        self._text = f"{self.nodeName}@{self.hostName}/{self.eventName}"

    @property
    def branches(self) -> int:
        """How many parts the event has if it is a pattern; 0 for a name."""
        return self.eventName.count(".") + 1 if isPattern(self.eventName) else 0

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"EventURI({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, EventURI) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)


@lru_cache(maxsize=1024)
def parse(raw: str) -> EventURI:
    """The `EventURI` of `raw`, remembered, since the same few are used for ever. Raises `InvalidAddressing`."""
    return EventURI(raw)


@lru_cache(maxsize=4096)
def parseTarget(raw: str) -> tuple[str, str]:
    """The name and the host of the nodes that a call means by `name` or `name@host`. Raises `InvalidAddressing`."""
    if not isinstance(raw, str):
        raise InvalidAddressing(f"the target {_quoted(raw)} is no text but a {type(raw).__name__}: give a str")
    name, at, host = raw.partition("@")
    if at and not host:
        raise InvalidAddressing(f"Invalid addressing: the target {_quoted(raw)} has no host after its '@': {_TARGETS}")
    if "/" in raw or "@" in host:
        raise InvalidAddressing(f"Invalid addressing: the target {_quoted(raw)} has too much in it: {_TARGETS}")
    _checkPlace(name, "node name")
    _checkPlace(host or LOCALHOST, "host name")
    return name, host or LOCALHOST


def isIntroduction(target: str) -> bool:
    """Whether a call to this target goes to whom the dispatcher introduced the caller; no node's name has a slash."""
    return target.startswith(SIGN) and "/" in target


def isMeant(target: str, stream: str, name: str) -> bool:
    """Whether a call to this target is for the node with this stream id and name."""
    if isIntroduction(target):
        return target.removeprefix(SIGN).partition("/")[0] == stream
    return target.partition("@")[0] == name
