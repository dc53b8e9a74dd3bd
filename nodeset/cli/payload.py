"""What `--payload` says."""

from __future__ import annotations

import re
from typing import Any

import simplejson

from nodeset.core import codec
from nodeset.core.message import MessageBuilder, NodeMessage
from nodeset.errors import BadMessage, BadSettings

__all__ = ["makeMessage", "readPayload"]

_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def readPayload(text: str | None, what: str = "--payload") -> dict[str, Any]:
    """The fields: a JSON object's own, else one field `payload` with the text; none for None.

    What starts with a brace is meant to be an object. BadSettings says where `what` is not.
    """
    if text is None:
        return {}
    if not text.lstrip().startswith("{"):
        return {"payload": text}
    try:
        found: dict[str, Any] = simplejson.loads(text)
    except simplejson.JSONDecodeError as error:
        # An object with something behind it has two positions: the first one is what is wrong.
        where = f"line {error.lineno}, column {error.colno}"
        raise BadSettings(
            f"{what} is no JSON object: {error.msg} at {where}; a plain text may not start with a brace"
        ) from None
    except RecursionError:
        raise BadSettings(
            f"{what} is nested deeper than {codec.MAX_DEPTH} from character {_findDepth(text)} on: flatten it"
        ) from None
    return found


def _findDepth(text: str) -> int:
    """The number of the character, from 1, at which it becomes too deep."""
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth > codec.MAX_DEPTH:
            return found.start() + 1
    return len(text)


def makeMessage(text: str | None, what: str = "--payload") -> NodeMessage:
    """The message with these fields, which can be sent. BadSettings names the field of `what` that cannot."""
    fields = readPayload(text, what)
    try:
        msg = MessageBuilder.createMessage(None, **fields)
        codec.deliveryMode(msg)
        codec.encode(msg)
    except BadMessage as error:
        raise BadSettings(f"{what}: {error}") from None
    return msg
