"""The node at hand in a shell.

::

    node = ShellNode(name="shell")
    node.register("restock", restock)     # a name more at the prompt
    await node.switch("@/srv/other.furl") # to another dispatcher
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall

from nodeset.core.link import Transport
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.errors import LocalError, NotRunning, NotThere

__all__ = ["Names", "ShellNode"]

#: Seconds in which the dispatcher that is switched to must let us in.
_PATIENCE: Final = 10.0


class Names(Protocol):
    """A shell, as the node needs it: what can be given names more."""

    def put(self, name: str, value: object) -> None:
        """Make it known under this name, in the sessions that are open as well."""

    def drop(self, name: str) -> None:
        """Undo `put`; what is not there is fine."""


class ShellNode(Node):
    """A node for a prompt: its shell knows it as `node`, with whatever is registered here.

    The arguments are those of `Node`.

    :param transports: makes the transport to the dispatcher at an address, for `switch`. Default: a Tub.
    :ivar namespace: what the shell knows by name.
    :ivar heard: called with each event that comes, its text and its message; `node.heard = print` shows them.
    """

    def __init__(self, *args: Any, transports: Callable[[str], Transport] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._transports = transports
        self._shell: Names | None = None
        self._switching: Deferred[Any] | None = None
        self._linking: Deferred[Any] | None = None
        self._unwanted = False
        self.namespace: dict[str, Any] = {"node": self}
        self.heard: Callable[[str, NodeMessage], object] = lambda event, msg: None

    def onEvent(self, event: str, msg: NodeMessage) -> object:
        """See `Node`: what `heard` makes of it."""
        return self.heard(event, msg)

    @property
    def linked(self) -> bool:
        """Whether a dispatcher is there."""
        return self._peer is not None and self._peer.linked and not self._stops

    def whither(self) -> str:
        """Which dispatcher it is linked to, or looks for; no secret is in it."""
        return self._transport.describe() if self._transport is not None else self.dispatcher_url or "the default"

    def setShell(self, shell: Names) -> None:
        """Put what is registered, now or later, into this shell."""
        self._shell = shell
        for name, value in self.namespace.items():
            shell.put(name, value)

    def register(self, name: str, callable: Any) -> None:
        """Make `callable`, or any object, known in the shell under this name; a name that is taken is taken over.

        Raises `LocalError` for what cannot be a name in Python, or for `node`.
        """
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name == "node":
            raise LocalError(f"{name!r:.80} cannot be registered: give a name as Python has them, other than 'node'")
        self.namespace[name] = callable
        if self._shell is not None:
            self._shell.put(name, callable)

    def unregister(self, name: str) -> bool:
        """Undo `register`; whether there was anything to undo."""
        if name == "node" or name not in self.namespace:
            return False
        del self.namespace[name]
        if self._shell is not None:
            self._shell.drop(name)
        return True

    def switch(self, URL: str) -> Deferred[ShellNode]:
        """Leave this dispatcher, link to the one at `URL`: a FURL, a file that holds one, `pbu://host:port/ref`, `ipc://PATH`.

        Fires with the node when it is linked there; subscriptions go along. Fails with `BadFurl` or `BadSettings` for what is
        no address, `NotThere` when no dispatcher answers in 10 s, `Refused` or `WrongIdentity` when it does not let us in: the
        node is then on its way back to the old one. Fails with `NotRunning` on a node that does not run, `LocalError` while
        another switch is under way. Who cancels it waits no longer; the node goes back to the old one, by itself.
        """
        told: Deferred[ShellNode] = Deferred(lambda cancelled: self._giveUp())
        Deferred.fromCoroutine(self._switch(URL)).addBoth(lambda result: None if told.called else told.callback(result))
        return told

    def _giveUp(self) -> None:
        """Nobody waits for the switch: it is undone once it can be, since a node that is half stopped is of no use."""
        self._unwanted = True
        if self._linking is not None:
            self._linking.cancel()

    async def _switch(self, url: str) -> ShellNode:
        if not self.running:
            raise NotRunning(f"the node {self.name} does not run: start it before it switches to another dispatcher")
        if self._switching is not None:
            raise LocalError(f"the node {self.name} is switching already: wait for that")
        if self._shared:
            raise LocalError(f"the node {self.name} is member of a collection: switch the nodes one by one, outside of it")
        old = self.dispatcher_url, self._transport
        if self._transports is None:
            self._findDispatcher(url)
            new = None
        else:
            new = self._transports(url)
        self._switching, self._unwanted = Deferred(), False
        try:
            await self._moveTo(url, new)
            try:
                await self._linkedInTime()
            except Exception:
                if self._switching.called:
                    raise NotRunning(f"the node {self.name} was stopped while it switched") from None
                await self._moveTo(*old)
                raise
        finally:
            self._switching = None
        return self

    async def _moveTo(self, url: str | None, transport: Transport | None) -> None:
        await super().stopService()
        if self._switching is not None and self._switching.called:
            raise NotRunning(f"the node {self.name} was stopped while it switched")
        self.dispatcher_url, self._transport = url, transport
        super().startService()

    async def _linkedInTime(self) -> None:
        if self._unwanted:
            raise CancelledError
        linked = self._linking = self.start()
        alarm: IDelayedCall = self._findClock().callLater(_PATIENCE, linked.cancel)
        try:
            await linked
        except Exception:
            if alarm.active():
                raise
            where, said = self.whither(), "start it, then switch again; the node is on its way back"
            raise NotThere(f"no dispatcher answers at {where} in {_PATIENCE:g} s: {said}") from None
        finally:
            self._linking = None
            if alarm.active():
                alarm.cancel()

    def stopService(self) -> Deferred[None]:
        """See `Node`; a switch under way fails."""
        if self._switching is not None and not self._switching.called:
            self._switching.callback(None)
        return super().stopService()
