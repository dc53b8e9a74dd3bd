"""A bridge without credentials: who can reach it acts as the bridge itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nodeset.web.inquiry import Reply
from nodeset.web.problem import Problem
from nodeset.web.routes import Route

if TYPE_CHECKING:
    from nodeset.web.agent import Agent
    from nodeset.web.site import BridgeRequest

__all__ = ["Access", "Anyone"]


class Access(Protocol):
    """Who is let in."""

    def admit(self, request: BridgeRequest, route: Route) -> None:
        """Look at the head alone. Raises `Problem` for what is not let in, whoever asks."""

    async def identify(self, request: BridgeRequest, body: bytes) -> Agent:
        """On whose behalf it acts. Raises `Problem` for who has no right to, or does not say who he is."""

    def preflight(self, request: BridgeRequest, methods: list[str]) -> Reply:
        """The answer to OPTIONS at an address where `methods` are served."""

    def headers(self, request: BridgeRequest) -> list[tuple[bytes, bytes]]:
        """What every answer to this request says beside."""

    def issue(self, agent: Agent, path: str | None) -> tuple[str, float]:
        """A ticket by which `agent` may open one stream, at `path` alone if that is given; with the Unix time at which it ends.
        Raises `Problem`.
        """


class Anyone:
    """Lets everybody in, as the bridge itself."""

    def __init__(self, own: Agent) -> None:
        self._own = own

    def admit(self, request: BridgeRequest, route: Route) -> None:
        """See `Access`."""

    async def identify(self, request: BridgeRequest, body: bytes) -> Agent:
        """See `Access`."""
        return self._own

    def preflight(self, request: BridgeRequest, methods: list[str]) -> Reply:
        """See `Access`."""
        return Reply(204, headers=((b"Allow", ", ".join(methods).encode()),))

    def headers(self, request: BridgeRequest) -> list[tuple[bytes, bytes]]:
        """See `Access`."""
        return []

    def issue(self, agent: Agent, path: str | None) -> tuple[str, float]:
        """See `Access`."""
        raise Problem(404, "this bridge asks nobody who he is: go without a ticket")
