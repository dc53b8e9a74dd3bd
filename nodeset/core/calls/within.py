"""The call that is being answered just now, for what is called in turn."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec

from nodeset.core.calls.callframes import Call

__all__ = ["Within", "within"]


class Within(msgspec.Struct):
    """A call that is answered; `deadline` is when its caller gives up, in seconds of the node's clock, None for never.

    Once it is `over` the deadline binds nobody: what the method began and left running has its own life.
    """

    call: Call
    deadline: float | None
    over: bool = False


#: What runs inside an exposed method finds its call here, a coroutine to its end.
within: ContextVar[Within | None] = ContextVar("nodeset_call", default=None)
