"""A body with many events, taken apart."""

from __future__ import annotations

from base64 import b64decode
from typing import Final

import attrs
import msgspec
from msgspec.structs import astuple

from nodeset.core.syntax import explainSyntax

__all__ = ["MAX_ITEMS", "BadBatch", "BadItem", "Item", "readBatch"]

#: Events of one batch.
MAX_ITEMS: Final = 100

_TOO_MANY: Final = f"the batch holds more than {MAX_ITEMS} events: send it in parts"
_NOTHING: Final = msgspec.Raw()


class BadBatch(Exception):
    """The whole body is none."""


class BadItem(Exception):
    """One of the events is none; the others are not concerned."""


@attrs.define(eq=False)
class Item:
    """One event of a batch: its payload as it was written, `raw` when that is no JSON."""

    event: str
    payload: bytes
    raw: bool
    id: str | None


class _Written(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item as it is written."""

    event: str
    message: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None


_readItem: Final = msgspec.json.Decoder(_Written).decode


#: An array of at most so many, whatever they are: at one more msgspec stops, before it has made anything of the rest.
_Array: Final = msgspec.defstruct(
    "Array", [(f"at_{index}", msgspec.Raw, _NOTHING) for index in range(MAX_ITEMS)], array_like=True, forbid_unknown_fields=True
)
_readArray: Final = msgspec.json.Decoder(_Array).decode


def readBatch(body: bytes, lines: bool) -> list[Item | BadItem]:
    """The events in a JSON array, or in `lines` of JSON, each by itself. Raises `BadBatch`."""
    texts = _splitLines(body) if lines else _splitArray(body)
    if not texts:
        raise BadBatch("the batch is empty: give 1 event or more")
    if len(texts) > MAX_ITEMS:
        raise BadBatch(_TOO_MANY)
    return [_readOne(text) for text in texts]


def _splitLines(body: bytes) -> list[bytes]:
    found = body.split(b"\n", 2 * MAX_ITEMS)  # a million empty ones are nothing to make a list of
    if len(found) > 2 * MAX_ITEMS:
        raise BadBatch(_TOO_MANY)
    return [line for line in found if line and not line.isspace()]


def _splitArray(body: bytes) -> list[bytes]:
    try:
        found = _readArray(body)
    except RecursionError:
        raise BadBatch("the batch is nested too deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if "at most length" in str(error):
            raise BadBatch(_TOO_MANY) from None
        raise BadBatch(f"this is no JSON array: {explainSyntax(error, body)}") from None
    return [bytes(one) for one in astuple(found) if one is not _NOTHING]


def _readOne(text: bytes) -> Item | BadItem:
    try:
        written = _readItem(text)
    except RecursionError:
        return BadItem("it is nested too deep")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return BadItem(f'this is no {{"event","message"}}: {explainSyntax(error, text)}')
    if written.base64 is msgspec.UNSET:
        if written.message is msgspec.UNSET:
            return BadItem('it has no "message": give that, a JSON object, or "base64"')
        return Item(written.event, bytes(written.message), False, written.id)
    if written.message is not msgspec.UNSET:
        return BadItem('it has "message" and "base64": give one of them')
    try:
        payload = b64decode(written.base64, validate=True)
    except ValueError as error:
        return BadItem(f'its "base64" cannot be read: {error}')
    return Item(written.event, payload, True, written.id)
