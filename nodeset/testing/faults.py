"""Faults on demand: what goes wrong in production, each as one verb of a site."""

from __future__ import annotations

from nodeset.core.batch import WINDOW
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.node import Node
from nodeset.testing.ground import Ground

__all__ = ["Faults"]

_PARTED = "nobody answers: the network is down"


class Faults(Ground):
    """What a test may do to the nodes and the dispatcher of a site.

    A node stands for its process: members of a `NodeCollection` are lost, frozen, killed together. `site.dispatcher` will do
    wherever a node does, unless it says otherwise.
    """

    # -- links

    def lose(self, *nodes: Node | EventDispatcher) -> None:
        """Lose all connections of these, with what is on the way; both sides are told, the nodes link again by themselves.

        In production: a router was started anew, somebody's NAT forgot the connection, a cable was out for a moment.
        """
        for process in self._processes(*nodes):
            for link in self.wire.linksOf(process):
                link.cut()
        self.flush()

    def cutOff(self, *nodes: Node | EventDispatcher, silently: bool = False) -> None:
        """Lose all connections of these, let none be opened, until `reconnect`.

        In production: the network is parted, a firewall has a new rule, the machine is unplugged.

        :param silently: nobody is told. What is sent is lost, each side finds out by the heartbeat, after 20 s; a dispatcher
            passes over the node in mode `one` after 10 s.
        """
        for process in self._processes(*nodes):
            process.parted, process.silenced = _PARTED, silently
            for link in self.wire.linksOf(process):
                link.die() if silently else link.cut()
        self.flush()

    def reconnect(self, *nodes: Node | EventDispatcher) -> None:
        """Undo `cutOff`: the nodes link again by themselves, within a second or two when they knew of it.

        Connections that went silent stay dead, as those do that a firewall forgot: they are noticed by the heartbeat.
        """
        for process in self._processes(*nodes):
            process.parted, process.silenced = "", False

    def delay(self, seconds: float, *nodes: Node | EventDispatcher) -> None:
        """Let each batch to or from these take so much longer; without nodes, each batch of everybody's. 0 undoes it.

        In production: another continent, a full line. Nothing overtakes, nothing is lost on the way, since TCP keeps
        order and sends again: what loses packets is a slow line to whoever is at its end.
        """
        if not nodes:
            self.wire.delay = seconds
        for process in self._processes(*nodes):
            process.lag = seconds

    # -- processes

    def freeze(self, *nodes: Node | EventDispatcher) -> None:
        """Let these stand still, until `thaw`: nothing is read, no timer runs, no heartbeat is sent, while time goes on.

        In production: SIGSTOP, a laptop that sleeps, a virtual machine that is moved, a disk that hangs. Links stay open until
        the other side loses patience: a frozen node is suspect after 10 s, away after 20 s.
        """
        for process in self._processes(*nodes):
            process.freeze()

    def thaw(self, *nodes: Node | EventDispatcher) -> None:
        """Undo `freeze`: what has come meanwhile is read, what was due is done, late, in the order in which it was due."""
        for process in self._processes(*nodes):
            process.thaw()
        self.flush()

    def slow(self, seconds: float, *nodes: Node | EventDispatcher) -> None:
        """Let these be busy for so long with each batch of events, calls or heartbeats that they read; 0 undoes it.

        In production: a handler that computes, or blocks, in the reactor's thread. Nothing else runs in the process meanwhile;
        what comes waits, then fills queues, then makes publishers wait.
        """
        for process in self._processes(*nodes):
            process.pace = seconds

    def starve(self, node: Node, credits: int = 0) -> None:
        """Let the dispatcher send `node` only so many batches of events before it hears that they have found room; usual are 4.

        In production: a node whose handlers take long, so that its inbox is full. With 0 it gets no event, and the dispatcher's
        queue for it fills, until it links anew: see `subscribe(..., policy=, max_events=)` for what happens then.
        """
        dispatcher, peer = self.dispatcher, node._peer
        session = None if dispatcher is None or peer is None else dispatcher.exchange.answers.sessions.get(peer.stream)
        if session is None or session.away:
            raise AssertionError(f"{node.name} cannot be starved: it is not linked")
        if not 0 <= credits <= WINDOW:
            raise AssertionError(f"credits must be from 0 to {WINDOW}, not {credits!r:.60}")
        session.credit = credits

    def kill(self, *nodes: Node | EventDispatcher) -> None:
        """Let these die without a farewell, for good: nothing happens in them any more, their Deferreds never fire.

        In production: kill -9, the OOM killer, a power cut. The system closes the connections of a process that dies, so
        the others are told. To start a node anew make another of the same name: it is a new one to its dispatcher.
        """
        for node in nodes:
            if isinstance(node, EventDispatcher):
                self.killDispatcher()
                continue
            for process in self._processes(node):
                process.die()
                for link in self.wire.linksOf(process):
                    link.cut()
        self.flush()

    def killDispatcher(self) -> None:
        """Let the dispatcher die as by kill -9: everything that it knew or had on the way is gone."""
        dispatcher, self.dispatcher = self.dispatcher, None
        self.wire.acceptor = None
        if dispatcher is not None:
            dispatcher.die()
            self.wire.home.die()
        self.wire.cut()
        self._openPort()

    def restartDispatcher(self, after: float = 1.0) -> EventDispatcher:
        """Kill the dispatcher, let `after` seconds pass, start another, which it returns.

        In production: it crashed, systemd started it anew. It knows nothing, its nodes come back within a second or two.
        """
        self.killDispatcher()
        self.advance(after)
        return self.startDispatcher()

    # -- time

    def jump(self, seconds: float) -> None:
        """Let the wall clock jump: grants expire by it, nothing else goes by it.

        In production: NTP corrects a clock. `advance` lets time pass on both clocks.
        """
        self._jumped += seconds

    # -- all of them

    def heal(self) -> None:
        """Undo all faults that can be undone: thaw, reconnect, no delay, nobody slow; who was killed stays dead."""
        self.delay(0.0)
        for process in [self.wire.home, *self._homes.values()]:
            process.parted, process.silenced, process.pace, process.lag = "", False, 0.0, 0.0
            process.thaw()
        self.flush()
