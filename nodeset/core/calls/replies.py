"""What comes back from a call."""

from __future__ import annotations

from typing import Any, NamedTuple

from nodeset.core.calls.callframes import Answer, Ending
from nodeset.core.calls.parcel import unpackError
from nodeset.errors import (
    BadArguments,
    Busy,
    NodeSetError,
    OutcomeUnknown,
    ProtocolError,
    Refused,
    RemoteError,
    TimedOut,
    UnknownMethod,
    UnknownNode,
)

__all__ = ["Reply", "errorOf"]


class Reply(NamedTuple):
    """What one node answered to a call of all nodes of a name: `value`, unless `error` says why there is none.

    `node` with `host` is its label, which others may bear; `stream` tells them apart.
    """

    node: str
    host: str
    stream: str
    value: Any = None
    error: NodeSetError | None = None


def errorOf(answer: Answer, what: str) -> NodeSetError:
    """The error that an answer without a value means; `what` was called."""
    if answer.ending is Ending.ERROR:
        return unpackError(answer.payload)
    reason = answer.payload[:4000].decode("utf-8", "replace")
    match answer.ending:
        case Ending.NO_NODE:
            return UnknownNode(f"{what}: {reason}")
        case Ending.NO_METHOD:
            return UnknownMethod(f"{what}: {reason}")
        case Ending.BAD_ARGUMENTS:
            return BadArguments(reason)
        case Ending.REFUSED:
            return Refused(f"{what} is refused: {reason}")
        case Ending.BUSY:
            return Busy(f"{what}: {reason}")
        case Ending.TIMED_OUT:
            return TimedOut(f"{what}: {reason}")
        case Ending.LOST | Ending.UNKNOWN:
            return OutcomeUnknown(f"{what} may or may not have run: {reason}")
        case Ending.CANCELLED:
            return RemoteError(f"{what} was cancelled by the node that ran it", "CancelledError")
        case _:
            return ProtocolError(f"{what}: the answer {answer.ending.name} makes no sense here")
