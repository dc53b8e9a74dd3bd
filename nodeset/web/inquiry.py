"""One request with what was found out about it; what it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import msgspec

from nodeset.web.problem import Problem

if TYPE_CHECKING:
    from nodeset.web.agent import Agent
    from nodeset.web.site import BridgeRequest

__all__ = ["JSON", "Inquiry", "Reply", "queryOf"]

JSON: Final = b"application/json"
_decode: Final = msgspec.json.Decoder().decode


@attrs.define(eq=False)
class Inquiry:
    """A request that was let in.

    :ivar request: twisted.web's own.
    :ivar params: what stands in the path for the names in braces of the route's template.
    :ivar body: all of it.
    :ivar agent: on whose behalf it acts.
    """

    request: BridgeRequest
    params: dict[str, str]
    body: bytes
    agent: Agent
    _query: dict[str, list[str]] | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters behind the question mark. Raises `Problem` for what is not UTF-8."""
        if self._query is None:
            self._query = queryOf(self.request)
        return self._query

    def header(self, name: str) -> str | None:
        """The header of this name, its last value if it came more than once."""
        return self.request.getHeader(name)

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers by their names in small letters, the last value of each."""
        return self.request.given

    def json(self) -> Any:
        """The body as JSON. Raises `Problem`."""
        try:
            return _decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(400, f"the body of {len(self.body)} bytes is no JSON: {error}") from None


def queryOf(request: BridgeRequest) -> dict[str, list[str]]:
    """The parameters behind the question mark. Raises `Problem` for what is not UTF-8."""
    args: dict[bytes, list[bytes]] = request.args or {}
    try:
        return {name.decode(): [value.decode() for value in values] for name, values in args.items()}
    except UnicodeDecodeError:
        raise Problem(400, "the query is not UTF-8: percent-encode it from UTF-8") from None


@attrs.frozen
class Reply:
    """An answer that is there as a whole."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Self:
        """A value as JSON, with a newline at its end."""
        return cls(status, msgspec.json.encode(value) + b"\n", JSON, headers)
