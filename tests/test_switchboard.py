"""The dispatcher's part in calls, without links."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from nodeset.core.batch import FEATURES, NO_HEADERS, Frame
from nodeset.core.calls.callframes import Answer, Ask, Asked, Call, Cancel, Ending, Item, More
from nodeset.core.calls.party import MAX_RUNNING, MAX_WAITING
from nodeset.core.calls.switchboard import MAX_UNREAD
from nodeset.core.exchange import Session
from nodeset.errors import ProtocolError
from tests.exchanges import ExchangeCase, makeHello


def makeCall(number: int, target: str = "calc", method: str = "add", **changes: Any) -> Call:
    """A call of one node."""
    call = Call("", number, 1, target, method, 5_000, 1, False, NO_HEADERS, b"[[],{}]")
    for name, value in changes.items():
        setattr(call, name, value)
    return call


class SwitchCase(ExchangeCase):
    """A caller with a callee."""

    def setUp(self) -> None:
        super().setUp()
        self.switch = self.exchange.calls
        self.me, self.calc = self.enter("me"), self.enter("calc", "add")

    def enter(self, name: str, *methods: str, stream: str = "", features: frozenset[str] = FEATURES) -> Session:
        hello = makeHello(name, stream=stream, methods=list(methods), features=sorted(features))
        return self.exchange.join(name, hello, self.now)[0]

    def says(self, session: Session, *frames: Any) -> None:
        """Frames come from it in one batch."""
        self.switch.arrive(session, list(frames), self.now)

    def hears(self, session: Session, read: bool = True) -> list[Frame]:
        """All that goes to it; with `read` it gives the credit back."""
        found: list[Frame] = [frame for to, frame in self.exchange.takeSends() if to is session and type(frame) is Asked]
        while batch := self.switch.nextBatch(session, self.now)[0]:
            found += batch
            if read:
                self.switch.took(session, 1)
        return found

    def endings(self, session: Session) -> list[tuple[int, Ending]]:
        """What it hears of its calls."""
        return [(frame.id, frame.ending) for frame in self.hears(session) if isinstance(frame, Answer)]

    def answers(self, number: int, ending: Ending = Ending.VALUE) -> Answer:
        return Answer(self.me.stream, number, ending, b"1")


class BoundsTests(SwitchCase):
    def test_busy(self) -> None:
        """A node has 1,000 calls at a time; 10,000 more wait for it; what is over is refused at once, or goes elsewhere."""
        total = MAX_RUNNING + MAX_WAITING
        self.says(self.me, *(makeCall(number) for number in range(1, MAX_RUNNING + 1)))
        self.assertEqual(len(self.hears(self.calc)), MAX_RUNNING)
        self.says(self.me, *(makeCall(number) for number in range(MAX_RUNNING + 1, total + 2)))
        self.assertEqual(self.hears(self.calc), [])
        self.assertEqual(self.endings(self.me), [(total + 1, Ending.BUSY)])
        twin = self.enter("calc", "add", stream="twin")
        self.says(self.me, makeCall(total + 2))
        self.assertEqual(len(self.hears(twin)), 1)
        self.says(self.calc, self.answers(1))
        self.assertEqual(len(self.hears(self.calc)), 1)

    def test_heavy(self) -> None:
        """So it is with bytes: 8 MiB at a time, 8 MiB more that wait."""
        calls = [makeCall(number, payload=b"x" * (1 << 20)) for number in range(1, 18)]
        self.says(self.me, *calls[:8])
        self.assertEqual(len(self.hears(self.calc)), 8)
        self.says(self.me, *calls[8:])
        self.assertEqual(self.hears(self.calc), [])
        self.assertEqual(self.endings(self.me), [(17, Ending.BUSY)])

    def test_window(self) -> None:
        """Four batches may be under way to who does not read; nothing of them is lost with the link."""
        self.says(self.me, *(makeCall(number, payload=b"x" * 200_000) for number in range(1, 11)))
        sent = self.hears(self.calc, read=False)
        self.assertEqual(len(sent), 4)
        self.exchange.lost(self.calc, self.now)
        self.enter("calc", "add")
        again = self.hears(self.calc)
        calls = [(frame.id, frame.again) for frame in again if isinstance(frame, Call)]
        self.assertEqual(calls[:5], [(1, True), (2, True), (3, True), (4, True), (5, False)])

    def test_unread(self) -> None:
        """8 MiB of answers wait for who does not read; then the oldest are dropped, and counted."""
        self.says(self.me, *(makeCall(number) for number in range(1, 16)))
        self.hears(self.calc)
        for number in range(1, 16):
            self.says(self.calc, Answer(self.me.stream, number, Ending.VALUE, b"x" * (1 << 20)))
        dropped = self.exchange.answers.counters["answers_dropped"]
        self.assertGreater(dropped, 0)
        heard = self.hears(self.me)
        self.assertLessEqual(sum(len(frame.payload) for frame in heard if isinstance(frame, Answer)), MAX_UNREAD)
        self.assertEqual([frame.id for frame in heard if isinstance(frame, Answer)], list(range(dropped + 1, 16)))

    def test_late(self) -> None:
        """What waited until its time was over is never sent; what was sent is forgotten."""
        self.says(self.me, *(makeCall(number) for number in range(1, MAX_RUNNING + 3)))
        self.hears(self.calc)
        self.now += 6
        self.switch.sweep(self.now)
        self.assertEqual(self.endings(self.me), [(number, Ending.TIMED_OUT) for number in (MAX_RUNNING + 1, MAX_RUNNING + 2)])
        self.assertEqual(self.hears(self.calc), [])
        self.switch.sweep(self.now)
        self.assertEqual(self.switch.underWay, 0)
        self.says(self.calc, self.answers(1))
        self.assertEqual(self.endings(self.me), [])

    def test_cancelled(self) -> None:
        """Calls that are cancelled while they wait leave nothing behind."""
        self.says(self.me, *(makeCall(number) for number in range(1, MAX_RUNNING + 1)))
        self.hears(self.calc)
        for number in range(2_000, 30_000):
            self.says(self.me, makeCall(number))
            self.switch.said(self.me, Cancel("", number), self.now)
        self.assertEqual(self.hears(self.me), [])
        party = self.switch._parties[self.calc.stream]
        self.assertLess(len(party.waiting), 200)


class StrangeTests(SwitchCase):
    def test_tooMuch(self) -> None:
        """What is over a limit costs the link."""
        large = b"x" * ((1 << 20) + 1)
        for frame in (
            makeCall(1, payload=large),
            Answer(self.me.stream, 1, Ending.VALUE, large),
            Item(self.me.stream, 1, 0, [large]),
        ):
            self.assertRaises(ProtocolError, self.says, self.me, frame)
        self.switch.said(self.me, Ask("", [(1, 60_000)]), self.now)
        self.assertRaises(ProtocolError, self.switch.said, self.me, Ask("", [(1, 60_000)]), self.now)

    def test_forged(self) -> None:
        """Nobody answers, streams, cancels for another; nobody calls as another."""
        thief = self.enter("thief")
        self.says(self.me, makeCall(1, caller=thief.stream, by="somebody"))
        call = self.hears(self.calc)[0]
        assert isinstance(call, Call)
        self.assertEqual((call.caller, call.by), (self.me.stream, self.me.by))
        self.says(thief, self.answers(1), Item(self.me.stream, 1, 0, [b"1"]))
        for frame in (Cancel(self.me.stream, 1), More(self.me.stream, 1, 5)):
            self.switch.said(thief, frame, self.now)
        self.assertEqual((self.hears(self.me), self.exchange.takeSends()), ([], []))
        self.says(self.calc, self.answers(1))
        self.assertEqual(self.endings(self.me), [(1, Ending.VALUE)])

    def test_claimed(self) -> None:
        """Who says that he has the calls of others from before a restart answers none that is made now."""
        hello = makeHello("thief", features=sorted(FEATURES), boot="before", calls=[(self.me.stream, [(0, 1 << 60)])])
        thief = self.exchange.join("thief", hello, self.now)[0]
        self.says(self.me, makeCall(1))
        self.hears(self.calc)
        self.says(thief, self.answers(1), self.answers(2))
        self.assertEqual(self.hears(self.me), [])
        self.says(self.calc, self.answers(1))
        self.assertEqual(self.endings(self.me), [(1, Ending.VALUE)])

    def test_manyClaims(self) -> None:
        """However many ranges of calls are claimed, to ask for calls takes no time to speak of."""
        ranges = [(number, number) for number in range(1_000_000, 1_032_768, 2)]
        hello = makeHello("thief", features=sorted(FEATURES), boot="before", calls=[(self.me.stream, ranges)])
        self.exchange.join("thief", hello, self.now)
        looked = 0

        class Counting(list[tuple[int, int]]):
            def __getitem__(self, index: Any) -> Any:
                nonlocal looked
                looked += 1
                return list.__getitem__(self, index)

            def __iter__(self) -> Any:
                nonlocal looked
                looked += len(self)
                return list.__iter__(self)

        claims = self.switch._parties["thief".ljust(16, "-")].claims
        claims[self.me.stream] = Counting(claims[self.me.stream])
        self.switch.said(self.me, Ask("", [(1, 1_000)]), self.now)
        self.assertLess(looked, 50_000)

    def test_emptyAsks(self) -> None:
        """To ask for nothing costs the link as well, if it is done again and again."""
        with self.assertRaises(ProtocolError):
            for _ in range(200_000):
                self.switch.said(self.me, Ask("", []), self.now)

    def test_unreadOwn(self) -> None:
        """Of calls whose answers were dropped, since their caller does not read, nothing is kept."""
        self.switch.desk.offer("hello", lambda session: "x" * 1000)
        for number in range(1, 20_001):
            self.says(self.me, makeCall(number, target="", method="hello"))
        self.assertGreater(self.exchange.answers.counters["answers_dropped"], 10_000)
        self.assertLess(len(self.switch._parties[self.me.stream].ways), 10_000)

    def test_manyGathers(self) -> None:
        """In one batch a node calls so many others at most, however often it calls all of a name; in the next one again."""
        for number in range(700):
            self.enter("crowd", "add", stream=f"crowd{number:011}")
        calls = [makeCall(number, target="crowd", mode=0) for number in range(1, 201)]
        self.says(self.me, *calls)
        told = sum(len(frame.callees) for to, frame in self.exchange.takeSends() if isinstance(frame, Asked))
        self.assertLess(told, 70_000)
        busy = [number for number, ending in self.endings(self.me) if ending is Ending.BUSY]
        self.assertEqual(busy, list(range(94, 201)))
        self.says(self.me, makeCall(300, target="crowd", mode=0))
        self.assertEqual(self.endings(self.me), [])

    def test_headers(self) -> None:
        """The headers of calls that wait count as their arguments do."""
        headers = Raw(b"x" * 8000)
        self.says(self.me, *(makeCall(number, headers=headers) for number in range(1, 4_001)))
        self.assertIn(Ending.BUSY, [ending for _number, ending in self.endings(self.me)])

    def test_silentVersion(self) -> None:
        """A node that does not speak calls is not called."""
        self.enter("old", features=frozenset({"events"}))
        self.says(self.me, makeCall(1, target="old"))
        self.assertEqual(self.endings(self.me), [(1, Ending.NO_NODE)])

    def test_prefers(self) -> None:
        """Of several nodes of a name those are called that have the method."""
        other = self.enter("calc", "other", stream="other")
        self.says(self.me, *(makeCall(number) for number in range(1, 5)))
        self.assertEqual((len(self.hears(self.calc)), self.hears(other)), (4, []))
        self.says(self.me, makeCall(9, method="other"))
        self.assertEqual(len(self.hears(other)), 1)
