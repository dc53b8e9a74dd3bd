"""The ledger of the fault scenario `presence`: what it expects, what it finds; a short run of it with real processes."""

from __future__ import annotations

import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.presence import Actor, Expected, fits
from tests.faults.processes import Stage

#: A dispatcher that was away, or settling.
AWAY = [(100.0, 110.0)]
SURE_UP, UP = ("up", True), ("up", False)
DOWN, SUSPECT = ("down", True), ("suspect", True)


class LedgerTests(SynchronousTestCase):
    def expected(self, *acts: tuple[float, str]) -> list[Expected]:
        """What is expected after this was done."""
        child: Any = None
        return Actor(child, list(acts)).expected(AWAY)

    def test_expected(self) -> None:
        """What must be shown of a node follows from what was done to it, and when."""
        self.assertEqual(self.expected((0, "start")), [SURE_UP])
        self.assertEqual(self.expected((0, "start"), (30, "kill")), [SURE_UP, DOWN])
        self.assertEqual(self.expected((0, "start"), (30, "stop"), (33, "cont")), [SURE_UP])
        self.assertEqual(self.expected((0, "start"), (30, "stop"), (43, "cont")), [SURE_UP, SUSPECT, SURE_UP])
        self.assertEqual(self.expected((0, "start"), (30, "stop"), (57, "cont")), [SURE_UP, SUSPECT, DOWN, SURE_UP])
        self.assertEqual(self.expected((0, "start"), (30, "stop"), (43, "kill")), [SURE_UP, SUSPECT, DOWN])

    def test_disturbed(self) -> None:
        """What happens while the dispatcher is away may be shown or not; what lasts is shown in the end."""
        stopped = [SURE_UP, ("suspect", False), ("down", False), UP]
        self.assertEqual(self.expected((0, "start"), (102, "stop"), (105, "cont")), stopped)
        self.assertEqual(self.expected((101, "start")), [SURE_UP])
        self.assertEqual(self.expected((101, "start"), (108, "kill")), [UP, ("down", False)])

    def test_fits(self) -> None:
        """A ledger that misses something, has too much or has it twice does not fit."""
        expected: list[Expected] = [SURE_UP, ("suspect", False), ("down", False), UP, DOWN]
        for states in (["up", "down"], ["up", "suspect", "up", "down"], ["up", "down", "up", "down"]):
            self.assertTrue(fits(states, expected), states)
        for states in (
            [],
            ["up"],
            ["down"],
            ["up", "up", "up", "down"],
            ["up", "down", "down", "down"],
            ["up", "down", "suspect"],
        ):
            self.assertFalse(fits(states, expected), states)


class ProcessTests(SynchronousTestCase):
    def test_killed(self) -> None:
        """Over TLS: a watcher is shown a node that comes, is killed while the dispatcher is restarted, and nobody else."""
        with Stage() as stage:
            dispatcher = stage.dispatcher()
            watcher = stage.member("watcher", subscribe="nodeset.node.*")
            node, other = stage.member("node"), stage.member("other")
            stage.ready(watcher, node, other)
            stage.wait("all are shown", lambda: watcher.count("n") == 3)
            dispatcher.kill()
            node.kill()
            stage.dispatcher()
            stage.wait("the dead one is shown", lambda: watcher.count("n") == 4)
            self.assertEqual(watcher.last("n")[1:], ["node", node.last("i")[0], "down", "up"])
            late = stage.member("late")
            stage.ready(late)
            stage.wait("a new one is shown", lambda: watcher.count("n") == 5)
            self.assertEqual(watcher.last("n")[1:], ["late", late.last("i")[0], "up", "-"])

    def test_frozenPeer(self) -> None:
        """A dispatcher that is told to end does so although a node of its was stopped and never closes its connection."""
        with Stage() as stage:
            dispatcher = stage.dispatcher()
            node = stage.member("node")
            stage.ready(node)
            node.signal(signal.SIGSTOP)
            dispatcher.signal(signal.SIGTERM)
            stage.wait("it ends", lambda: dispatcher.ended, 20)
            self.assertEqual(dispatcher.process.returncode, 0)
