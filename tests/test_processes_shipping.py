"""A program's events reach whoever wants them, in order, whatever happens on the way."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.node import Node
from nodeset.processes.events import EVERYTHING, ProcessReturn, ProcessStart
from nodeset.processes.program import Program
from nodeset.processes.shipping import Shipping
from nodeset.testing import Listener, Site


def told(listener: Listener) -> list[tuple[int, str, Any]]:
    """(seq, kind, data or code) of all that it heard."""
    found = []
    for event, message in zip(listener.events, listener.heard, strict=True):
        fields = message.fields()
        what = b64decode(fields["data"]) if "data" in fields else fields.get("code", fields.get("pid"))
        found.append((fields["seq"], event.rpartition(".")[2], what))
    return found


class ShippingTests(SynchronousTestCase):
    """From `put` to whoever takes it."""

    def build(self, *, start: bool = True, grace: float = 0.0, **options: Any) -> tuple[Site, Shipping]:
        site = Site.forTest(self, start=start)
        node = site.node(Node, name="watcher")
        program = Program(name="job", command=("job",), **options)
        shipping = Shipping(node, program, "abc", site.clock, grace=grace)
        self.addCleanup(shipping.stop)
        return site, shipping

    def test_order(self) -> None:
        """Start, output of both streams, return: one center hears them in this order, numbered from 1."""
        site, shipping = self.build()
        heard = site.listen(EVERYTHING)
        shipping.put("start", ProcessStart(uuid="", pid=7))
        for piece in (b"bob ", b"is ", b"your uncle\n"):
            shipping.put("out", piece)
        shipping.put("err", b"\x88")
        shipping.put("return", ProcessReturn(uuid="", pid=7, code=0))
        self.assertTrue(site.wait(shipping.drained(5)))
        expected = [(1, "start", 7), (2, "out", b"bob is your uncle\n"), (3, "err", b"\x88"), (4, "return", 0)]
        self.assertEqual(told(heard), expected)
        self.assertEqual({message.uuid.getValue() for message in heard.heard}, {"abc"})
