"""Nodes that want the calls of others, or their place."""

from __future__ import annotations

from typing import Any

from nodeset import Node
from nodeset.core.calls.callframes import Answer, Ask, Ending
from nodeset.core.hello import streamOf
from nodeset.core.node import Node as AnyNode
from nodeset.errors import OutcomeUnknown, Refused
from tests.exchanges import makeHello
from tests.test_calls import Calc, CallCase


def claimAll(thief: AnyNode, victim: AnyNode) -> None:
    """From now on `thief` says that it has all calls of `victim`; asked for one it answers what it likes."""
    assert thief._peer is not None and victim._peer is not None
    callee: Any = thief._peer.phone.callee
    put, stream = callee._put, victim._peer.stream

    def ask(asked: Ask) -> None:
        for first, last in asked.ranges:
            for number in range(first, last + 1):
                put(Answer(asked.caller, number, Ending.VALUE, b'"forged"'))

    callee.holds, callee.ask = lambda: [(stream, [(0, 1 << 60)])], ask


class ClaimTests(CallCase):
    """After a restart of the dispatcher only who bears the name that was called is believed."""

    def setUp(self) -> None:
        super().setUp()
        self.thief = self.site.node(Node, name="thief")
        claimAll(self.thief, self.me)

    def restart(self) -> None:
        self.site.killDispatcher()
        self.site.startDispatcher()

    def test_answered(self) -> None:
        """The answer of the node that was called counts, not that of another one which says that it was."""
        waiting = self.me.call("calc", "hold")
        self.site.flush()
        self.restart()
        self.site.advance(6.0)
        self.assertFalse(waiting.called)
        self.calc.held[0].callback("true")
        self.assertEqual(self.site.wait(waiting), "true")

    def test_unknown(self) -> None:
        """When the node that was called is gone nobody knows what became of the call, whoever says so."""
        waiting = self.me.call("calc", "hold")
        self.site.flush()
        assert self.calc._peer is not None
        self.calc._peer._running = False
        self.restart()
        self.failing(OutcomeUnknown, waiting)

    def test_again(self) -> None:
        """An idempotent call is made again then, of a node of the name."""
        waiting = self.me.call("calc", "hold", idempotent=True)
        self.site.flush()
        assert self.calc._peer is not None
        self.calc._peer._running = False
        self.restart()
        twin = self.site.node(Calc, name="calc")
        self.site.advance(6.0)
        twin.held[0].callback("true")
        self.assertEqual(self.site.wait(waiting), "true")


class PlaceTests(CallCase):
    """A stream id, which everybody hears, opens no link."""

    def test_first(self) -> None:
        """Who comes first to a new dispatcher with the id of another gets nothing that is due to that one, keeps nobody out."""
        waiting = self.me.call("calc", "hold")
        self.site.flush()
        thief = self.site.node(Node, name="me")
        assert thief._peer is not None and self.me._peer is not None
        self.site.killDispatcher()
        self.site.flush()
        thief._peer.stream = self.me._peer.stream
        self.calc.held[0].callback("secret")
        self.site.wire.cut("tub2")
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(waiting), "secret")
        self.assertEqual((self.me._peer.linked, thief._peer.linked), (True, False))

    def test_spelling(self) -> None:
        """A stream id is text without spaces or slashes."""
        assert self.site.dispatcher is not None
        for stream in ("a/b", "a\0b", "a b", "a\nb", "a@b"):
            hello = makeHello("odd", stream=stream)
            self.assertRaises(Refused, self.site.dispatcher.exchange.join, "tub", hello, 0.0)
        hello = makeHello("odd", stream=streamOf("secret"), proof="secret")
        self.site.dispatcher.exchange.join("tub", hello, 0.0)
