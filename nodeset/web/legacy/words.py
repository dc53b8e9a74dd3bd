"""What a request of the original's kind asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from nodeset.core.address import ANY_NODE, LOCALHOST, parse
from nodeset.web.problem import Problem

__all__ = ["Arguments", "Signature", "checkForm", "readEvents", "readPublish"]

#: The query with the form in the body, as twisted.web reads them.
Arguments = Mapping[bytes, list[bytes]]

#: The bodies that arguments can come in.
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


@attrs.frozen
class Signature:
    """What the client shows for itself; an empty text is what it did not show.

    :ivar event, message: of a publish alone.
    :ivar key, timestamp: which key it says to have, when it says to have signed.
    """

    event: str = ""
    message: str = attrs.field(default="", repr=False)
    key: str = ""
    timestamp: str = ""
    signature: str = attrs.field(default="", repr=False)

    @classmethod
    def read(cls, arguments: Arguments, key: str | None) -> Signature:
        """What these arguments say, with the header x-verify-key. Raises `Problem` for what is no UTF-8."""
        event, message, timestamp, signature = (
            _last(arguments, n) or "" for n in ("event", "message", "timestamp", "signature")
        )
        return cls(event, message, key or "", timestamp, signature)


def checkForm(method: bytes, content_type: str | None, body: bytes) -> None:
    """Raises `Problem` for a body that no arguments can be in."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if not body or (method == b"POST" and kind in _FORMS):
        return
    if method != b"POST":
        raise Problem(400, "a GET has its arguments in its address, so it has no body: send a POST, or no body")
    given = f"its Content-Type is {kind[:80]!r}" if kind else "it has no Content-Type"
    raise Problem(415, f"the body is no form ({given}): send event=...&message=... as {_FORMS[0]}")


def readPublish(arguments: Arguments) -> tuple[str, str]:
    """The event with the text of the message. Raises `Problem` for what is missing."""
    event, message = (_last(arguments, name) for name in ("event", "message"))
    if not event:
        raise Problem(400, "there is no event: publish by event=orders.created&message={...}")
    if message is None:
        raise Problem(400, f"there is no message for {event[:80]!r}: add message={{...}}, a JSON object")
    return event, message


def readEvents(arguments: Arguments, most: int) -> list[str]:
    """The names or patterns to subscribe to, each once. Raises `Problem`, `InvalidAddressing`."""
    given = list(dict.fromkeys(_text("event", value) for value in arguments.get(b"event", ())))
    if not any(given):
        raise Problem(400, "there is no event: subscribe by event=orders.created, again for more of them")
    if len(given) > most:
        raise Problem(400, f"{len(given)} events are too many for one connection, which may have {most}: use a pattern")
    return list(dict.fromkeys(map(_nameOf, given)))


def _nameOf(event: str) -> str:
    """The name, or the pattern, in an address that means whoever is here."""
    address = parse(event)
    if (address.nodeName, address.hostName) != (ANY_NODE, LOCALHOST):
        raise Problem(400, f"{event[:80]!r} is addressed to somebody: subscribe to {address.eventName[:80]!r} alone")
    return address.eventName


def _last(arguments: Arguments, name: str) -> str | None:
    # Of several the original took the last one.
    values = arguments.get(name.encode())
    return _text(name, values[-1]) if values else None


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Problem(400, f"the {name} is not UTF-8: percent-encode it from UTF-8") from None
