"""What a test waits for, in words."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from twisted.internet.defer import Deferred

from nodeset.core.confirmation import Confirmation

__all__ = ["conditionText", "describe", "progress"]

_MOST = 160


def _place(code: CodeType, line: int) -> str:
    text = linecache.getline(code.co_filename, line).strip()
    return f"{Path(code.co_filename).name}:{line}" + (f": {text[:_MOST]}" if text else "")


def describe(awaited: Any) -> str:
    """What this Deferred or coroutine is."""
    if isinstance(awaited, Confirmation):
        return "the receipt of a publish()"
    if isinstance(awaited, Deferred):
        return "a Deferred"
    return f"{getattr(awaited, '__qualname__', type(awaited).__name__)}()"


def progress(awaited: Any) -> str:
    """At which line a coroutine is, the innermost that it awaits; empty for all else."""
    frame: FrameType | None = None
    while (inner := getattr(awaited, "cr_frame", None)) is not None:
        frame, awaited = inner, awaited.cr_await
    return "" if frame is None else f", which is at {_place(frame.f_code, frame.f_lineno)}"


def conditionText(condition: Callable[[], object]) -> str:
    """The condition as its author wrote it, as far as that is known."""
    code = getattr(condition, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return getattr(condition, "__qualname__", repr(condition))
    try:
        lines = inspect.getsource(condition).strip().splitlines()
    except (OSError, TypeError, SyntaxError):
        return f"the lambda at {_place(code, code.co_firstlineno)}"
    return " ".join(line.strip() for line in lines)[:_MOST]
