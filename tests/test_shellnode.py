"""The node of a shell: names for its prompt, another dispatcher."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

import nodeset
from nodeset.core.link import Transport
from nodeset.core.message import NodeMessage
from nodeset.errors import BadFurl, LocalError, NotRunning, NotThere, Refused
from nodeset.shell.node import ShellNode
from nodeset.shell.shell import Shell
from nodeset.testing import Site


class NameTests(SynchronousTestCase):
    """What is registered is at hand."""

    def setUp(self) -> None:
        self.node = ShellNode(name="shell")
        self.shell = Shell("test", {}, Site().clock)

    def test_door(self) -> None:
        """It is offered at the front door."""
        self.assertIs(nodeset.ShellNode, ShellNode)

    def test_node(self) -> None:
        """The shell knows the node as `node`, for good."""
        self.node.setShell(self.shell)
        self.assertIs(self.shell.namespace["node"], self.node)
        self.assertRaises(LocalError, self.node.register, "node", print)
        self.assertFalse(self.node.unregister("node"))

    def test_register(self) -> None:
        """What is registered is known by its name, whether before the shell came or after, until it is unregistered."""
        self.node.register("early", len)
        self.node.setShell(self.shell)
        session = self.shell.enter("someone", lambda why: None)
        assert session is not None
        self.node.register("late", max)
        self.node.register("late", min)
        self.assertEqual((session.namespace["early"], session.namespace["late"]), (len, min))
        self.assertTrue(self.node.unregister("late"))
        self.assertFalse(self.node.unregister("late"))
        self.assertNotIn("late", session.namespace)
        self.assertNotIn("late", self.shell.namespace)

    def test_badName(self) -> None:
        """What Python could not have as a name is refused."""
        for name in ("", "a b", "for", "1st", "a.b", 7):
            error = self.assertRaises(LocalError, self.node.register, name, print)
            self.assertIn(repr(name), str(error))


class SwitchTests(SynchronousTestCase):
    """Two dispatchers in one test's time."""

    def setUp(self) -> None:
        self.here, self.there = Site(), Site(start=False)
        self.there.clock = self.there.wire.clock = self.here.clock
        self.node = self.here.node(ShellNode, name="shell", transports=self.transportTo)

    def transportTo(self, url: str) -> Transport:
        if url not in ("here", "there", "stranger"):
            raise BadFurl(f"{url!r} is no FURL")
        site = self.here if url == "here" else self.there
        return site.transport(grant="memory://site/nonsense" if url == "stranger" else "")

    def switch(self, url: str) -> Deferred[ShellNode]:
        return self.node.switch(url)

    def nodesOf(self, site: Site) -> int:
        assert site.dispatcher is not None
        return site.dispatcher.getStats()["nodes"]

    def test_switch(self) -> None:
        """It leaves the one, links to the other, subscriptions included; and back."""
        self.there.startDispatcher()
        self.here.wait(self.node.subscribe("orders.*"))
        self.assertIs(self.here.wait(self.switch("there")), self.node)
        self.assertTrue(self.node.linked)
        self.assertEqual((self.nodesOf(self.here), self.nodesOf(self.there)), (0, 1))
        self.assertEqual(self.here.wait(self.node.publish("orders.created", id=1)).delivered, 1)
        self.here.wait(self.switch("here"))
        self.assertEqual((self.nodesOf(self.here), self.nodesOf(self.there)), (1, 0))

    def test_heard(self) -> None:
        """What it subscribes to may be shown as it comes."""
        heard: list[str] = []
        self.here.wait(self.node.subscribe("orders.*"))
        self.here.wait(self.node.publish("orders.created", id=1))
        self.node.heard = lambda event, msg: heard.append(f"{event} {msg.toJson()}")
        self.here.wait(self.node.publish("orders.created", id=2))
        self.assertEqual(heard, ['orders.created {"id": 2}'])

    def test_nobodyThere(self) -> None:
        """A dispatcher that does not answer is given up; the node goes back, can be used, can switch again."""
        failing = self.switch("there")
        error = self.assertRaises(NotThere, self.here.wait, failing)
        self.assertIn("no dispatcher answers", str(error))
        self.here.advance(2)
        self.assertTrue(self.node.linked)
        self.assertEqual(self.nodesOf(self.here), 1)
        self.there.startDispatcher()
        self.here.wait(self.switch("there"))

    def test_refused(self) -> None:
        """A dispatcher that does not let us in says so; the node goes back."""
        self.there.startDispatcher()
        self.assertRaises(Refused, self.here.wait, self.switch("stranger"))
        self.here.advance(2)
        self.assertEqual(self.nodesOf(self.here), 1)

    def test_nonsense(self) -> None:
        """What is no address changes nothing."""
        self.failureResultOf(self.switch("nonsense"), BadFurl)
        self.assertTrue(self.node.linked)

    def test_twice(self) -> None:
        """One switch at a time."""
        first = self.switch("there")
        self.failureResultOf(self.switch("here"), LocalError)
        self.assertRaises(NotThere, self.here.wait, first)

    def test_stopped(self) -> None:
        """A node that stops switches no more; one that does not run does not switch."""
        switching = self.switch("there")
        self.here.advance(1)
        stopping = self.node.stopService()
        self.assertRaises(NotRunning, self.here.wait, switching)
        self.here.wait(stopping)
        self.assertFalse(self.node.running)
        self.failureResultOf(self.switch("there"), NotRunning)
        self.here.stop()
        self.assertEqual(self.here.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """Ctrl-C while it leaves, or while it looks for the other one: the node is back where it was, and can switch again."""
        for seconds in (0, 0.5, 5):
            switching = self.switch("there")
            self.here.advance(seconds)
            switching.cancel()
            self.failureResultOf(switching, CancelledError)
            self.here.advance(3)
            self.assertTrue(self.node.running and self.node.linked, seconds)
            self.assertEqual(self.nodesOf(self.here), 1)
        self.there.startDispatcher()
        self.here.wait(self.switch("there"))
        self.assertEqual((self.nodesOf(self.here), self.nodesOf(self.there)), (0, 1))

    def test_cancelledAtWork(self) -> None:
        """The same while it waits for a handler before it leaves."""
        work: Deferred[None] = Deferred()
        self.node.heard = lambda event, msg: work
        self.here.wait(self.node.subscribe("news"))
        told = self.here.me.publish("news", NodeMessage)
        self.here.flush()
        switching = self.switch("there")
        self.here.advance(0.1)
        switching.cancel()
        self.failureResultOf(switching, CancelledError)
        self.failureResultOf(self.switch("there"), LocalError)
        work.callback(None)
        self.here.advance(3)
        self.assertTrue(self.node.linked)
        self.assertEqual(self.here.wait(told).delivered, 1)
