"""The lines of a center's log, one for each event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final, get_type_hints

from nodeset.core.message import NodeMessage
from nodeset.processes.events import (
    KINDS,
    Kind,
    ProcessEvent,
    ProcessOutput,
    ProcessReturn,
    ProcessSignal,
    ProcessStart,
    ProcessState,
    ProcessStats,
)

__all__ = ["CLASSES", "WORDS", "fieldsOf", "isBegun", "lineOf", "lossLine", "namesOf"]

#: The message class of each kind.
CLASSES: Final[Mapping[str, type[ProcessEvent]]] = {
    "start": ProcessStart,
    "out": ProcessOutput,
    "err": ProcessOutput,
    "state": ProcessState,
    "stats": ProcessStats,
    "return": ProcessReturn,
    "signal": ProcessSignal,
}
#: What the log calls a kind: the original's word for `stats` was `ping`.
WORDS: Final[Mapping[str, str]] = {kind: "ping" if kind == "stats" else kind for kind in KINDS}

_BEGUN: Final = re.compile(rb"\['[A-Za-z0-9_-]{1,64}', '(?:%s)', " % "|".join(WORDS.values()).encode("ascii"))


def lineOf(name: str, kind: Kind, msg: ProcessEvent, missing: int = 0, late: int = 0) -> bytes:
    """The line of this event: a Python list of who it is of, what it is, its data; ASCII alone, ended by a line feed.

    What is not as it should be is a fourth element, a dict: `dropped` bytes of output were lost just before, `missing` events
    did not come before it, `late` says that it belongs so many events of this program further up.
    """
    lost: dict[str, int] = {}
    if isinstance(msg, ProcessOutput):
        # As ascii(data.decode("latin-1")), which takes up to twice the time.
        data = repr(msg.data)[1:]
        if msg.dropped > 0:
            lost["dropped"] = msg.dropped
    elif isinstance(msg, ProcessStart):
        data = str(msg.pid)
    elif isinstance(msg, ProcessReturn | ProcessSignal):
        data = str(msg.code)
    else:
        data = ascii(fieldsOf(msg))
    if missing:
        lost["missing"] = missing
    if late:
        lost["late"] = late
    mark = f", {lost}" if lost else ""
    return f"['{name}', '{WORDS[kind]}', {data}{mark}]\n".encode("ascii")


@cache
def namesOf(kind: type[NodeMessage]) -> tuple[str, ...]:
    """The fields that this class declares, but for `seq`."""
    return tuple(name for name in get_type_hints(kind) if name != "seq" and not name.startswith("_"))


def fieldsOf(msg: ProcessEvent) -> dict[str, object]:
    """What an event of this class tells, without what a stranger added to it."""
    return {name: getattr(msg, name) for name in namesOf(type(msg))}


def lossLine(name: str, lines: int, size: int, why: str) -> bytes:
    """The line that stands for others which the center `name` could not write."""
    text = f"{lines} lines were lost here: {why}\n"
    return f"['{name}', 'err', {text!a}, {{'dropped': {size}}}]\n".encode("ascii")


def isBegun(tail: bytes) -> bool:
    """Whether this is the beginning of a line of ours."""
    return _BEGUN.match(tail) is not None
