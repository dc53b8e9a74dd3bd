"""The dispatcher's own methods: what a node gets by calling the empty name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from nodeset.core.calls.callframes import Answer, Call, Ending
from nodeset.core.calls.parcel import packError, packValue, unpackArguments
from nodeset.core.limits import MAX_REASON
from nodeset.core.session import Session
from nodeset.errors import BadArguments, NodeSetError, Refused

__all__ = ["Desk", "OwnMethod"]

#: Called with the session of who asks, then with the arguments; returns a value that JSON has, raises a `NodeSetError` to
#: refuse.
OwnMethod = Callable[..., Any]


class Desk:
    """Methods by name. They are called like those of a node, answer at once, and wait for nobody."""

    log = Logger()

    def __init__(self) -> None:
        self._methods: dict[str, OwnMethod] = {}

    def offer(self, name: str, method: OwnMethod) -> None:
        """Answer calls of `name` by `method` from now on."""
        self._methods[name] = method

    def __contains__(self, name: str) -> bool:
        return name in self._methods

    def answer(self, session: Session, call: Call) -> Answer:
        """The answer to `call`, whatever comes of it."""
        if call.method not in self:
            reason = f"the dispatcher has no method {call.method[:100]!r}"
            return Answer("", call.id, Ending.NO_METHOD, reason.encode("utf-8", "replace"))
        try:
            args, kwargs = unpackArguments(call.payload)
            payload = packValue(self.ask(session, call.method, args, kwargs), f"the answer of {call.method}")
        except Refused as error:
            return Answer("", call.id, Ending.REFUSED, str(error)[:MAX_REASON].encode("utf-8", "replace"))
        except (TypeError, BadArguments) as error:
            reason = f"{call.method}: {error}"
            return Answer("", call.id, Ending.BAD_ARGUMENTS, reason[:MAX_REASON].encode("utf-8", "replace"))
        except NodeSetError as error:
            return Answer("", call.id, Ending.ERROR, packError(type(error).__name__, str(error)))
        except Exception as error:  # a fault of ours costs nobody his link
            self.log.failure("the dispatcher's own {method} failed", method=call.method)
            return Answer("", call.id, Ending.ERROR, packError(type(error).__name__, "the dispatcher failed: see its log"))
        return Answer("", call.id, Ending.VALUE, payload)

    def ask(self, session: Session, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call the method of this name for `session`. Raises KeyError when there is none, and what the method raises."""
        return self._methods[name](session, *args, **kwargs)
