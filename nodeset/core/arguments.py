"""The arguments of a node's verbs, checked where the caller makes the mistake."""

from __future__ import annotations

from functools import lru_cache
from types import EllipsisType
from typing import Any, Final

from nodeset.core.address import ANY_NODE, LOCALHOST, EventURI, isPattern, parse
from nodeset.core.batch import MAX_QUEUED, MAX_QUEUED_BYTES, Level, Mode, Policy, Sub
from nodeset.core.message import NodeMessage
from nodeset.errors import BadMessage, InvalidAddressing, LocalError

__all__ = [
    "LEVELS",
    "MODES",
    "OPTIONS",
    "RESERVED",
    "checkClass",
    "checkLevel",
    "checkReserved",
    "checkTimeout",
    "makeSub",
    "publishable",
    "subscribable",
]

LEVELS: Final = {"accepted": Level.ACCEPTED, "delivered": Level.DELIVERED, "handled": Level.HANDLED}
MODES: Final = {"all": Mode.ALL, "one": Mode.ONE}
_POLICIES: Final = {"block": Policy.BLOCK, "drop_oldest": Policy.DROP_OLDEST, "drop_newest": Policy.DROP_NEWEST}
#: Arguments of `publish` that are spoken for, though their time has not come.
RESERVED: Final = frozenset({"retain", "ttl"})
#: Arguments of `publish`.
OPTIONS: Final = frozenset({"event_uri", "msgClass", "level", "timeout", "wait"})


def publishable(event_uri: str) -> str:
    """The address itself. Raises `InvalidAddressing` for what is none, or a pattern."""
    return _checked(event_uri) if isinstance(event_uri, str) else EventURI(event_uri).raw


@lru_cache(maxsize=4096)
def _checked(event_uri: str) -> str:
    if isPattern(parse(event_uri).eventName):
        raise InvalidAddressing(f"{event_uri!r} is a pattern: one subscribes to it, one publishes to a name")
    return event_uri


def subscribable(name: str, node: str, host: str) -> str:
    """The name or pattern that the node so named subscribes to. Raises `InvalidAddressing` for what is none, or another's."""
    uri = parse(name) if isinstance(name, str) else EventURI(name)
    if uri.nodeName not in (ANY_NODE, node) or uri.hostName not in (LOCALHOST, host):
        raise InvalidAddressing(f"{name!r} is the address of another node than {node}@{host}")
    return uri.eventName


def checkClass(msg_class: object) -> None:
    """Raises `BadMessage` for what is no message class, nor None."""
    if msg_class is not None and not (isinstance(msg_class, type) and issubclass(msg_class, NodeMessage)):
        raise BadMessage(f"{msg_class!r:.60} is no message class: give a subclass of NodeMessage, or None")


def checkReserved(fields: dict[str, Any]) -> None:
    """Raises `LocalError` for a field whose name is an argument to come."""
    if not RESERVED.isdisjoint(fields):
        raise LocalError(f"{', '.join(sorted(RESERVED & fields.keys()))} is reserved: send such a field by publishMessage()")


def checkLevel(level: str) -> Level:
    """The level by its name. Raises `LocalError`."""
    if not isinstance(level, str) or level not in LEVELS:
        raise LocalError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
    return LEVELS[level]


def checkTimeout(timeout: float | EllipsisType | None, usual: float) -> float | None:
    """The time-out in seconds, the `usual` one for `...`, None for never. Raises `LocalError`."""
    if timeout is ...:
        return usual
    if timeout is not None and not (isinstance(timeout, (int, float)) and 0 < timeout < float("inf")):
        raise LocalError(f"timeout must be a positive number of seconds or None, not {timeout!r}")
    return timeout


def makeSub(pattern: str, policy: str, max_events: int, max_bytes: int) -> Sub:
    """The subscription to `pattern` with these limits. Raises `LocalError`."""
    if not isinstance(policy, str) or policy not in _POLICIES:
        raise LocalError(f"policy must be one of {', '.join(_POLICIES)}, not {policy!r}")
    for name, value, most in (("max_events", max_events, MAX_QUEUED), ("max_bytes", max_bytes, MAX_QUEUED_BYTES)):
        if not (isinstance(value, int) and 1 <= value <= most):
            raise LocalError(f"{name} must be a number from 1 to {most}, not {value!r}")
    return Sub(pattern, True, _POLICIES[policy], max_events, max_bytes)
