"""Who is there, as handlers are shown it: with a dispatcher that dies, nodes that die, freeze, come back."""

from __future__ import annotations

from typing import Any

from nodeset.core.exchange import AWAY, SETTLE
from nodeset.core.node import Node
from nodeset.core.presence.standing import NodePresence
from nodeset.core.utils import catch
from tests.sites import Crew, Quiet, SiteCase

Seen = tuple[str, str, str]


class Watcher(Node):
    """Notes who is said to be there: name, state, state before."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: list[Seen] = []
        self.told: list[NodePresence] = []

    @catch("nodeset.node.*", NodePresence)
    def note(self, msg: NodePresence) -> None:
        self.seen.append((msg.name, msg.state, msg.was))
        self.told.append(msg)
        assert msg.meta is not None and msg.meta.event == f"nodeset.node.{msg.state}"

    def take(self) -> list[Seen]:
        """What came since the last time."""
        seen, self.seen = self.seen, []
        return seen


class Mourner(Watcher):
    """Wants to hear of deaths only."""

    autosubscribe = False


class PresenceCase(SiteCase):
    """A site with a watcher."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = self.site.node(Watcher, name="watcher")
        self.assertEqual(self.watcher.take(), [("watcher", "up", "")])

    def kill(self, node: Node) -> None:
        """A node dies as by kill -9."""
        assert node._peer is not None
        transport: Any = node._transport
        node._peer._running = False
        node._peer._reconnector.stop()
        self.site.wire.cut(transport._peer)
        self.site.flush()

    def restart(self, pause: float = 0.5) -> None:
        """The dispatcher dies, another one is started."""
        self.site.killDispatcher()
        self.site.advance(pause)
        self.site.startDispatcher()


class ComingAndGoingTests(PresenceCase):
    """Each change is told once."""

    def test_upDown(self) -> None:
        """A node that joins is up, one that stops is down at once, with what it was, and why."""
        node = self.site.node(Quiet, name="a")
        self.assertEqual(self.watcher.take(), [("a", "up", "")])
        self.site.wait(node.stopService())
        self.site.flush()
        self.assertEqual(self.watcher.take(), [("a", "down", "up")])
        up, down = self.watcher.told[-2:]
        self.assertEqual((up.stream, up.tub, up.host), (down.stream, "tub2", "localhost"))
        self.assertEqual((up.reason, down.reason), ("it joined", "it left"))

    def test_killed(self) -> None:
        """One that is killed is down after the 2 s for which it might have come back."""
        node = self.site.node(Quiet, name="a")
        self.watcher.take()
        self.kill(node)
        self.site.advance(AWAY - 0.1)
        self.assertEqual(self.watcher.take(), [])
        self.site.advance(0.2)
        self.assertEqual(self.watcher.take(), [("a", "down", "up")])

    def test_linkLost(self) -> None:
        """A link that is lost and back within 2 s is nobody's business, a watcher's own as little."""
        node = self.site.node(Quiet, name="a")
        self.watcher.take()
        for link in (node, self.watcher):
            transport: Any = link._transport
            self.site.wire.cut(transport._peer)
            self.site.advance(5)
        self.assertEqual(self.watcher.take(), [])

    def test_frozen(self) -> None:
        """A node that says nothing is suspect after 10 s, down at 22 s; when it wakes up it is up again."""
        self.site.node(Quiet, name="a", tub="frozen")
        self.watcher.take()
        self.site.wire.blackhole("frozen")
        self.site.advance(10)
        self.assertEqual(self.watcher.take(), [])
        self.site.advance(6.1)
        self.assertEqual(self.watcher.take(), [("a", "suspect", "up")])
        self.site.wire.acceptor = None  # it does not wake up yet
        self.site.advance(10)
        self.assertEqual(self.watcher.take(), [("a", "down", "suspect")])
        self.site.wire.acceptor = self.site.dispatcher
        self.site.advance(5)
        self.assertEqual(self.watcher.take(), [("a", "up", "")])

    def test_twoOfAName(self) -> None:
        """Two nodes of one name are two; so is one that is started again under another name."""
        first, second = self.site.node(Quiet, name="twin"), self.site.node(Quiet, name="twin")
        streams = [told.stream for told in self.watcher.told[1:]]
        self.assertEqual((self.watcher.take(), len(set(streams))), ([("twin", "up", "")] * 2, 2))
        self.site.wait(first.stopService())
        self.site.flush()
        self.assertEqual((self.watcher.take(), self.watcher.told[-1].stream), ([("twin", "down", "up")], streams[0]))
        self.site.wait(second.stopService())
        second.name = "single"
        second.startService()
        self.site.flush()
        self.assertEqual(self.watcher.take(), [("twin", "down", "up"), ("single", "up", "")])

    def test_newcomer(self) -> None:
        """Who subscribes is shown everybody who is there, once, and nobody who was."""
        self.site.node(Quiet, name="a")
        self.site.wait(self.site.node(Quiet, name="gone").stopService())
        late = self.site.node(Watcher, name="late")
        self.assertEqual(sorted(late.take()), [("a", "up", ""), ("late", "up", ""), ("watcher", "up", "")])
        self.site.wait(late.subscribe("nodeset.>"))
        self.site.flush()
        self.assertEqual(late.take(), [])

    def test_subscribedTo(self) -> None:
        """Handlers are shown what their node subscribed to, no more; it may subscribe to more later, or to nothing."""
        mourner = self.site.node(Mourner, name="mourner")
        node = self.site.node(Quiet, name="a")
        self.site.wait(mourner.subscribe("nodeset.node.down"))
        self.site.wait(node.stopService())
        other = self.site.node(Quiet, name="b")
        self.assertEqual(mourner.take(), [("a", "down", "up")])
        self.site.wait(mourner.subscribe("nodeset.node.up"))
        self.site.flush()
        self.assertEqual(sorted(mourner.take()), [(name, "up", "") for name in ("b", "mourner", "watcher")])
        for pattern in ("nodeset.node.up", "nodeset.node.down"):
            self.site.wait(mourner.unsubscribe(pattern))
        self.site.wait(other.stopService())
        self.assertEqual(mourner.take(), [])
        self.site.wait(mourner.subscribe("nodeset.node.*"))
        self.site.flush()
        self.assertEqual(sorted(mourner.take()), [(name, "up", "") for name in ("mourner", "watcher")])

    def test_everything(self) -> None:
        """Who subscribes to `>` or `*.*.*` wants the events of the application, not those of NodeSet."""
        node = self.site.node(Quiet, name="a")
        for pattern in (">", "*.>", "*.node.up"):
            self.site.wait(node.subscribe(pattern))
        self.site.node(Quiet, name="b")
        self.assertEqual(node.events(), [])

    def test_slow(self) -> None:
        """A node that takes nothing in is slow when its queue was dropped, up when it takes a batch again."""
        crew = self.site.node(Crew, name="crew")
        crew.pace = 30.0
        self.site.wait(crew.subscribe("jobs", max_events=2))
        assert crew._peer is not None
        crew._peer._inbox._max_events = 1
        publisher = self.site.node(Node, name="publisher")
        self.watcher.take()
        for number in range(9):
            publisher.publish("jobs", id=number).addErrback(lambda failure: None)
            self.site.flush()
        self.site.advance(11)
        self.assertEqual(self.watcher.take(), [("crew", "slow", "up")])
        told = self.watcher.told[-1]
        self.assertEqual((told.pattern, told.queued > 0, told.dropped, told.queued), ("jobs", True, told.queued, told.dropped))
        self.site.advance(30)
        self.assertEqual(self.watcher.take(), [("crew", "up", "slow")])
        crew.pace = 0.0
        self.site.advance(300)


class RestartTests(PresenceCase):
    """A dispatcher that is killed and started again."""

    def test_nobodyDied(self) -> None:
        """Whoever is there before and after is not told again."""
        for name in "abc":
            self.site.node(Quiet, name=name)
        self.watcher.take()
        for _ in range(3):
            self.restart()
            self.site.advance(10)
        self.assertEqual(self.watcher.take(), [])

    def test_someDied(self) -> None:
        """Who died meanwhile is shown as down when those who live are back; who is new as up. Nobody else is shown."""
        nodes = {name: self.site.node(Quiet, name=name) for name in "abcd"}
        self.watcher.take()
        self.site.killDispatcher()
        self.kill(nodes["a"])
        self.kill(nodes["c"])
        self.site.advance(1)
        self.site.startDispatcher()
        self.site.node(Quiet, name="e")
        self.site.advance(SETTLE - 0.1)
        self.assertEqual(self.watcher.take(), [])
        self.site.advance(5)
        self.assertEqual(sorted(self.watcher.take()), [("a", "down", "up"), ("c", "down", "up"), ("e", "up", "")])
        self.assertEqual(self.watcher.told[-1].reason, "it is not there any more")

    def test_snapshotCut(self) -> None:
        """A link that is lost in the middle of a snapshot leaves no ghost and kills nobody."""
        nodes = [self.site.node(Quiet, name=f"n{number}") for number in range(30)]
        self.watcher.take()
        self.site.killDispatcher()
        self.kill(nodes[7])
        self.site.startDispatcher()
        for _ in range(8):
            self.site.advance(0.3)
            transport: Any = self.watcher._transport
            self.site.wire.cut(transport._peer)
        self.site.advance(5)
        self.assertEqual(self.watcher.take(), [("n7", "down", "up")])

    def test_watcherAway(self) -> None:
        """A watcher that was gone for a while is shown what is different, in what it was and is."""
        node = self.site.node(Quiet, name="a")
        self.watcher.take()
        transport: Any = self.watcher._transport
        transport._running = False
        self.site.wire.cut(transport._peer)
        self.site.advance(5)
        self.kill(node)
        self.site.node(Quiet, name="b")
        self.site.advance(5)
        transport._running = True
        self.site.advance(5)
        self.assertEqual(sorted(self.watcher.take()), [("a", "down", "up"), ("b", "up", "")])

    def test_everySecond(self) -> None:
        """A watcher whose link is lost all the time misses no change of those that it was there for within 2 s."""
        transport: Any = self.watcher._transport
        expected: list[Seen] = []
        for number in range(20):
            node = self.site.node(Quiet, name=f"n{number}")
            self.site.wire.cut(transport._peer)
            self.site.advance(0.7)
            self.site.wait(node.stopService())
            self.site.wire.cut(transport._peer)
            self.site.advance(0.7)
            expected += [(f"n{number}", "up", ""), (f"n{number}", "down", "up")]
        self.site.advance(2)
        self.assertEqual(self.watcher.take(), expected)
