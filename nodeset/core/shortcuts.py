"""What is known of publish calls without options that were made before, so that it is not found out for every event."""

from __future__ import annotations

from functools import lru_cache
from types import EllipsisType, GenericAlias
from typing import Any

import attrs
import msgspec

from nodeset.core import codec
from nodeset.core.arguments import LEVELS, MODES, OPTIONS, checkLevel, checkTimeout, checkTtl
from nodeset.core.batch import NO_HEADERS, RAW_HEADERS
from nodeset.core.blocks import Terms
from nodeset.core.message import NodeMessage

__all__ = ["Key", "Shortcut", "Shortcuts", "findTerms"]

#: Calls that are remembered, all of them forgotten when there are more.
_REMEMBERED = 1024

#: Event, class, as they were given.
Key = tuple[str, type[NodeMessage] | None]


def findTerms(
    event: str,
    mode: str,
    level: str,
    timeout: float | EllipsisType | None,
    usual: float,
    raw: bool = False,
    ttl: float | None = None,
) -> Terms:
    """The terms of these arguments: the same ones each time, so that events share blocks.

    Raises `LocalError` for a level, a time-out or a time to live that is none; the others have been checked. `usual` is the
    time-out for `...`.
    """
    checkLevel(level)
    return _findTerms(event, mode, level, checkTimeout(timeout, usual), raw, checkTtl(ttl))


@lru_cache(maxsize=_REMEMBERED)
def _findTerms(event: str, mode: str, level: str, timeout: float | None, raw: bool, ttl: float | None) -> Terms:
    return Terms(event, MODES[mode], LEVELS[level], timeout, RAW_HEADERS if raw else NO_HEADERS, ttl)


@attrs.frozen(eq=False)
class Shortcut:
    """A call whose fields are all that is left to check: msgspec can, by `kind`, or `kinds` for a list of them.

    It holds while `mode` is still the very text that `msg_class` has.
    """

    terms: Terms
    msg_class: type[NodeMessage]
    mode: str
    kind: type[msgspec.Struct]
    kinds: Any


class Shortcuts(dict[Key, Shortcut]):
    """The shortcut for each such call."""

    def learn(self, key: Key, terms: Terms, mode: str) -> None:
        """A call with these arguments, no others but fields, went well.

        It is not learnt of a class with a field that bears the name of an argument: whose it is is not for msgspec to tell.
        """
        msg_class = key[1]
        kind = None if msg_class is None else codec.express(msg_class)
        if msg_class is not None and kind is not None and OPTIONS.isdisjoint(kind.__struct_fields__):
            if len(self) >= _REMEMBERED:
                self.clear()
            self[key] = Shortcut(terms, msg_class, mode, kind, GenericAlias(list, (kind,)))
