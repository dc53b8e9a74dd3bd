"""A whole site in one process, for a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from twisted.python.failure import Failure

from nodeset.core.collection import NodeCollection
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.errors import Receipt
from nodeset.testing.listener import Listener, listenerFor
from nodeset.testing.trouble import Troubles

__all__ = ["Site"]

__tracebackhide__ = True  # pytest shows the line of the test instead


def _hasStopped(node: Node) -> bool:
    return not node._stops


class _HasCleanup(Protocol):
    """A TestCase, of trial or of unittest."""

    def addCleanup(self, call: Callable[..., Any], /, *args: Any, **keywords: Any) -> Any:
        """Call it after the test."""


class Site(Troubles):
    """One dispatcher with its nodes, in this process, in one thread, in the test's own time.

    Make it with `Site.forTest(self)` in a TestCase, with `with Site() as site:` elsewhere; with pytest there is a fixture
    `site`. Each stops it after the test, then fails the test when a timer is left, or when an error was logged that nobody
    looked at. A `Site()` made otherwise is stopped by `stop`.

    :param start: whether the dispatcher runs from the beginning.
    :param options: for `EventDispatcher`.
    :ivar clock: a `twisted.internet.task.Clock`; turn it by `advance`.
    :ivar dispatcher: the `EventDispatcher` that runs now, or None.
    :ivar nodes: all that `node` has made.
    :ivar wire: the `MemoryWire`; `wire.delay` is what each batch takes, in seconds.
    :ivar member: the FURL that nodes get unless they are given another, as from the rendezvous file.
    :ivar owner: the FURL that may mint grants and revoke them, as from `owner.furl`.
    """

    def __init__(self, start: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self._me: Node | None = None
        self._owning: Node | None = None
        if start:
            self.startDispatcher()

    # -- life

    @classmethod
    def forTest(cls, testcase: _HasCleanup, **options: Any) -> Self:
        """A site for one test of a TestCase, trial's or unittest's, which ends with it; the options are those of `Site`."""
        site = cls(**options)
        site._errors.start()
        testcase.addCleanup(site._end)
        return site

    def __enter__(self) -> Self:
        self._errors.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._end()
            return
        # The test has failed already: what else is wrong comes with that.
        self.noteErrors(error)
        self._errors.stop()
        try:
            self.stop()
        except Exception as another:
            error.add_note(f"the site could not be stopped either: {another}")

    def _end(self) -> None:
        try:
            self.stop()
        finally:
            self._errors.stop()
        self.checkErrors()

    def stop(self) -> None:
        """Undo all faults, stop all nodes that were not killed, then the dispatcher.

        Raises AssertionError when timers are left on the clock afterwards: of a node, or of the test itself.
        """
        late = self.wire.delay + 2 * max(home.lag for home in [self.wire.home, *self._homes.values()])
        self.heal()
        # A collection stops its members; whoever is stopping already is waited for.
        for node in sorted(self.nodes, key=lambda node: not isinstance(node, NodeCollection)):
            if self._processes(node)[0].dead:
                continue
            if node.running:
                self.wait(node.stopService(), what=f"{node.name}.stopService()")
            self.until(partial(_hasStopped, node), what=f"{node.name} has stopped")
        if self.dispatcher is not None:
            self.wait(self.dispatcher.stopService(), what="the dispatcher's stopService()")
        self.advance(2 * late)  # what was on the way when that still took its time
        self._checkTimers()

    def flushErrors(self, *kinds: type[BaseException]) -> list[Failure]:
        """The errors that were logged, by handlers say, or those of these kinds; they fail the test no longer.

        As trial's `flushLoggedErrors`, which does the same in a TestCase of trial's.
        """
        return self._errors.flush(*kinds)

    def noteErrors(self, error: BaseException) -> None:
        """Add the errors that were logged to one that fails the test anyway, as a note."""
        self._errors.note(error)

    def checkErrors(self) -> None:
        """Raises AssertionError when an error was logged that nobody looked at, with its traceback."""
        self._errors.check()

    # -- who is there

    @property
    def me(self) -> Node:
        """A plain node named `me`, made when it is first asked for: the test's own, to publish from, to call by."""
        if self._me is None:
            self._me = self.node(Node, name="me")
        return self._me

    def publish(self, event_uri: str, msgClass: type[NodeMessage] | None = None, **fields: Any) -> Receipt:
        """Publish from `me`, wait for the receipt, return it; the arguments are those of `Node.publish`, the errors too."""
        receipt: Receipt = self.wait(self.me.publish(event_uri, msgClass, **fields), what=f"the receipt of {event_uri}")
        return receipt

    def call(self, target: str, method: str | Callable[..., Any], /, *args: Any, **keywords: Any) -> Any:
        """Call from `me`, wait for the result, return it; the arguments are those of `Node.call`, the errors too."""
        name = method if isinstance(method, str) else getattr(method, "__name__", "")
        return self.wait(self.me.call(target, method, *args, **keywords), what=f"the answer of {target}/{name}")

    def listen(
        self,
        *patterns: str,
        msgClass: type[NodeMessage] | None = None,
        name: str = "listener",
        tub: str = "",
        grant: str = "",
        **options: Any,
    ) -> Listener:
        """A node that subscribes to all of these, and keeps what it hears: `site.listen("orders.*").heard`.

        :param msgClass: what its messages are; without one they have any fields.
        :param options: for `Node.subscribe`: `policy`, `max_events`, `max_bytes`.
        :return: the `Listener`, whose subscriptions are active unless the dispatcher does not run, or cannot be reached.
        """
        listener = self.node(listenerFor(patterns, msgClass), name=name, start=False, tub=tub, grant=grant)
        active = [listener.subscribe(pattern, **options) for pattern in patterns]
        listener.startService()
        self.flush()
        if self.dispatcher is not None and not self.wire.home.still:
            for told, pattern in zip(active, patterns, strict=True):
                self.wait(told, what=f"the subscription to {pattern}")
        return listener

    def grant(self, **what: Any) -> str:
        """A FURL that may do what the arguments of `Node.grant` say, minted by an owner: `node(..., grant=furl)` shows it."""
        if self._owning is None:
            self._owning = self.node(Node, name="owner", grant=self.owner)
        furl: str = self.wait(self._owning.grant(**what), what="the grant")
        return furl

    def revoke(self, furl: str) -> None:
        """Take a FURL of `grant` back: who shows it is cut off, and refused from now on."""
        assert self._owning is not None, "this site has granted nothing: site.grant(...) makes what can be revoked"
        self.wait(self._owning.revoke(furl), what="the revocation")
