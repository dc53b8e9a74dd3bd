"""The dispatcher's own methods: what a node gets by calling the empty name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodeset.core.session import Session

__all__ = ["Desk", "OwnMethod"]

#: Called with the session of who asks, then with the arguments; returns a value that JSON has, raises a `NodeSetError` to
#: refuse.
OwnMethod = Callable[..., Any]


class Desk:
    """Methods by name. They are called like those of a node, answer at once, and wait for nobody."""

    def __init__(self) -> None:
        self._methods: dict[str, OwnMethod] = {}

    def offer(self, name: str, method: OwnMethod) -> None:
        """Answer calls of `name` by `method` from now on."""
        self._methods[name] = method

    def __contains__(self, name: str) -> bool:
        return name in self._methods

    def ask(self, session: Session, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call the method of this name for `session`. Raises KeyError when there is none, and what the method raises."""
        return self._methods[name](session, *args, **kwargs)
