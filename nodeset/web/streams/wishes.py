"""What who reads events asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from nodeset.web.problem import Problem
from nodeset.web.streams.forms import NDJSON, SSE, Form

__all__ = ["MOST_SECONDS", "formIn", "lastIdIn", "secondsIn"]

#: Seconds that a poll may wait at most, those that it does by default.
MOST_SECONDS: Final = 25.0
_JSON: Final = "application/json"
#: In which form, the preferred one first where a client takes several equally.
_SERVED: Final[Mapping[str, Form | None]] = {_JSON: None, SSE.media_type: SSE, NDJSON.media_type: NDJSON}


def formIn(accept: str | None) -> Form | None:
    """The form of a stream that an Accept header asks for, None for an answer as a whole. Raises `Problem` 406 for others."""
    if accept is None or not accept.strip():
        return None
    wanted = dict(_readRange(part) for part in accept.split(","))
    best, most = "", 0.0
    for served in _SERVED:
        kind = served.partition("/")[0]
        weight = wanted.get(served, wanted.get(f"{kind}/*", wanted.get("*/*", 0.0)))
        if weight > most:
            best, most = served, weight
    if not best:
        raise Problem(406, f"Accept is {accept[:60]!r}: events come as {', '.join(_SERVED)}")
    return _SERVED[best]


def _readRange(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _is, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, min(1.0, max(0.0, float(value)))
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def lastIdIn(header: str | None, query: Mapping[str, Sequence[str]]) -> str | None:
    """The id of the last event that the client saw: a browser that comes back says it in the header, at the same address."""
    return header or (query.get("last_event_id") or [""])[-1] or None


def secondsIn(query: Mapping[str, Sequence[str]]) -> float:
    """How long a poll waits. Raises `Problem` 400."""
    given = query.get("wait")
    if not given:
        return MOST_SECONDS
    try:
        seconds = float(given[-1])
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 86400.0:
        raise Problem(400, f"wait is {given[-1][:60]!r}: give seconds, from 0 to {MOST_SECONDS:g}")
    return min(seconds, MOST_SECONDS)
