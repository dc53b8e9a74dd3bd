"""What a program has to say is kept in order, within a bound; what is dropped is marked to the byte."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.events import ProcessReturn, ProcessStart, ProcessState, ProcessStats
from nodeset.processes.output.backlog import CHUNK, EACH, MOST_EVENTS, Backlog, Parcel


def takeAll(backlog: Backlog) -> list[Parcel]:
    """All that waits, as under way."""
    taken = []
    while (parcel := backlog.take()) is not None:
        taken.append(parcel)
    return taken


def told(parcels: list[Parcel]) -> list[tuple[int, str, bytes, int]]:
    """What a receiver sees of them."""
    return [(one.seq, one.kind, bytes(one.data), one.dropped) for one in parcels]


class BacklogTests(SynchronousTestCase):
    """In order, bounded, marked."""

    def setUp(self) -> None:
        self.start = ProcessStart(uuid="", pid=1)
        self.ended = ProcessReturn(uuid="", pid=1, code=0)

    def test_order(self) -> None:
        """All events of a program keep their order, and are numbered in it; small pieces of output become one."""
        backlog = Backlog(1 << 20)
        backlog.addEvent("start", self.start)
        for piece in (b"a", b"b", b"c"):
            backlog.addOutput("out", piece)
        backlog.addOutput("err", b"x")
        backlog.addOutput("out", b"d")
        backlog.addEvent("return", self.ended)
        expected = [(1, "start", b"", 0), (2, "out", b"abc", 0), (3, "err", b"x", 0), (4, "out", b"d", 0)]
        self.assertEqual(told(takeAll(backlog)), [*expected, (5, "return", b"", 0)])

    def test_pieces(self) -> None:
        """Any amount goes in events of a bounded size; not a byte is lost, doubled or moved."""
        data = b"".join(number.to_bytes(4, "big") for number in range(150_000))
        for piece in (1_000, 60_000, CHUNK - 1, CHUNK, CHUNK + 1, 400_000):
            backlog = Backlog(1 << 20)
            for at in range(0, len(data), piece):
                backlog.addOutput("out", data[at : at + piece])
            size = backlog.size
            taken = takeAll(backlog)
            self.assertEqual(b"".join(bytes(one.data) for one in taken), data)
            self.assertLessEqual(max(len(one.data) for one in taken), CHUNK)
            self.assertEqual(size, len(data) + EACH * len(taken))
            for parcel in taken:
                backlog.done(parcel)
            self.assertEqual((backlog.size, backlog.flying_bytes), (0, 0))

    def test_oldest(self) -> None:
        """What finds no room pushes the oldest output out; the mark says how many bytes were lost at its place."""
        backlog = Backlog(3 * (CHUNK + EACH) + 10 * EACH)
        backlog.addEvent("start", self.start)
        for number in range(10):
            backlog.addOutput("out", bytes([number]) * CHUNK)
        backlog.addEvent("return", self.ended)
        parcels = takeAll(backlog)
        self.assertEqual([one.kind for one in parcels], ["start", "out", "out", "out", "return"])
        self.assertEqual([one.dropped for one in parcels], [0, 7 * CHUNK, 0, 0, 0])
        self.assertEqual([bytes(one.data[:1]) for one in parcels[1:4]], [b"\7", b"\x08", b"\x09"])
        self.assertEqual([one.seq for one in parcels], [1, 2, 3, 4, 5])
        self.assertEqual(backlog.dropped_bytes, 7 * CHUNK)

    def test_everyByte(self) -> None:
        """Of each stream, what came and what was lost add up, at every place between two other events."""
        backlog = Backlog(4 * CHUNK)
        written = {"out": 0, "err": 0}
        for number in range(300):
            size = 1 + number * 7919 % 70_000
            stream = "out" if number % 3 else "err"
            backlog.addOutput("out" if number % 3 else "err", b"z" * size)
            written[stream] += size
            if number % 50 == 49:
                backlog.addEvent("state", ProcessState(uuid="", name="a", state=20, state_name=str(written)))
        found = {"out": 0, "err": 0}
        for parcel in takeAll(backlog):
            if parcel.event is None:
                found[parcel.kind] += parcel.dropped + len(parcel.data)
            else:
                assert isinstance(parcel.event, ProcessState)
                self.assertEqual(parcel.event.state_name, str(found))
        self.assertEqual(found, written)

    def test_lastMark(self) -> None:
        """What was lost just before the end is said before the end."""
        backlog = Backlog(CHUNK + 2 * EACH)
        backlog.addOutput("err", b"e" * 100)
        backlog.addOutput("out", b"o" * CHUNK)
        backlog.addEvent("return", self.ended)
        self.assertEqual(
            [one[:2] + one[3:] for one in told(takeAll(backlog))], [(1, "err", 100), (2, "out", 0), (3, "return", 0)]
        )

    def test_bound(self) -> None:
        """However small the pieces are, the bound holds."""
        backlog = Backlog(64 * 1024)
        for _ in range(5000):
            backlog.addOutput("out", b"o")
            backlog.addOutput("err", b"e")
            self.assertLessEqual(backlog.size, 64 * 1024 + 3 * EACH)
        parcels = takeAll(backlog)
        self.assertEqual(sum(len(one.data) + one.dropped for one in parcels), 10_000)

    def test_back(self) -> None:
        """What nobody took goes again first, under its number; meanwhile dropped, it keeps the number and is the mark."""
        backlog = Backlog(3 * CHUNK)
        backlog.addOutput("out", b"a" * CHUNK)
        backlog.addOutput("out", b"b")
        first, second = takeAll(backlog)
        backlog.putBack(second)
        backlog.putBack(first)
        backlog.addOutput("out", b"c" * 2 * CHUNK)
        self.assertEqual([one[:1] + one[3:] for one in told(takeAll(backlog))], [(1, CHUNK), (2, 0), (3, 0), (4, 0)])

    def test_stats(self) -> None:
        """Of the figures that nobody has had only the newest wait."""
        backlog = Backlog(1 << 20)
        for number in range(3):
            backlog.addEvent("stats", ProcessStats(uuid="", name="a", state=20, state_name="RUNNING", restarts=number))
            backlog.addOutput("out", b"x")
        parcels = takeAll(backlog)
        self.assertEqual([one.kind for one in parcels], ["out", "out", "stats", "out"])
        self.assertEqual([one.event.restarts for one in parcels if isinstance(one.event, ProcessStats)], [2])

    def test_manyEvents(self) -> None:
        """Of other events 1,000 wait; when the oldest are dropped their numbers are missing."""
        backlog = Backlog(1 << 20)
        for number in range(MOST_EVENTS + 5):
            backlog.addEvent("start", ProcessStart(uuid="", pid=number))
        parcels = takeAll(backlog)
        self.assertEqual((len(parcels), parcels[0].seq, backlog.dropped_events), (MOST_EVENTS, 6, 5))

    def test_owed(self) -> None:
        """What only some have taken is sent once more when it is asked for, and then never again."""
        backlog = Backlog(1 << 20)
        backlog.addOutput("out", b"a")
        for parcel in takeAll(backlog):
            backlog.owe(parcel)
        self.assertEqual((len(backlog), takeAll(backlog)), (0, []))
        backlog.remind()
        again = takeAll(backlog)
        self.assertEqual(told(again), [(1, "out", b"a", 0)])
        backlog.owe(again[0])
        backlog.remind()
        self.assertEqual((takeAll(backlog), backlog.size), ([], 0))

    def test_feeler(self) -> None:
        """What may find nobody is a small piece of output; the rest follows it."""
        backlog = Backlog(1 << 20)
        backlog.addOutput("out", b"abcdef")
        parcels = [backlog.take(2), *takeAll(backlog)]
        self.assertEqual([(one.seq, one.data) for one in parcels if one], [(1, b"ab"), (2, b"cdef")])
