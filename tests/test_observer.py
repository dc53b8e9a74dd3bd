"""Nodes that only look on."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import Receipt
from nodeset.testing import Site


class Job(NodeMessage):
    """Work for one."""

    _delivery_mode = "one"

    n: int = 0


class Worker(Node):
    """Does the jobs, hears the news."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.got: list[str] = []

    @catch("jobs.*")
    @catch("news.*")
    def take(self, msg: NodeMessage) -> None:
        """Note it."""
        assert msg.meta is not None
        self.got.append(msg.meta.event)


class Watcher(Worker):
    """Looks on."""

    observes = True


class ObserverTests(SynchronousTestCase):
    def test_leftOut(self) -> None:
        """An observer gets all events of mode all, and none of mode one: those go to who works, whatever the order."""
        site = Site.forTest(self)
        watcher = site.node(Watcher, name="watcher")
        worker = site.node(Worker, name="worker")
        for n in range(10):
            self.assertEqual(site.publish("jobs.cut", Job, n=n), Receipt(1, 1, 0))
        self.assertEqual(site.publish("news.today"), Receipt(2, 2, 0))
        self.assertEqual(worker.got, ["jobs.cut"] * 10 + ["news.today"])
        self.assertEqual(watcher.got, ["news.today"])

    def test_nobodyElse(self) -> None:
        """Where only observers are, an event of mode one matches nobody."""
        site = Site.forTest(self)
        watcher = site.node(Watcher, name="watcher")
        self.assertEqual(site.publish("jobs.cut", Job), Receipt(0, 0, 0))
        self.assertEqual(watcher.got, [])

    def test_workerDies(self) -> None:
        """What a worker had that is gone goes to another worker, after a restart as well, never to an observer."""
        site = Site.forTest(self)
        watcher = site.node(Watcher, name="watcher")
        first = site.node(Worker, name="first")
        second = site.node(Worker, name="second")
        site.restartDispatcher()
        site.freeze(first)
        waiting = [site.me.publish("jobs.cut", Job, n=n) for n in range(4)]
        site.advance(1)
        site.kill(first)
        for deferred in waiting:
            self.assertEqual(site.wait(deferred), Receipt(1, 1, 0))
        self.assertEqual((second.got, watcher.got), (["jobs.cut"] * 4, []))
