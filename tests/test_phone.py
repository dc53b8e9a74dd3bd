"""When calls and answers leave a node."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import NO_HEADERS, Took, unpack
from nodeset.core.calls.callframes import Answer, Call, Ending
from nodeset.core.calls.parcel import packArguments
from nodeset.core.calls.phone import Phone
from nodeset.core.node import Node
from nodeset.core.writer import BatchWriter

PAYLOAD = packArguments((), {})


class PhoneTests(SynchronousTestCase):
    """One end of calls, whose batches are kept in `sent`."""

    peer = "the dispatcher"

    def setUp(self) -> None:
        self.sent: list[list[Any]] = []
        self.clock = Clock()
        self.phone = Phone(Node(name="me"), {}, self.clock)
        writer = BatchWriter(self.clock, calls=lambda: self.phone.take(False))
        self.phone.sendBy(writer)
        writer.attach(self)
        self.phone.linkOpened(True, False)
        self.clock.advance(0)
        self.addCleanup(self.phone.stop)

    def send(self, batch: bytes) -> None:
        """See `Link`."""
        self.sent.append(list(unpack(batch)))

    def close(self) -> None:
        """See `Link`."""

    abort = close

    def call(self, count: int) -> None:
        """Make so many calls in one turn."""
        for _ in range(count):
            self.phone.caller.call("you", "do", PAYLOAD, 1, None, False, None).addErrback(lambda failure: None)

    def sizes(self) -> list[int]:
        """How many calls or answers are in each batch that was sent."""
        return [sum(type(frame) is not Took for frame in batch) for batch in self.sent]

    def test_together(self) -> None:
        """What is called in one turn leaves together at its end."""
        self.call(40)
        self.assertEqual(self.sizes(), [])
        self.clock.advance(0)
        self.assertEqual(self.sizes(), [40])

    def test_enough(self) -> None:
        """When there is enough for the others to begin with, it leaves while more is called; nothing is lost or sent twice."""
        self.call(100)
        self.assertEqual(self.sizes(), [48, 48])
        self.clock.advance(0)
        self.assertEqual(self.sizes(), [48, 48, 4])
        self.assertEqual([frame.id for batch in self.sent for frame in batch], list(range(1, 101)))

    def test_noRoom(self) -> None:
        """No more batches than the other side has room for are under way; the rest leaves in larger ones."""
        self.call(500)
        self.clock.advance(0)
        self.assertEqual(self.sizes(), [48] * 4)
        self.phone.received(Took(0, 2))
        self.clock.advance(0)
        self.assertEqual(len(self.sizes()), 6)
        self.assertGreater(min(self.sizes()[4:]), 100)

    def test_answers(self) -> None:
        """Answers leave as calls do, the first of them with the credit for the calls."""
        self.phone.callee.offer("do", lambda: None)
        calls: list[Any] = [Call("s" * 22, n, 1, "me", "do", 0, 1, False, NO_HEADERS, PAYLOAD) for n in range(60)]
        self.phone.arrived(calls, 0.0)
        self.clock.advance(0)
        self.assertEqual(self.sizes(), [48, 12])
        self.assertEqual(self.sent[0][0], Took(0, 1))
        answers = [frame for batch in self.sent for frame in batch if type(frame) is Answer]
        self.assertEqual([(answer.id, answer.ending) for answer in answers], [(n, Ending.VALUE) for n in range(60)])
