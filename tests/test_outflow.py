"""What waits for credit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.sockets.frames import MAX_CREDIT
from nodeset.web.sockets.outflow import NoCredit, Outflow

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 50)),
        st.tuples(st.just("free"), st.just(0)),
        st.tuples(st.just("old"), st.integers(1, 50)),
        st.tuples(st.just("grant"), st.integers(1, 5)),
        st.tuples(st.just("ack"), st.integers(1, 5)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("spend"), st.just(0)),
    ),
    max_size=60,
)


class OutflowTests(SynchronousTestCase):
    @given(STEPS)
    def test_anything(self, steps: list[tuple[str, int]]) -> None:
        """Whatever is put, granted, acknowledged: all goes in order, once, never more than was granted."""
        flow: Outflow[int] = Outflow(10, 200, 1000)
        put = 0
        taken: list[int] = []
        free: set[int] = set()
        granted = acknowledged = spent = 0
        for kind, number in steps:
            if kind in ("put", "free", "old"):
                flow.put("s", put, number, kind == "free", kind == "old")
                if kind == "free":
                    free.add(put)
                put += 1
            elif kind == "grant":
                flow.grant(number)
                granted += number
            elif kind == "ack":
                sent = spent + sum(item not in free for item in taken)
                if number > sent - acknowledged:
                    self.assertRaises(NoCredit, flow.acknowledge, number)
                else:
                    flow.acknowledge(number)
                    acknowledged += number
            elif kind == "spend":
                spent += flow.spend()
            else:
                for _ in range(number):
                    found = flow.take()
                    if found is not None:
                        taken.append(found[1])
            sent = spent + sum(item not in free for item in taken)
            self.assertEqual(flow.credit, granted + acknowledged - sent)
            self.assertGreaterEqual(flow.credit, 0)
            self.assertEqual(len(flow), put - len(taken))
        self.assertEqual(taken, list(range(len(taken))))

    def test_bounds(self) -> None:
        """So many may wait, of so many bytes, the old aside; one alone may be larger."""
        flow: Outflow[int] = Outflow(3, 100, 50)
        self.assertTrue(flow.put("a", 0, 1000))
        self.assertFalse(flow.put("a", 1, 1))
        flow.clear()
        for number in range(3):
            self.assertTrue(flow.put("a", number, 30))
            self.assertTrue(flow.put("b", number, 1000, is_old=True))
        self.assertFalse(flow.put("a", 3, 1))
        self.assertFalse(flow.hasRoom(1))
        flow.forget("b")
        self.assertTrue(flow.hasRoom(1_000_000))
        self.assertEqual(flow.waiting, "4 events of 91 bytes")

    def test_most(self) -> None:
        """Credit has an end, which an ack cannot go beyond either."""
        flow: Outflow[int] = Outflow(3, 100, 50)
        flow.grant(MAX_CREDIT)
        self.assertRaises(NoCredit, flow.grant, 1)
        self.assertTrue(flow.spend())
        flow.grant(1)
        self.assertRaises(NoCredit, flow.acknowledge, 1)
        self.assertEqual(flow.credit, MAX_CREDIT)
