"""A program's events reach whoever wants them, in order, whatever happens on the way."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.node import Node
from nodeset.processes.events import ProcessOutput, ProcessReturn, ProcessStart, ProcessState
from nodeset.processes.output.shipping import HIGH, Shipping
from nodeset.processes.program import Program
from nodeset.testing import Listener, Site

MIB = 1024 * 1024
#: No two places of it look alike within 16 MiB.
BYTES = b"".join(number.to_bytes(4, "big") for number in range(4 * MIB))


class ShippingCase(SynchronousTestCase):
    """A watcher on a site, with what it ships."""

    def build(self, *, start: bool = True, grace: float = 0.0, **options: Any) -> Shipping:
        self.site = Site.forTest(self, start=start)
        self.node = self.site.node(Node, name="watcher")
        program = Program(name="job", command=("job",), **options)
        self.shipping = Shipping(self.node, program, "abc", self.node.clock, grace=grace)
        self.addCleanup(self.shipping.stop)
        self.written = {"out": 0, "err": 0}
        return self.shipping

    def center(self, name: str = "center") -> Listener:
        """Somebody who takes all output; what else happens it hears as well."""
        patterns = [f"process.*.{kind}" for kind in ("out", "err")]
        center = self.site.listen(*patterns, msgClass=ProcessOutput, name=name)
        for kind in ("start", "state", "return"):
            center.subscribe(f"process.*.{kind}")
        self.site.flush()
        return center

    def write(self, count: int, stream: Any = "out") -> None:
        """The program writes so many more of the bytes."""
        at = self.written[stream]
        self.shipping.put(stream, BYTES[at : at + count])
        self.written[stream] += count

    def flood(self, total: int, piece: int = 65536) -> None:
        """It writes all that, as fast as it may."""
        end = self.written["out"] + total
        while self.written["out"] < end:
            self.site.until(lambda: not self.shipping.full, 60)
            self.write(min(piece, end - self.written["out"]))
            if not self.written["out"] % MIB:
                self.site.flush()

    def received(self, *centers: Listener) -> dict[int, tuple[str, Any]]:
        """By number: the kind, the message; whoever of these heard it, the first one counts."""
        found: dict[int, tuple[str, Any]] = {}
        for center in centers:
            for event, message in zip(center.events, center.heard, strict=True):
                seq = message.seq if isinstance(message.seq, int) else message.seq.getValue()
                found.setdefault(seq, (event.rpartition(".")[2], message))
        return dict(sorted(found.items()))

    def checkBytes(self, *centers: Listener) -> int:
        """All that was written is there, or marked as lost at its place to the byte; returns how much was lost."""
        at = {"out": 0, "err": 0}
        lost = 0
        for number, (seq, (kind, message)) in enumerate(self.received(*centers).items(), 1):
            self.assertEqual(seq, number, "no number is missing")
            if kind in at:
                lost += message.dropped
                at[kind] += message.dropped
                self.assertTrue(BYTES.startswith(message.data, at[kind]), f"{kind} at {at[kind]}")
                at[kind] += len(message.data)
        self.assertEqual(at, self.written)
        return lost

    def drain(self, timeout: float = 30.0) -> None:
        self.assertTrue(self.site.wait(self.shipping.drained(timeout), 300))


class OrderTests(ShippingCase):
    """What a center hears of a program."""

    def test_order(self) -> None:
        """Start, output of both streams, return come in this order, numbered from 1, small pieces as one."""
        shipping = self.build()
        center = self.center()
        shipping.put("start", ProcessStart(uuid="", pid=7))
        for _ in range(3):
            self.write(3)
        self.write(1, "err")
        shipping.put("return", ProcessReturn(uuid="", pid=7, code=0))
        self.drain()
        self.assertEqual([kind for kind, _message in self.received(center).values()], ["start", "out", "err", "return"])
        self.assertEqual({str(message.uuid) for message in center.heard}, {"abc"})
        self.assertEqual(self.checkBytes(center), 0)

    def test_wholeLine(self) -> None:
        """A line of 16 MiB comes whole while somebody takes it; the program is slowed, what is held stays small."""
        shipping = self.build()
        center = self.center()
        most = 0
        for _ in range(256):
            self.site.until(lambda: not shipping.full, 60)
            self.write(65536)
            most = max(most, shipping.figures()["held_bytes"])
        shipping.put("return", ProcessReturn(uuid="", pid=7, code=0))
        self.drain()
        self.assertEqual(self.checkBytes(center), 0)
        self.assertLess(most, HIGH + 256 * 1024)
        self.assertEqual(center.events[-1], "process.job.return")

    def test_drop(self) -> None:
        """A program whose output may be dropped is never slowed; the rest arrives with exact marks."""
        shipping = self.build(output="drop", buffer_bytes=MIB)
        center = self.center()
        self.write(10)
        self.drain()
        for _ in range(64):
            self.write(65536)
            self.assertFalse(shipping.full)
        self.drain()
        self.assertGreater(self.checkBytes(center), 2 * MIB)

    def test_twoReaders(self) -> None:
        """When one of two dies with events that it has not had, these come once more as soon as a center says it is here."""
        shipping = self.build()
        first, second = self.center("first"), self.center("second")
        self.write(10)
        self.drain()
        self.site.freeze(second)
        self.write(10)
        self.site.advance(1)
        self.site.kill(second)
        self.site.advance(60)
        self.assertEqual(len(first.heard), 2)
        third = self.center("third")
        shipping.announced()
        self.drain()
        self.site.advance(1)
        self.assertEqual([message.seq for message in third.heard], [2])
        self.assertEqual([message.seq for message in first.heard], [1, 2, 2])
        shipping.announced()
        self.site.advance(1)
        self.assertEqual(len(third.heard), 1)


class NobodyTests(ShippingCase):
    """As long as nobody takes anything."""

    def test_noDispatcher(self) -> None:
        """A program is not slowed when no dispatcher is there; what fits is kept, the rest is marked when one appears."""
        shipping = self.build(start=False, buffer_bytes=MIB)
        shipping.put("start", ProcessStart(uuid="", pid=7))
        for _ in range(64):
            self.write(65536)
            self.assertFalse(shipping.full)
            self.site.advance(0.01)
        self.write(5, "err")
        shipping.put("return", ProcessReturn(uuid="", pid=7, code=0))
        self.assertLess(shipping.figures()["held_bytes"], MIB + 4096)
        self.site.startDispatcher()
        center = self.center()
        self.drain()
        kinds = [kind for kind, _message in self.received(center).values()]
        self.assertEqual([kinds[0], *kinds[-2:]], ["start", "err", "return"])
        self.assertEqual(self.checkBytes(center), shipping.figures()["dropped_bytes"])

    def test_noCenter(self) -> None:
        """What nobody subscribes to is kept; it goes again at once when a center says that it is here."""
        shipping = self.build()
        shipping.put("start", ProcessStart(uuid="", pid=7))
        self.write(20_000)
        self.site.advance(100)
        center = self.center()
        self.assertEqual(center.heard, [])
        shipping.announced()
        self.site.advance(0.1)
        self.assertEqual(self.checkBytes(center), 0)

    def test_plainSubscriber(self) -> None:
        """Somebody who subscribes without a word hears all of it within 15 s; the attempts until then are few."""
        shipping = self.build()
        self.write(1000)
        self.site.advance(300)
        self.assertLess(shipping.figures()["resent"], 30)
        center = self.center()
        self.site.advance(15.1)
        self.assertEqual(self.checkBytes(center), 0)

    def test_grace(self) -> None:
        """Who expects a center may have the program slowed until it is there, for so long at most."""
        shipping = self.build(start=False, grace=2.0)
        room: list[float] = []
        shipping.onRoom(lambda: room.append(self.site.clock.seconds()))
        began = self.site.clock.seconds()
        while not shipping.full:
            self.write(65536)
        self.site.advance(5)
        self.assertEqual([round(when - began, 3) for when in room], [2.0])
        self.assertFalse(shipping.full)

    def test_drained(self) -> None:
        """Who waits for the rest waits as long as something moves, else so many seconds."""
        shipping = self.build()
        self.assertTrue(self.successResultOf(shipping.drained(1)))
        self.write(10)
        lingering = shipping.drained(1)
        self.site.advance(0.9)
        self.assertNoResult(lingering)
        self.site.advance(0.2)
        self.assertFalse(self.successResultOf(lingering))

    def test_refused(self) -> None:
        """A watcher that may not publish says so once, keeps what fits, and goes on trying."""
        self.build()
        center = self.center()
        grant = self.site.grant(subscribe=["center.>"])
        node = self.site.node(Node, name="mute", grant=grant)
        shipping = Shipping(node, Program(name="job", command=("job",)), "abc", node.clock)
        self.addCleanup(shipping.stop)
        with capturedLogs() as said:
            shipping.put("out", b"x")
            self.site.advance(30)
        self.assertEqual((center.heard, shipping.figures()["held"]), ([], 1))
        self.assertGreater(shipping.figures()["resent"], 1)
        warnings = [event for event in said if str(event.get("log_namespace")).startswith("nodeset.processes.output.shipping")]
        self.assertEqual(len(warnings), 1)

    def test_stopped(self) -> None:
        """Stopped, it sends nothing more, holds no timer, and who waits is told."""
        shipping = self.build(start=False)
        self.write(10)
        lingering = shipping.drained(60)
        shipping.stop()
        self.assertFalse(self.successResultOf(lingering))
        self.write(10)
        self.assertEqual(self.shipping.figures()["held"], 1)


class FaultTests(ShippingCase):
    """Nothing is lost unmarked."""

    def test_stall(self) -> None:
        """A bus that stands still slows a flood for `stall_timeout`, then it runs on; what was lost is marked afterwards."""
        shipping = self.build(stall_timeout=5.0, buffer_bytes=4 * MIB)
        center = self.center()
        self.write(10)
        self.drain()
        assert self.site.dispatcher is not None
        self.site.freeze(self.site.dispatcher)
        while not shipping.full:
            self.write(65536)
        began = self.site.clock.seconds()
        self.site.until(lambda: not shipping.full, 60)
        self.assertAlmostEqual(self.site.clock.seconds() - began, 5.0, delta=0.3)
        for _ in range(100):
            self.write(65536)
            self.assertFalse(shipping.full)
        self.site.thaw(self.site.dispatcher)
        self.drain()
        self.assertEqual(self.checkBytes(center), shipping.figures()["dropped_bytes"])
        self.flood(2 * MIB)
        self.drain()
        self.assertGreater(self.checkBytes(center), MIB)

    def test_dispatcherKilled(self) -> None:
        """A dispatcher that is killed in a flood and started again costs not a byte."""
        self.build()
        center = self.center()
        self.flood(2 * MIB)
        self.site.killDispatcher()
        self.write(MIB)
        self.site.advance(3)
        self.site.startDispatcher()
        self.site.until(lambda: center.is_linked, 60)
        self.shipping.announced()
        self.flood(2 * MIB)
        self.shipping.put("return", ProcessReturn(uuid="", pid=7, code=0))
        self.drain()
        self.assertEqual(self.checkBytes(center), 0)

    def test_bothRestarted(self) -> None:
        """A dispatcher that leaves while the center is away gives back what it cannot hand on: nothing overtakes that."""
        self.build()
        center = self.center()
        self.write(10)
        self.drain()
        self.site.kill(center)
        for _ in range(10):
            self.write(10)
            self.site.advance(0.05)
        assert self.site.dispatcher is not None
        leaving = self.site.dispatcher.drain()
        self.site.advance(0.05)
        for _ in range(40):
            self.write(10)
            self.site.advance(0.05)
        self.site.wait(leaving, 60)
        self.site.restartDispatcher()
        second = self.center("center")
        self.drain()
        self.assertEqual(self.checkBytes(center, second), 0)
        numbers = [message.seq for event, message in zip(second.events, second.heard, strict=True)]
        self.assertEqual(numbers, sorted(numbers))

    def test_centerAway(self) -> None:
        """What a center missed comes before what happened later, of whatever kind, once it is back."""
        shipping = self.build()
        first = self.center()
        state = ProcessState(uuid="", name="job", state=20, state_name="RUNNING")
        self.write(10)
        shipping.put("state", state)
        self.drain()
        self.site.kill(first)
        self.site.advance(40)
        self.write(10)
        self.site.advance(1.5)
        second = self.center()
        shipping.put("state", ProcessState(uuid="", name="job", state=40, state_name="STOPPING"))
        self.drain()
        self.assertEqual([message.seq for message in second.heard], [3, 4])

    def test_centerReplaced(self) -> None:
        """A center that comes in the place of one just killed gets what that had not taken before what happens next."""
        shipping = self.build()
        first = self.center()
        self.write(10)
        self.drain()
        self.site.kill(first)
        for _ in range(10):
            self.write(10)
            self.site.advance(0.1)
        second = self.center("center")
        shipping.announced()
        for _ in range(30):
            self.write(10)
            self.site.advance(0.1)
        self.drain()
        self.assertEqual(self.checkBytes(first, second), 0)
        numbers = [message.seq for message in second.heard]
        self.assertEqual(numbers, sorted(numbers))

    def test_centerKilled(self) -> None:
        """A center that is killed in a flood, and another one later, have all of it between them."""
        shipping = self.build()
        first = self.center()
        self.flood(2 * MIB)
        self.write(300_000)
        self.site.freeze(first)
        self.site.advance(0.1)
        self.site.kill(first)
        self.site.advance(40)
        self.write(300_000)
        second = self.center()
        shipping.announced()
        shipping.put("state", ProcessState(uuid="", name="job", state=20, state_name="RUNNING"))
        self.drain()
        self.assertEqual(self.checkBytes(first, second), 0)

    def test_troubles(self) -> None:
        """Whatever happens at random: in the end all that was written was heard, or is marked to the byte."""
        for seed in range(8):
            shipping = self.build(buffer_bytes=MIB, stall_timeout=2.0)
            center = self.center()

            def write() -> None:
                for stream, size in (("out", 200_000), ("err", 7), ("out", 3)):
                    if not self.shipping.full:
                        self.write(size, stream)

            told = self.site.trouble(seed, 30.0, meanwhile=write)
            shipping.announced()
            self.drain(60)
            # What was heard, though nobody could say so, may have been dropped afterwards.
            self.assertLessEqual(self.checkBytes(center), shipping.figures()["dropped_bytes"], told)
