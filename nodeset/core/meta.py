"""How a message came."""

from __future__ import annotations

from typing import Any

import msgspec

from nodeset.core.batch import NO_HEADERS, unpackHeaders
from nodeset.core.headers import retainedOf, traceparentOf

__all__ = ["Meta"]


class Meta(msgspec.Struct, frozen=True, gc=False):
    """Under which address a message was published, from where in its publisher's stream, with which headers.

    `by` is the stamp of the dispatcher, which says who published it: the publisher cannot. A msgspec struct, since one is
    made for every event.
    """

    event: str
    stream: str = ""
    sequence: int = 0
    again: bool = False
    packed_headers: msgspec.Raw = NO_HEADERS
    by: str = ""

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, unpacked on each look. Raises `ProtocolError` when they are none."""
        return {} if self.packed_headers is NO_HEADERS else unpackHeaders(self.packed_headers)

    @property
    def retained(self) -> bool:
        """Whether it is a last value that was kept for newcomers, handed over since we subscribed."""
        return self.packed_headers is not NO_HEADERS and retainedOf(self.headers)[1]

    @property
    def traceparent(self) -> str | None:
        """The trace that it is part of, as W3C Trace Context writes it; None for none."""
        return None if self.packed_headers is NO_HEADERS else traceparentOf(self.headers)

    @property
    def publisher(self) -> str:
        """The TubID of who published it, empty for a peer that has only Foolscap."""
        return self.by.partition("/")[0]

    @property
    def grant(self) -> str:
        """The id of the grant under which it was published, by which it can be revoked; empty where no grants are used."""
        return self.by.partition("/")[2]
