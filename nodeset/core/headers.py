"""The header map of a run: what goes with its events beside their payloads."""

from __future__ import annotations

from typing import Any

import msgspec

from nodeset.core.batch import NO_HEADERS, RAW_HEADERS, unpackHeaders

__all__ = ["dedupOf", "makeHeaders", "retainedOf", "traceparentOf", "withTrace"]

_encode = msgspec.msgpack.Encoder().encode


def makeHeaders(raw: bool, dedup: str | None = None, retained: int = 0, handed: bool = False) -> msgspec.Raw:
    """The headers of events with bytes as they are (`raw`), an id by which a second one is known, a number as a retained value.

    A retained value that is `handed` to a newcomer says so.
    """
    headers: dict[str, Any] = {"content_type": "raw"} if raw else {}
    if dedup is not None:
        headers["dedup"] = dedup
    if retained:
        headers["retained"] = [retained, True] if handed else retained
    if not headers:
        return NO_HEADERS
    return RAW_HEADERS if raw and len(headers) == 1 else msgspec.Raw(_encode(headers))


def withTrace(headers: msgspec.Raw, traceparent: str) -> msgspec.Raw:
    """The same headers as part of a trace."""
    return msgspec.Raw(_encode({**unpackHeaders(headers), "traceparent": traceparent}))


# What others wrote may be anything: what is not what it should be is not there.


def dedupOf(headers: dict[str, Any]) -> str | None:
    """The id by which a second such event is known."""
    dedup = headers.get("dedup")
    return dedup if isinstance(dedup, str) else None


def retainedOf(headers: dict[str, Any]) -> tuple[int, bool]:
    """The number of a retained value, 0 for none; whether it was handed over to a newcomer."""
    number, handed = headers.get("retained"), False
    if isinstance(number, list) and len(number) == 2:
        number, handed = number[0], number[1] is True
    return (number, handed) if type(number) is int and number > 0 else (0, False)


def traceparentOf(headers: dict[str, Any]) -> str | None:
    """The trace that the event is part of, unchecked."""
    traceparent = headers.get("traceparent")
    return traceparent if isinstance(traceparent, str) else None
