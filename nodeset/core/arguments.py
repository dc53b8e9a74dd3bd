"""The arguments of a node's verbs, checked where the caller makes the mistake."""

from __future__ import annotations

from functools import lru_cache
from types import EllipsisType
from typing import Final

from nodeset.core.address import ANY_NODE, LOCALHOST, EventURI, isPattern, parse
from nodeset.core.batch import MAX_QUEUED, MAX_QUEUED_BYTES, Level, Mode, Policy, Sub
from nodeset.core.duplicates import MAX_ID_LENGTH
from nodeset.core.lifetime import MOST
from nodeset.core.message import NodeMessage, show
from nodeset.errors import BadMessage, InvalidAddressing, LocalError

__all__ = [
    "LEVELS",
    "MODES",
    "OPTIONS",
    "checkClass",
    "checkDedup",
    "checkLevel",
    "checkMode",
    "checkRetain",
    "checkTimeout",
    "checkTtl",
    "makeSub",
    "publishable",
    "subscribable",
]

LEVELS: Final = {"accepted": Level.ACCEPTED, "delivered": Level.DELIVERED, "handled": Level.HANDLED}
MODES: Final = {"all": Mode.ALL, "one": Mode.ONE}
_POLICIES: Final = {"block": Policy.BLOCK, "drop_oldest": Policy.DROP_OLDEST, "drop_newest": Policy.DROP_NEWEST}
#: Arguments of `publish`.
OPTIONS: Final = frozenset({"event_uri", "msgClass", "level", "timeout", "wait", "retain", "ttl", "dedup"})


def publishable(event_uri: str) -> str:
    """The address itself. Raises `InvalidAddressing` for what is none, or a pattern."""
    return _checked(event_uri) if isinstance(event_uri, str) else EventURI(event_uri).raw


@lru_cache(maxsize=4096)
def _checked(event_uri: str) -> str:
    if isPattern(parse(event_uri).eventName):
        raise InvalidAddressing(f"{event_uri!r} is a pattern: one subscribes to it, one publishes to a name")
    return event_uri


def subscribable(name: str, node: str, host: str) -> str:
    """What the node so named subscribes to: a name or pattern, with the other node's name before it if it is for that one.

    Raises `InvalidAddressing` for what is none, or of another host.
    """
    uri = parse(name) if isinstance(name, str) else EventURI(name)
    if uri.hostName not in (LOCALHOST, host):
        raise InvalidAddressing(f"{name!r} is an address at another host than {host}")
    return uri.eventName if uri.nodeName in (ANY_NODE, node) else str(uri)


def checkClass(msg_class: object) -> None:
    """Raises `BadMessage` for what is no message class, nor None."""
    if msg_class is not None and not (isinstance(msg_class, type) and issubclass(msg_class, NodeMessage)):
        raise BadMessage(f"{msg_class!r:.60} is no message class: give a subclass of NodeMessage, or None")


def checkLevel(level: str) -> Level:
    """The level by its name. Raises `LocalError`."""
    if not isinstance(level, str) or level not in LEVELS:
        raise LocalError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
    return LEVELS[level]


def checkMode(mode: str) -> str:
    """The mode itself. Raises `LocalError`."""
    if not isinstance(mode, str) or mode not in MODES:
        raise LocalError(f"mode must be one of {', '.join(MODES)}, not {mode!r:.60}")
    return mode


def checkTimeout(timeout: float | EllipsisType | None, usual: float) -> float | None:
    """The time-out in seconds, the `usual` one for `...`, None for never. Raises `LocalError`."""
    if timeout is ...:
        return usual
    if timeout is not None and not (isinstance(timeout, (int, float)) and 0 < timeout <= MOST / 1000):
        raise LocalError(f"timeout must be a positive number of seconds, {MOST // 1000} at most, or None, not {show(timeout)}")
    return timeout


def checkTtl(ttl: float | None) -> float | None:
    """The time to live in seconds, None for ever. Raises `LocalError`."""
    if ttl is not None and not (isinstance(ttl, (int, float)) and ttl is not True and 0 < ttl <= MOST / 1000):
        raise LocalError(f"ttl must be a positive number of seconds, {MOST // 1000} at most, or None, not {ttl!r:.60}")
    return ttl


def checkDedup(dedup: str | None) -> str | None:
    """The id itself. Raises `LocalError` for what is none."""
    if dedup is not None and not (isinstance(dedup, str) and 0 < len(dedup) <= MAX_ID_LENGTH):
        raise LocalError(f"dedup must be a text of 1 to {MAX_ID_LENGTH} characters, or None, not {dedup!r:.60}")
    return dedup


def checkRetain(retain: bool, mode: str) -> bool:
    """Whether to keep the last value. Raises `LocalError`."""
    if not isinstance(retain, bool):
        raise LocalError(f"retain must be True or False, not {retain!r:.60}; forget() ends it")
    if retain and mode != "all":
        raise LocalError(f"retain=True is for events in mode 'all', not {mode!r}: what one has handled is no news to others")
    return retain


def makeSub(pattern: str, policy: str, max_events: int, max_bytes: int) -> Sub:
    """The subscription to `pattern` with these limits. Raises `LocalError`."""
    if not isinstance(policy, str) or policy not in _POLICIES:
        raise LocalError(f"policy must be one of {', '.join(_POLICIES)}, not {policy!r}")
    for name, value, most in (("max_events", max_events, MAX_QUEUED), ("max_bytes", max_bytes, MAX_QUEUED_BYTES)):
        if not (isinstance(value, int) and 1 <= value <= most):
            raise LocalError(f"{name} must be a number from 1 to {most}, not {value!r}")
    return Sub(pattern, True, _POLICIES[policy], max_events, max_bytes)
