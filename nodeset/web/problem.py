"""What a client is told when its request cannot be served, as RFC 9457 has it."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from nodeset.errors import (
    BadArguments,
    Busy,
    HandlerFailed,
    LinkLost,
    LocalError,
    MessageTooLarge,
    NodeSetError,
    NotRunning,
    NotThere,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    Refused,
    RemoteError,
    TimedOut,
    Undelivered,
    UnknownMethod,
    UnknownNode,
)

__all__ = ["PROBLEM_TYPE", "Problem", "judge", "tell"]

PROBLEM_TYPE: Final = b"application/problem+json"
#: Seconds after which what failed for want of room, or of a dispatcher, is worth another try.
_SOON: Final = 1

#: The first that fits counts: subclasses stand before their bases.
_STATUS: Final[tuple[tuple[type[NodeSetError], int], ...]] = (
    (MessageTooLarge, 413),
    (Overloaded, 429),
    (Busy, 429),
    (NotRunning, 503),
    (NotThere, 503),
    (BadArguments, 422),
    (LocalError, 400),
    (Refused, 403),
    (UnknownNode, 404),
    (UnknownMethod, 404),
    (TimedOut, 504),
    (OutcomeUnknown, 504),
    (LinkLost, 503),
    (RemoteError, 502),
)


class Problem(Exception):
    """A request that is answered by an error.

    :param status: of HTTP.
    :param detail: one line: whose fault it is, which value was wrong, what to do. No secret is in it.
    :param retry_after: seconds after which another try may go well.
    :param headers: more headers, name with value.
    :param members: more members of the body.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.members = status, detail, members
        self.headers = list(headers)
        if retry_after is not None:
            self.headers.append((b"Retry-After", b"%d" % max(1, retry_after)))

    def fields(self) -> dict[str, Any]:
        """What the body has, for those who send it otherwise."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail, **self.members}

    def body(self) -> bytes:
        """The body, a JSON object."""
        return msgspec.json.encode(self.fields()) + b"\n"


def judge(error: NodeSetError) -> Problem:
    """The problem that an error of ours is to a client; what is its own fault is 4xx, what is not is 5xx."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    members: dict[str, Any] = {}
    if isinstance(error, (Undelivered, HandlerFailed)):
        members["receipt"] = tell(error.receipt)
    if isinstance(error, RemoteError) and error.type:
        members["error"] = error.type
    return Problem(status, str(error), retry_after=_SOON if status in (429, 503) else None, **members)


def tell(receipt: Receipt) -> dict[str, int]:
    """A receipt as JSON has it."""
    return {"matched": receipt.matched, "delivered": receipt.delivered, "dropped": receipt.dropped}
