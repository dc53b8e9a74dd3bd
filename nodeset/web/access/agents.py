"""The nodes by which holders of grants act, one for each.

    get --> linking --linked--> here --idle for 60 s--> gone
               |                 |
               +--refused--> refused (remembered) <--+ revoked, expired

The dispatcher looks at each grant itself, as at any node's: it verifies it, keeps to its rate, cuts it off when it ends. Each
has a connection of its own, since that is what a dispatcher cuts.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.errors import BadFurl, NotRunning, Refused, WrongIdentity
from nodeset.web.access.bearer import rightsIn, rootOf
from nodeset.web.agent import Agent
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.problem import Problem

__all__ = ["IDLE", "PATIENCE", "REMEMBERED", "Agents", "Doorway"]

#: Seconds after which an agent leaves that nobody has used, by whom nothing lives.
IDLE: Final = 60.0
#: Seconds that a first link may take.
PATIENCE: Final = 5.0
#: Seconds for which a refusal is remembered, how many are.
REMEMBERED: Final = 30.0
_REFUSALS: Final = 10_000
#: Agents that leave before their remains are looked for: a node dies in circles, which nodeset-web lets Python seek seldom.
_REMAINS: Final = 100
#: Seconds since its last use after which an agent may make room for another one: no request takes longer.
_SPARE: Final = 30.0


@attrs.frozen
class Doorway:
    """How the bridge reaches its dispatcher.

    :ivar furl: returns the bridge's own FURL. Raises a `NodeSetError` for none.
    :ivar nodeFor: makes a node, not started, that shows the grant of this name at the same place.
    """

    furl: Callable[[], str]
    nodeFor: Callable[[str], BridgeNode]


@attrs.define(eq=False)
class _Tenant:
    """One agent from its first use on."""

    key: bytes
    root: str
    agent: Agent
    used: float
    linked: bool = False
    waiting: list[Deferred[Agent]] = attrs.field(factory=list)

    def gaveUp(self, waiting: Deferred[Agent]) -> None:
        """This one waits no longer."""
        if waiting in self.waiting:
            self.waiting.remove(waiting)


class Agents(Service):
    """The agents that are here.

    :param most: returns how many there may be.
    """

    log = Logger()

    def __init__(self, doorway: Doorway, clock: IReactorTime, most: Callable[[], int]) -> None:
        self.setName("nodeset-web-agents")
        self._doorway, self._clock, self._most = doorway, clock, most
        self._tenants: OrderedDict[bytes, _Tenant] = OrderedDict()
        self._stopping: set[Deferred[None]] = set()
        self._left = 0
        self._refusals: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tenants)

    def stopService(self) -> Deferred[None]:
        """Let all of them leave; fires when they have."""
        Service.stopService(self)
        for tenant in list(self._tenants.values()):
            self._forget(tenant, "the bridge is stopping")
        return Deferred.fromCoroutine(self._rest())

    async def _rest(self) -> None:
        for stopping in list(self._stopping):
            await stopping

    def known(self, name: str, owner: str = "") -> Agent | None:
        """The agent of this grant if it is here and linked: whoever shows the grant again costs nothing."""
        tenant = self._tenants.get(_keyOf(name, owner))
        if tenant is None or not tenant.linked:
            return None
        self._use(tenant)
        return tenant.agent

    def refusal(self, name: str, owner: str = "") -> str:
        """Why the dispatcher refused this grant a moment ago, empty when it did not."""
        key = _keyOf(name, owner)
        until, reason = self._refusals.get(key, (0.0, ""))
        return reason if self._clock.seconds() < until else ""

    def get(self, name: str, label: str, owner: str = "") -> Deferred[Agent]:
        """The agent of the grant of this name, linked.

        Fails with `Problem`: 401 when the dispatcher refuses the grant, 503 when it does not answer, or when there is no room.

        :param label: what the agent is called in logs.
        :param owner: what tells agents of one grant apart, such as the key whose grant it is.
        """
        key = _keyOf(name, owner)
        waiting: Deferred[Agent] = Deferred(lambda cancelled: tenant.gaveUp(cancelled))
        tenant = self._tenants.get(key) or self._settle(key, name, label)
        self._use(tenant)
        if tenant.linked:
            waiting.callback(tenant.agent)
            return waiting
        tenant.waiting.append(waiting)
        return waiting.addTimeout(PATIENCE, self._clock, onTimeoutCancel=_late)

    def _use(self, tenant: _Tenant) -> None:
        tenant.used = self._clock.seconds()
        self._tenants.move_to_end(tenant.key)

    def _settle(self, key: bytes, name: str, label: str) -> _Tenant:
        root = rootOf(name)
        self._makeRoom(root)
        node = self._doorway.nodeFor(name)
        tenant = self._tenants[key] = _Tenant(key, root, Agent(label, node, rightsIn(name)), self._clock.seconds())

        def changed(is_linked: bool, reason: str) -> None:
            if not is_linked and tenant.key in self._tenants:
                self._await(tenant)  # it dials again; a grant that has ended is refused then

        node.watchLink(changed)
        node.startService()  # it is no child of ours: children have names of their own, nodes need not
        self._await(tenant)
        return tenant

    def _makeRoom(self, root: str) -> None:
        now = self._clock.seconds()
        if len(self._tenants) < self._most():
            return
        for tenant in self._tenants.values():
            if now - tenant.used < _SPARE:
                break
            if not tenant.agent.is_held:
                self._forget(tenant, "the bridge needed its place")
                return
        # One grant may be narrowed into as many as its holder likes: these make room for who has fewer.
        counts = Counter(tenant.root for tenant in self._tenants.values())
        largest, count = max(counts.items(), key=lambda each: each[1], default=("", 0))
        if count > counts[root] + 1:
            theirs = [tenant for tenant in self._tenants.values() if tenant.root == largest]
            self._forget(min(theirs, key=lambda tenant: tenant.agent.is_held), "the bridge needed its place for others")
            return
        raise Problem(503, f"{len(self._tenants)} grants are in use here, which is all that may be", retry_after=int(_SPARE))

    def _await(self, tenant: _Tenant) -> None:
        tenant.agent.node.start().addCallbacks(
            lambda node: self._linked(tenant), lambda failure: self._notLinked(tenant, failure)
        ).addErrback(lambda failure: self.log.failure("an agent failed", failure))

    def _linked(self, tenant: _Tenant) -> None:
        tenant.linked = True
        waiting, tenant.waiting = tenant.waiting, []
        for each in waiting:
            if not each.called:  # what one of them does may make another one give up
                each.callback(tenant.agent)

    def _notLinked(self, tenant: _Tenant, failure: Failure) -> None:
        if failure.check(Refused, WrongIdentity):
            self._refuse(tenant, str(failure.value))
        elif failure.check(BadFurl) and tenant.key in self._tenants:
            self._await(tenant)  # our own FURL's file is in disorder, which is no fault of this grant; it dials on
        elif not failure.check(NotRunning):
            self.log.error("{agent} cannot link: {reason}", agent=tenant.agent.name, reason=failure.getErrorMessage())
            self._forget(tenant, "it could not be linked")

    def _refuse(self, tenant: _Tenant, reason: str) -> None:
        self._refusals.pop(tenant.key, None)
        self._refusals[tenant.key] = self._clock.seconds() + REMEMBERED, reason
        if len(self._refusals) > _REFUSALS:
            self._refusals.popitem(last=False)
        if tenant.linked:
            self.log.info("{agent} is let in no longer: {reason}", agent=tenant.agent.name, reason=reason)
        self._forget(tenant, reason, 401)

    def _forget(self, tenant: _Tenant, reason: str, status: int = 503) -> None:
        if self._tenants.pop(tenant.key, None) is None:
            return
        waiting, tenant.waiting = tenant.waiting, []
        tenant.agent.end(reason)
        for each in waiting:
            if not each.called:
                each.errback(Problem(status, f"this grant cannot be used: {reason}", retry_after=1 if status == 503 else None))
        stopping: Deferred[None] = Deferred()
        self._stopping.add(stopping)

        def stopped(result: object) -> None:
            if isinstance(result, Failure):
                self.log.failure("an agent could not be stopped", result)
            self._stopping.discard(stopping)
            stopping.callback(None)
            self._left += 1
            if self._left % _REMAINS == 0:
                gc.collect()

        tenant.agent.node.stopService().addBoth(stopped)

    def drop(self, owner: str, reason: str) -> None:
        """The agents of this owner's leave now."""
        for tenant in [each for each in self._tenants.values() if each.key.startswith(_ownerOf(owner))]:
            self._forget(tenant, reason)

    def look(self) -> None:
        """Let those leave whom nobody has used for a while."""
        now = self._clock.seconds()
        for tenant in list(self._tenants.values()):
            if now - tenant.used < IDLE:
                break
            if tenant.agent.is_held:
                self._use(tenant)
            else:
                self._forget(tenant, "nobody used it for a while")


def _late(result: object, seconds: float) -> Agent:
    raise Problem(503, f"the dispatcher did not take this grant within {seconds:g} s: is it running?", retry_after=1)


def _ownerOf(owner: str) -> bytes:
    return hashlib.sha256(owner.encode()).digest()[:8]


def _keyOf(name: str, owner: str) -> bytes:
    """By what an agent is found: secrets are never looked up as they are, nor kept."""
    return _ownerOf(owner) + hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
