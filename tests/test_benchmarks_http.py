"""What `make bench-http` computes, without running any server."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.http import makeTable, readPlan
from benchmarks.web.answers import Answers
from benchmarks.web.following import Following
from benchmarks.web.payload import BadStream, Numbers, findNumbers, makeBatch, makeBody
from benchmarks.web.scene import WebRun
from benchmarks.web.systems import SYSTEMS
from benchmarks.web.work import BARS, WORKS
from benchmarks.web.wrk import complain, makeScript, perSecond


def makeEvents(first: int, count: int, source: int = 0) -> bytes:
    """A part of a stream, as servers send it."""
    texts = [b"id: a-%d\ndata: %b\n\n" % (first + each, makeBody(first + each, source)) for each in range(count)]
    return b"".join(texts)


def makeChunk(text: bytes) -> bytes:
    """A chunk of HTTP."""
    return b"%x\r\n%b\r\n" % (len(text), text)


class StreamTests(SynchronousTestCase):
    """What the clients of a stream are held to have got."""

    def test_numbers(self) -> None:
        """The events in a part are found; what is between them counts for nothing."""
        self.assertEqual(findNumbers(makeChunk(makeEvents(3, 4))), (Numbers(0, 3, 6),))
        self.assertEqual(findNumbers(makeEvents(3, 1) + makeEvents(0, 2, 1)), (Numbers(0, 3, 3), Numbers(1, 0, 1)))
        self.assertEqual(findNumbers(b"retry: 2000\n\n: alive\n\n"), ())

    def test_bad(self) -> None:
        """A gap, a double, a cut event, a server that says it has left some out: each is found."""
        whole = makeEvents(0, 1)
        for wrong in (whole + makeEvents(2, 1), whole * 2, whole[:-5] + b"\n\n", b"event: nodeset.gap\ndata: {}\n\n"):
            self.assertRaises(BadStream, findNumbers, wrong)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 900), max_size=6))
    def test_cut(self, cuts: list[int]) -> None:
        """However the bytes are cut, each event counts once."""
        data = b"".join(makeChunk(makeEvents(first, 2)) for first in (0, 2, 4))
        following = Following(2)
        for client in range(2):
            rest = data
            for cut in cuts:
                following.take(client, rest[:cut]) if rest[:cut] else None
                rest = rest[cut:]
            following.take(client, rest) if rest else None
        self.assertEqual(following.complain(6), "")
        self.assertEqual(following.least, 6)

    def test_ledger(self) -> None:
        """A client that missed an event, or got one twice, makes the run wrong, by its number."""
        for parts in ([0, 2], [0, 0], [1]):
            following = Following(2)
            following.take(0, makeEvents(0, 3))
            for first in parts:
                following.take(1, makeEvents(first, 1))
            self.assertIn("client 2 of 2", following.complain(3), parts)

    def test_publishers(self) -> None:
        """Each publisher has an order of its own."""
        following = Following(1, 2)
        for first, source in ((0, 1), (0, 0), (1, 0), (1, 1)):
            following.take(0, makeEvents(first, 1, source))
        self.assertEqual(following.complain(4), "")
        following.take(0, makeEvents(3, 1, 1))
        self.assertIn("3 of publisher 1", following.complain(4))

    def test_received(self) -> None:
        """Who asks hears of each part that came, also where another client had the same before."""
        heard: list[Numbers] = []
        following = Following(2, received=heard.append)
        for client in range(2):
            following.take(client, makeEvents(0, 2))
        self.assertEqual(heard, [Numbers(0, 0, 1)] * 2)


class AnswerTests(SynchronousTestCase):
    """Answers on a kept connection."""

    GOOD = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
    CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    def test_count(self) -> None:
        """Answers are counted when they are whole, byte by byte or many at once."""
        answers = Answers()
        data = self.GOOD * 2 + self.CHUNKED + self.GOOD
        for index in range(len(data)):
            answers.take(data[index : index + 1])
        self.assertEqual((answers.count, answers.refused), (4, ""))
        answers.take(data)
        self.assertEqual(answers.count, 8)

    def test_refused(self) -> None:
        """An answer that is no success is told, with what it says."""
        answers = Answers()
        answers.take(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow" + self.GOOD)
        self.assertIn("429 Too Many Requests: slow", answers.refused)


class WrkTests(SynchronousTestCase):
    """What wrk is told, what it tells."""

    def test_script(self) -> None:
        """The script holds the body, the token; a batch goes elsewhere than one event."""
        one, many = makeScript("secret", 1), makeScript("secret", 100)
        self.assertIn('"Bearer secret"', one)
        self.assertIn("/v1/events/bench.event", one)
        self.assertIn('"/v1/events"', many)
        self.assertEqual(len(json.loads(makeBatch(0, 100))), 100)

    def test_result(self) -> None:
        """Events a second are requests times their batch; failures, a broker that has counted others are told."""
        found = {"requests": 50, "microseconds": 500_000, "status": 0, "others": 0}
        self.assertEqual(perSecond(found, 100), 10_000)
        self.assertEqual(complain(found, 100, 2, 5_200), "")
        self.assertEqual(complain(found, 100, 2, None), "")
        for counted in (4_999, 5_201):
            self.assertIn(str(counted), complain(found, 100, 2, counted))
        self.assertIn("no success", complain({**found, "status": 1}, 1, 2, None))


class TableTests(SynchronousTestCase):
    """The table."""

    def test_ratios(self) -> None:
        """Behind a peer stands how many times as much ours is; a run that failed counts for nothing."""
        runs = [
            WebRun("nodeset", "post", 900.0),
            WebRun("nodeset", "post", 9.0, wrong="broken"),
            WebRun("fastapi", "post", 1_000.0),
            WebRun("nodeset", "idle", 40.0),
        ]
        table = makeTable(runs)
        self.assertIn("0.90x", table)
        self.assertIn("holds", table)
        self.assertIn("40.0 KiB", table)
        self.assertIn("FAILED", makeTable(runs[1:2]))

    def test_names(self) -> None:
        """Every bar is of works and systems that there are."""
        names = {job.name: job for job in WORKS}
        for bar in BARS:
            self.assertIn("nodeset", names[bar.ours].systems)
            self.assertIn(bar.system or "nodeset", names[bar.theirs or bar.ours].systems)
        self.assertEqual({system for job in WORKS for system in job.systems}, set(SYSTEMS))

    def test_plan(self) -> None:
        """The command line says which works, which systems, how long."""
        plan = readPlan(["--quick", "--only", "fan1,idle", "--systems", "nodeset"])
        self.assertEqual([(job.name, system) for job, system in plan.steps()], [("fan1", "nodeset"), ("idle", "nodeset")])
        self.assertEqual((plan.rounds, plan.seconds), (1, 1.0))
