"""What a center makes of events, without a bus: lines, order, rows."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.center.continuity import Continuity, Place
from nodeset.processes.center.ledger import SIZE, SLOTS, Ledger
from nodeset.processes.center.lines import isBegun, lineOf, lossLine
from nodeset.processes.center.table import COLUMNS, MISSED, Table
from nodeset.processes.events import (
    ProcessOutput,
    ProcessReturn,
    ProcessSignal,
    ProcessStart,
    ProcessState,
    ProcessStats,
)

#: What every line of the log is (N-20).
LINE = re.compile(r"^\[.+, '(start|out|err|state|ping|return|signal)', .+\]$")


class LineTests(SynchronousTestCase):
    def test_transcript(self) -> None:
        """The log reads as the original's: who, what, and its data."""
        told = [
            lineOf("hibob", "start", ProcessStart(uuid="u", seq=1, pid=12998)),
            lineOf("hibob", "out", ProcessOutput(uuid="u", seq=2, data=b"bob is your uncle\n")),
            lineOf("hibob", "return", ProcessReturn(uuid="u", seq=3, pid=12998, code=0)),
            lineOf("hibob", "signal", ProcessSignal(uuid="u", seq=4, pid=12998, code=-9)),
        ]
        self.assertEqual(
            b"".join(told).decode("ascii").splitlines(),
            [
                "['hibob', 'start', 12998]",
                r"['hibob', 'out', 'bob is your uncle\n']",
                "['hibob', 'return', 0]",
                "['hibob', 'signal', -9]",
            ],
        )

    def test_bytes(self) -> None:
        """Every byte is written as Python 2 wrote it, so that a line is ASCII and reads back as the same bytes."""
        for data in (bytes(range(256)), b"", b"'", b'"', b"'\"", b"\\x88\x88\n'", b"a\r\n\x1b[2J"):
            line = lineOf("p", "out", ProcessOutput(uuid="u", data=data))
            self.assertEqual(line, f"['p', 'out', {data.decode('latin-1')!a}]\n".encode("ascii"))
            self.assertEqual(line.count(b"\n"), 1)
            self.assertRegex(line.decode("ascii")[:-1], LINE)

    def test_marks(self) -> None:
        """What was lost before an event stands in its line as a fourth element."""
        line = lineOf("p", "err", ProcessOutput(uuid="u", data=b"x", dropped=7), missing=2)
        self.assertEqual(line, b"['p', 'err', 'x', {'dropped': 7, 'missing': 2}]\n")
        line = lineOf("p", "return", ProcessReturn(uuid="u", pid=1, code=0), late=3)
        self.assertEqual(line, b"['p', 'return', 0, {'late': 3}]\n")
        for each in (line, lossLine("center", 3, 99, "No space left on device")):
            self.assertRegex(each.decode("ascii")[:-1], LINE)

    def test_state(self) -> None:
        """State and figures are one line each, in which no text of a program can break anything."""
        msg = ProcessStats(uuid="u", seq=1, name="p", state=20, state_name="RUNNING", reason="a\n]\x1b\u20ac", pid=3)
        line = lineOf("p", "stats", msg)
        self.assertEqual(line.count(b"\n"), 1)
        self.assertTrue(line.startswith(b"['p', 'ping', {'uuid': 'u', 'name': 'p', 'state': 20,"), line)
        self.assertIn(rb"'a\n]\x1b\u20ac'", line)
        self.assertTrue(lineOf("p", "state", msg).startswith(b"['p', 'state', {"))

    def test_begun(self) -> None:
        """The beginning of a line of ours is known as that; the end of somebody else's file is not."""
        self.assertTrue(isBegun(b"['hibob', 'out', 'bob is y"))
        for tail in (b"secret: x", b"['a b', 'out', 'x", b"['hibob', 'xyz', 1", b""):
            self.assertFalse(isBegun(tail), tail)


class ContinuityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.block = bytearray(SIZE)
        self.begin()

    def begin(self) -> None:
        """As a process that finds what an earlier one had noted."""
        self.block = bytearray(bytes(self.block))
        self.ledger = Ledger(self.block)
        self.found = Continuity(self.ledger)

    def take(self, *seqs: int, key: str = "u s") -> list[Place | None]:
        places = []
        for seq in seqs:
            places.append(self.found.take(key, seq))
            if places[-1] is not None and seq > self.ledger.last(key):
                self.ledger.note(key, seq)
        return places

    def test_once(self) -> None:
        """An event that comes twice is known; one without a number never is."""
        self.assertEqual(self.take(1, 2, 2, 1, 3, 0, 0), [Place(), Place(), None, None, Place(), Place(), Place()])
        self.assertEqual(self.found.duplicates, 2)

    def test_gap(self) -> None:
        """What is missing is said at the next event; what comes after all is said to be late, once."""
        self.assertEqual(self.take(1, 5), [Place(), Place(missing=3)])
        self.assertEqual(self.found.missing, 3)
        self.assertEqual(self.take(3, 3, 2, 4, 6), [Place(late=2), None, Place(late=3), Place(late=1), Place()])
        self.assertEqual(self.found.missing, 0)

    def test_fromTheMiddle(self) -> None:
        """Of a program that was never heard of, all before the first event that comes are missing."""
        self.assertEqual(self.take(4), [Place(missing=3)])

    def test_killedBetween(self) -> None:
        """What was written when its process was killed is known, whether or not that had come to note it."""
        self.take(1, 2)
        for size, places in ((99, [Place()]), (100, [None]), (250, [None])):
            self.ledger.intend("u s", 3, 7, 100)
            self.begin()
            self.assertEqual(self.ledger.settle(7, size), size >= 100)
            self.assertFalse(self.ledger.settle(7, size), "once")
            self.assertEqual([self.found.take("u s", 3)], places)
            self.ledger.note("u s", 2)
        self.ledger.intend("new s", 1, 7, 100)
        self.begin()
        self.assertFalse(self.ledger.settle(8, 200), "another file")
        self.assertTrue(self.ledger.settle(7, 200))
        self.assertEqual((self.ledger.last("new s"), self.ledger.last("u s")), (1, 2))

    def test_strangers(self) -> None:
        """Who publishes under another's uuid, in another stream, makes nothing of it look as if it had come before."""
        self.take(1, 2)
        self.take(10**18, key="u other")
        self.assertEqual(self.take(3), [Place()])

    def test_madeUp(self) -> None:
        """Whoever makes up numbers takes neither memory nor time; what is missing in all remains a number that can be told."""
        self.take(2**62, *range(2, 2000, 2))
        self.assertEqual(len(self.found._gaps["u s"]), 64)
        self.assertEqual(self.take(1999), [Place(late=2**62 - 1999)])
        for key in ("a s", "b s", "c s"):
            self.take(2**63 - 1, key=key)
        self.assertLess(self.found.missing, 2**63)

    def test_restart(self) -> None:
        """What an earlier process had noted when it was killed is known to the next one."""
        self.take(1, 2, 3)
        self.take(1, key="v s")
        self.begin()
        self.assertEqual(self.take(3, 4, 6), [None, Place(), Place(missing=1)])
        self.assertEqual(self.take(1, 2, key="v s"), [None, Place()])

    def test_bounded(self) -> None:
        """Of too many programs those are forgotten that were silent for longest; gaps are bounded as well."""
        ledger = self.ledger
        for number in range(SLOTS):
            ledger.note(str(number), 7)
        ledger.note("0", 8)
        ledger.note("one more", 1)
        self.assertEqual([ledger.last(key) for key in ("0", "1", "2", "one more")], [8, 0, 7, 1])
        for number in range(3000):
            self.found.take(f"gap {number}", 3)
        for number in range(1, 200):
            self.take(2 * number)
        self.assertLessEqual(len(self.found._gaps), 1024)
        self.assertLessEqual(max(map(len, self.found._gaps.values())), 64)

    def test_nonsense(self) -> None:
        """A block that is no ledger is made an empty one."""
        ledger = Ledger(bytearray(b"x" * SIZE))
        self.assertEqual(ledger.last("u s"), 0)
        ledger.note("u s", 3)
        self.assertEqual(ledger.last("u s"), 3)


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = Table("c1", most=5)

    def tell(self, uuid: str, now: float, stream: str = "s", kind: type[ProcessState] = ProcessState, **fields: Any) -> None:
        about: dict[str, Any] = {"name": "p", "state": 20, "state_name": "RUNNING", "pid": 7, "interval": 10.0, **fields}
        self.table.heard(str(about["name"]), kind(uuid=uuid, **about), stream, now)

    def rows(self, now: float) -> list[dict[str, Any]]:
        return list(self.table.rows(now))

    def names(self, now: float) -> list[str]:
        return [row["name"] for row in self.rows(now)]

    def test_columns(self) -> None:
        """Every row has the columns of the original's `ps`, in its order, then all figures there are."""
        self.tell("u", 0.0, cmdline=["sleep", "10"])
        (row,) = self.rows(1.0)
        self.assertEqual(tuple(row), COLUMNS)
        first = "center uuid name pid state_name cmdline cpu_percent memory_percent username uptime"
        self.assertEqual(list(row)[:10], first.split())
        self.assertTrue({"state", "ionice_class", "gid_saved", "terminal", "ping_time", "interval"} <= row.keys())
        self.assertEqual((row["center"], row["cmdline"], row["cpu_percent"]), ("c1", ["sleep", "10"], None))

    def test_figures(self) -> None:
        """A change of state leaves the last figures standing, but not those of another process."""
        self.tell("u", 0.0, kind=ProcessStats, cpu_percent=3.5, username="ann")
        self.tell("u", 1.0)
        self.assertEqual(self.rows(1.0)[0]["cpu_percent"], 3.5)
        self.tell("u", 2.0, pid=8)
        self.assertEqual((self.rows(2.0)[0]["cpu_percent"], self.rows(2.0)[0]["pid"]), (None, 8))

    def test_uptime(self) -> None:
        """Who runs has run for longer at each look, until nobody knows; who has ended has not."""
        self.tell("u", 0.0, uptime=2.0)
        self.tell("waits", 0.0, name="q", pid=None, state=30, state_name="BACKOFF")
        self.tell("over", 0.0, name="r", state=100, state_name="EXITED", uptime=3.0)
        self.assertEqual([row["uptime"] for row in self.rows(1.5)], [3.5, 0.0, 3.0])
        self.assertEqual([row["uptime"] for row in self.rows(31.0)], [2.0, 0.0, 3.0])

    def test_unknown(self) -> None:
        """Who misses three intervals is UNKNOWN, with what is known; who is heard again is not (N-35)."""
        self.tell("u", 0.0)
        self.tell("quiet", 0.0, name="q", interval=0.0)
        self.assertEqual([row["state_name"] for row in self.rows(MISSED * 10.0)], ["RUNNING", "RUNNING"])
        late = self.rows(31.0)[0]
        self.assertEqual((late["state"], late["state_name"]), (1000, "UNKNOWN"))
        self.assertEqual(late["reason"], "nothing was heard of it for 31 s, it was RUNNING")
        self.assertEqual(self.table.counts(31.0), {"UNKNOWN": 1, "RUNNING": 1})
        self.tell("u", 40.0)
        self.assertEqual(self.rows(41.0)[0]["state_name"], "RUNNING")

    def test_over(self) -> None:
        """Who is over is listed for an hour, never UNKNOWN."""
        self.tell("u", 0.0, state=100, state_name="EXITED", return_code=7)
        self.assertEqual((self.rows(3599.0)[0]["state_name"], self.rows(3599.0)[0]["return_code"]), ("EXITED", 7))
        self.assertEqual(self.rows(3601.0), [])

    def test_bounded(self) -> None:
        """When there are too many rows, those that are over go first, then those unheard for longest."""
        for number in range(5):
            self.tell(f"u{number}", float(number), name=f"p{number}")
        self.tell("u0", 6.0, name="p0")
        self.tell("u3", 7.0, name="p3", state=100, state_name="EXITED")
        self.tell("u5", 8.0, name="p5")
        self.assertEqual(self.names(8.0), ["p0", "p1", "p2", "p4", "p5"])
        self.tell("u6", 9.0, name="p6")
        self.assertEqual(self.names(9.0), ["p0", "p2", "p4", "p5", "p6"])
        self.assertEqual(self.table.evicted, 2)

    def test_hugeTexts(self) -> None:
        """Texts and lists of a hostile program are cut."""
        self.tell("u", 0.0, reason="x" * 10**6, cmdline=["y" * 1000] * 1000)
        (row,) = self.rows(0.0)
        self.assertLess(len(str(row)), 10_000)

    def test_muchText(self) -> None:
        """Rows that are all as large as one may be make room for others long before there are too many of them."""
        self.table = Table("c1", weight=20_000)
        for number in range(20):
            self.tell(f"u{number}", float(number), name=f"p{number}", cmdline=["y"] * 10_000)
        self.assertIn("p19", self.names(20.0))
        self.assertLess(sum(len(str(row)) for row in self.rows(20.0)), 20_000)
        for number in range(20):
            self.tell(f"u{number}", 30.0, name=f"p{number}", state=100, state_name="EXITED", cmdline=[])
        self.assertEqual(len(self.names(30.0)), 20)
        self.names(4000.0)
        self.assertEqual(self.table._weight, 0)

    def test_strangers(self) -> None:
        """Who tells of another's uuid changes nothing while that one is heard; later he may be its next watcher."""
        self.tell("u", 0.0)
        self.tell("u", 1.0, stream="other", state=100, state_name="EXITED")
        self.assertEqual((self.rows(1.0)[0]["state_name"], self.table.foreign), ("RUNNING", 1))
        self.tell("u", 40.0, stream="other", state=30, state_name="BACKOFF")
        self.assertEqual(self.rows(40.0)[0]["state_name"], "BACKOFF")
