"""The header by which traces travel, as W3C Trace Context writes it: `00-<trace id>-<span id>-<flags>`."""

from __future__ import annotations

import re

import attrs

__all__ = ["Trace", "format", "parse"]

_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
#: What later versions may append is of no concern to us, but it has to end somewhere.
_LONGEST = 512


@attrs.frozen
class Trace:
    """A place in a trace: which trace, which span of it, whether somebody records it."""

    trace_id: str
    span_id: str
    sampled: bool = False


def parse(text: str) -> Trace | None:
    """The place that `text` names; None when it names none, as the standard has it.

    Of a version to come what we know of is read: the same four fields, perhaps with more behind them.
    """
    found = _SHAPE.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & 1))


def format(trace: Trace) -> str:
    """The header for `trace`, in the version that we write."""
    return f"00-{trace.trace_id}-{trace.span_id}-{int(trace.sampled):02x}"
