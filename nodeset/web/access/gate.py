"""Who is let in at the door of a bridge.

admit      the head of a request: Host, Origin, how often     421, 403, 429
identify   the whole of it: whose credentials it shows        401, 403, 409, 429, 503  ->  Agent

Credentials are one of: a signature (`signature`), a grant (`bearer`), a ticket (`tickets`); or none, where that is allowed.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import parse_qs

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from nodeset.errors import GrantRefused, NodeSetError
from nodeset.web.access.agents import Agents, Doorway
from nodeset.web.access.bearer import labelOf, nameIn, readBearer, rightsIn, whyNot
from nodeset.web.access.hosts import Hosts
from nodeset.web.access.origins import Origins
from nodeset.web.access.rates import Rates
from nodeset.web.access.signature import HEADERS, BadTarget, canonicalPath
from nodeset.web.access.signers import OVER, WITHDRAWN, Signers
from nodeset.web.access.tickets import LIFETIME, NoRoom, Tickets
from nodeset.web.agent import Agent
from nodeset.web.inquiry import Reply
from nodeset.web.legacy.signing import isOld
from nodeset.web.problem import Problem

if TYPE_CHECKING:
    from nodeset.web.access.keyring import WebKey
    from nodeset.web.bridge import Bridge
    from nodeset.web.routes import Route
    from nodeset.web.site import BridgeRequest

__all__ = ["CHALLENGE", "Gate", "Policy"]

#: What a client is told that shows no credentials, or wrong ones.
CHALLENGE: Final = b'Bearer realm="nodeset"'
_INVALID: Final = CHALLENGE + b', error="invalid_token"'
#: Seconds between two looks for what has ended.
_LOOK: Final = 5.0
_NO_STREAM: Final = "a ticket opens a stream, by GET: send other requests with a grant"
_STREAMS: Final = ("text/event-stream", "application/x-ndjson")
#: Addresses that are streams whatever is accepted.
_ALWAYS_STREAMS: Final = frozenset({b"/subscribe"})


@attrs.frozen
class Policy:
    """Who may use a bridge.

    :ivar origins: whose pages may, beside its own.
    :ivar hosts: by which names it may be called.
    :ivar signers: whose signatures count; None takes none.
    :ivar anonymous: whether it may be used without credentials, as the bridge itself.
    """

    origins: Origins
    hosts: Hosts
    signers: Signers | None = None
    anonymous: bool = True


class Gate(MultiService):
    """See `nodeset.web.anyone.Access`. It starts and stops with its bridge.

    :param doorway: how holders of grants reach the dispatcher; without one none is taken.
    """

    log = Logger()

    def __init__(self, bridge: Bridge, policy: Policy, doorway: Doorway | None = None) -> None:
        MultiService.__init__(self)
        self.setName("nodeset-web-gate")
        self.policy = policy
        self._bridge, self._clock = bridge, bridge.clock
        self._doorway = doorway
        self._agents: Agents | None = None
        if doorway is not None:
            self._agents = Agents(doorway, bridge.clock, lambda: bridge.limits.max_agents)
            self._agents.setServiceParent(self)
        if policy.signers is not None:
            policy.signers.setServiceParent(self)
        self._tickets: Tickets[Agent] = Tickets()
        self._streams, self._failures = Rates(bridge.limits.stream_rate), Rates(bridge.limits.stream_rate)
        self._looking = LoopingCall(self._look)
        self._looking.clock = bridge.clock

    @property
    def agents(self) -> int:
        """How many grants are linked, each by a node of its own."""
        return 0 if self._agents is None else len(self._agents)

    # -- the head

    def admit(self, request: BridgeRequest, route: Route) -> None:
        """See `Access`."""
        self._checkHost(request)
        upgrades = "websocket" in (request.getHeader("upgrade") or "").lower()
        if upgrades or (route.changes and not _hasCredentials(request)):
            self._checkOrigin(request, upgrades)
        if route.changes and _ticketOf(request) is not None:
            self._refuse("ticket", Problem(403, _NO_STREAM))
        if upgrades or _isStream(request):
            self._streams.rate = self._bridge.limits.stream_rate
            wait = self._streams.take(request.address, self._clock.seconds())
            if wait:
                self._refuse("stream_rate", _tooMany(wait, f"more than {self._streams.rate:g} new streams a second"))

    def _checkHost(self, request: BridgeRequest) -> None:
        hosts = request.requestHeaders.getRawHeaders(b"host") or []
        host = request.getHeader("host")
        if len(hosts) > 1 or not self.policy.hosts.mayBe(host):
            shown = ascii(str(host)[:80])
            self._refuse("host", Problem(421, f"this bridge is not called {shown}: --allowed-hosts is the list of its names"))

    def _checkOrigin(self, request: BridgeRequest, upgrades: bool) -> None:
        origin, site = request.getHeader("origin"), request.getHeader("sec-fetch-site")
        host = request.getHeader("host")
        if upgrades:
            # Credentials or not: browsers let every page open a WebSocket, and say only here whose it is.
            allowed = origin is None or self.policy.origins.isListed(origin) or self.policy.origins.isOurs(origin, host)
        else:
            allowed = self.policy.origins.mayAct(origin, site, host)
        if not allowed or len(request.requestHeaders.getRawHeaders(b"origin") or ()) > 1:
            shown = ascii((origin or "another site")[:80])
            self._refuse(
                "origin", Problem(403, f"a page of {shown} may not do this: --allowed-origins is the list of those that may")
            )

    def preflight(self, request: BridgeRequest, methods: list[str]) -> Reply:
        """See `Access`."""
        self._checkHost(request)
        told = self.policy.origins.preflight(request.getHeader("origin"), methods)
        # What every answer has, `headers` adds.
        common = {name for name, _value in self.policy.origins.headers(request.getHeader("origin"))}
        more = [(name.encode(), value.encode()) for name, value in told if name not in common]
        return Reply(204, headers=((b"Allow", ", ".join(methods).encode()), *more))

    def headers(self, request: BridgeRequest) -> list[tuple[bytes, bytes]]:
        """See `Access`."""
        told = self.policy.origins.headers(request.getHeader("origin"))
        return [(name.encode(), value.encode("latin-1", "replace")) for name, value in told]

    # -- the whole

    async def identify(self, request: BridgeRequest, body: bytes) -> Agent:
        """See `Access`."""
        ticket = _ticketOf(request)
        if isOld(request) and ticket is None and request.getHeader("authorization") is None:
            return await self._byOldSignature(request)
        signed = _isSigned(request)
        bearer = request.getHeader("authorization")
        if sum((ticket is not None, signed, bearer is not None)) > 1:
            self._fail(request, "credentials", Problem(400, "show one of: a signature, Authorization, a ticket"))
        if ticket is not None:
            return self._byTicket(request, ticket)
        if signed:
            return await self._bySignature(request, body)
        if bearer is not None:
            return await self._byGrant(request, bearer)
        if self.policy.signers is None and self.policy.anonymous:
            return self._bridge.own
        detail = "say who you are: sign the request, or send Authorization: Bearer with a grant (docs/web-access.md)"
        return self._refuse("credentials", Problem(401, detail, headers=[(b"WWW-Authenticate", CHALLENGE)]))

    async def _bySignature(self, request: BridgeRequest, body: bytes) -> Agent:
        signers = self.policy.signers
        if signers is None:
            self._fail(request, "signature", Problem(403, "this bridge takes no signatures: it has no --keys"))
        try:
            key = signers.check(request, body, self._bridge.wall())
        except Problem as problem:
            self._fail(request, f"signature_{problem.status}", problem)
        return await self._byKey(request, signers, key)

    async def _byOldSignature(self, request: BridgeRequest) -> Agent:
        signers = self.policy.signers
        if signers is None:
            if self.policy.anonymous:
                return self._bridge.own  # the original, too, looked at no signature without a verifier
            self._fail(request, "signature", Problem(403, "this bridge takes no signatures: it has no --keys"))
        try:
            key = signers.checkOld(request, self._bridge.wall())
        except Problem as problem:
            if problem.status == 401:
                problem.headers.append((b"WWW-Authenticate", CHALLENGE))
            self._fail(request, f"signature_{problem.status}", problem)
        return await self._byKey(request, signers, key)

    async def _byKey(self, request: BridgeRequest, signers: Signers, key: WebKey) -> Agent:
        if key.grant is None:
            return signers.agentOf(key, self._bridge.own)
        name = self._nameIn(request, key.grant)
        return await self._linked(request, name, f"key {key.name}", f"key {key.name}")

    async def _byGrant(self, request: BridgeRequest, header: str) -> Agent:
        try:
            text = readBearer(header) or ""
        except GrantRefused as error:
            self._fail(request, "grant", _unauthorized(str(error)))
        name = self._nameIn(request, text)
        return await self._linked(request, name, "", "")

    def _nameIn(self, request: BridgeRequest, text: str) -> str:
        if self._doorway is None:
            self._fail(request, "grant", _unauthorized("this bridge takes no grants"))
        try:
            return nameIn(text, self._doorway.furl())
        except GrantRefused as error:
            self._fail(request, "grant", _unauthorized(str(error)))
        except NodeSetError:
            raise Problem(503, "the bridge has not found its dispatcher yet", retry_after=1) from None

    async def _linked(self, request: BridgeRequest, name: str, label: str, owner: str) -> Agent:
        assert self._agents is not None and self._doorway is not None, "there is a name"
        agent = self._agents.known(name, owner)
        expires = None if agent is None else agent.rights.expires
        # Without a dispatcher nobody cuts him, who could go on reading what is kept here.
        if agent is not None and (expires is None or self._bridge.wall() < expires):
            return agent
        self._count(request)
        why = self._agents.refusal(name, owner) or whyNot(name, self._doorway.furl(), self._bridge.wall())
        if why:
            self._refuse("grant", _unauthorized(f"this grant cannot be used: {why}"))
        try:
            agent = await self._agents.get(name, label or labelOf(name), owner)
        except GrantRefused as error:
            self._refuse("grant", _unauthorized(f"this grant cannot be used: {error}"))
        except Problem as problem:
            if problem.status == 401:
                problem.headers.append((b"WWW-Authenticate", _INVALID))
            else:
                self._failures.giveBack(request.address, self._clock.seconds())
            self._bridge.counters[f"refused:grant_{problem.status}"] += 1
            raise
        self._failures.giveBack(request.address, self._clock.seconds())
        return agent

    def _byTicket(self, request: BridgeRequest, ticket: str) -> Agent:
        if request.method != b"GET":
            self._fail(request, "ticket", Problem(403, _NO_STREAM))
        agent = self._tickets.redeem(ticket, _pathOf(request), self._clock.seconds())
        if agent is None or agent.ended:
            detail = f"this ticket is none, was used, is for another path, or is older than {LIFETIME:g} s: get another one"
            self._fail(request, "ticket", _unauthorized(detail))
        return agent

    # -- for endpoints

    def issue(self, agent: Agent, path: str | None) -> tuple[str, float]:
        """A ticket for `agent`, with the Unix time at which it ends. Raises `Problem`.

        :param path: the one for which it is good, as a request line has it without its query; None for any.
        """
        if path is not None:
            try:
                path = canonicalPath(path)
            except BadTarget as error:
                raise Problem(400, f"path: {error}") from None
        try:
            ticket = self._tickets.issue(agent, path, self._clock.seconds())
        except NoRoom as error:
            self._refuse("tickets", Problem(429, str(error), retry_after=1))
        return ticket, self._bridge.wall() + LIFETIME

    def reload(self) -> None:
        """Read the keys again; what lives by those that are gone, or are others now, ends."""
        if self.policy.signers is not None:
            self._drop(self.policy.signers.reload(), WITHDRAWN)

    def _drop(self, keys: list[str], reason: str) -> None:
        if self._agents is not None:
            for name in keys:
                self._agents.drop(f"key {name}", reason)

    # -- life

    def startService(self) -> None:
        """Begin to look for what has ended."""
        MultiService.startService(self)
        self._bridge.node.watchLink(self._linkChanged)
        self._linkChanged(self._bridge.node.is_linked, "")
        self._looking.start(_LOOK, now=False).addErrback(lambda failure: self.log.failure("agents stay", failure))

    def stopService(self) -> Deferred[object]:
        """Let all agents leave."""
        self._bridge.node.unwatchLink(self._linkChanged)
        if self._looking.running:
            self._looking.stop()
        stopped: Deferred[object] = MultiService.stopService(self)
        return stopped

    def _linkChanged(self, is_linked: bool, reason: str) -> None:
        """Know what the bridge itself may do, which its FURL says, that may be another one with each link."""
        if is_linked and self._doorway is not None:
            try:
                self._bridge.own.rights = rightsIn(self._doorway.furl().rpartition("/")[2])
            except NodeSetError as error:
                self.log.warn("nobody can tell what the bridge may do: {reason}", reason=str(error))

    def _look(self) -> None:
        if self.policy.signers is not None:
            self._drop(self.policy.signers.expire(self._bridge.wall()), OVER)
        if self._agents is not None:
            self._agents.look()

    # -- what goes wrong

    def _refuse(self, reason: str, problem: Problem) -> NoReturn:
        self._bridge.counters[f"refused:{reason}"] += 1
        raise problem

    def _fail(self, request: BridgeRequest, reason: str, problem: Problem) -> NoReturn:
        """Wrong credentials."""
        self._count(request)
        self._refuse(reason, problem)

    def _count(self, request: BridgeRequest) -> None:
        """Who goes on showing wrong credentials is told to wait."""
        self._failures.rate = self._bridge.limits.stream_rate
        wait = self._failures.take(request.address, self._clock.seconds())
        if wait:
            self._refuse("credentials_rate", _tooMany(wait, "too many wrong credentials came from this address"))


def _hasCredentials(request: BridgeRequest) -> bool:
    """Whether it shows any: no page can make a browser send these to another site that has not allowed it."""
    return request.getHeader("authorization") is not None or _isSigned(request)


def _isSigned(request: BridgeRequest) -> bool:
    get = request.getHeader
    return any(get(name) is not None for name in HEADERS)


def _ticketOf(request: BridgeRequest) -> str | None:
    query = request.uri.partition(b"?")[2]
    if b"ticket=" not in query:
        return None
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("ticket")
    return None if found is None else found[0]


def _pathOf(request: BridgeRequest) -> str:
    try:
        return canonicalPath(request.path.decode("latin-1"))
    except BadTarget as error:
        raise Problem(400, str(error)) from None


def _isStream(request: BridgeRequest) -> bool:
    if request.path in _ALWAYS_STREAMS:
        return True
    accept = (request.getHeader("accept") or "").lower()
    return request.method == b"GET" and any(kind in accept for kind in _STREAMS)


def _tooMany(wait: float, what: str) -> Problem:
    return Problem(429, f"{what}: come back in {wait:.1f} s", retry_after=ceil(wait))


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers=[(b"WWW-Authenticate", _INVALID)])
