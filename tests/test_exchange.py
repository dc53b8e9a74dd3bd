"""The rules of a dispatcher: who is there, what goes to whom, who is told what became of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import (
    MAX_RANGES,
    MAX_REASON,
    MAX_SEQUENCE,
    NO_HEADERS,
    RAW_HEADERS,
    Confirm,
    Done,
    Events,
    Hello,
    Level,
    Mode,
    Outcome,
    Result,
    Subbed,
    pack,
    unpack,
)
from nodeset.core.exchange import Exchange, Send, Session
from nodeset.errors import ProtocolError, Refused


def _hello(name: str, *subscriptions: str | tuple[str, bool], host: str = "localhost", stream: str = "") -> Hello:
    wanted = [(one, True) if isinstance(one, str) else one for one in subscriptions]
    return Hello(stream=(stream or name).ljust(16, "-"), name=name, host=host, subscriptions=wanted)


def _run(first: int, payloads: int | list[bytes] = 1, event: str = "ev", mode: Mode = Mode.ALL, **changes: Any) -> Events:
    if isinstance(payloads, int):
        payloads = [str(first + index).encode() for index in range(payloads)]
    lengths = [len(payload) for payload in payloads]
    run = Events("", first, mode, False, event, first, Level.DELIVERED, lengths, NO_HEADERS, b"".join(payloads))
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def _events(sends: list[Send]) -> list[tuple[str, list[tuple[int, bytes]]]]:
    """Who gets which events, with their numbers."""
    out: list[tuple[str, list[tuple[int, bytes]]]] = []
    for session, frame in sends:
        if isinstance(frame, Events):
            at, events = 0, []
            for index, length in enumerate(frame.lengths):
                events.append((frame.first + index, frame.payloads[at : at + length]))
                at += length
            assert at == len(frame.payloads)
            out.append((session.name, events))
    return out


def _to(sends: list[Send]) -> list[str]:
    return [name for name, _events in _events(sends)]


def _done(sends: list[Send]) -> list[tuple[str, Done]]:
    return [(session.name, frame) for session, frame in sends if isinstance(frame, Done)]


class Case(SynchronousTestCase):
    """An exchange at the site `site`, with a publisher."""

    def setUp(self) -> None:
        self.exchange = Exchange("site")
        self.publisher = self.join("pub")

    def join(self, name: str, *subscriptions: str | tuple[str, bool], host: str = "localhost", peer: str = "") -> Session:
        session, refused, sends = self.exchange.join(peer or f"tub-{name}", _hello(name, *subscriptions, host=host))
        self.assertEqual((refused, sends), ([], []))
        return session

    def publish(self, run: Events, session: Session | None = None) -> list[Send]:
        return self.exchange.publish(session or self.publisher, run)

    def confirm(self, session: Session, first: int, last: int, outcome: Outcome = Outcome.OK, reason: str = "") -> list[Done]:
        sends = self.exchange.confirm(session, Confirm(self.publisher.stream, [(first, last)], outcome, reason))
        return [done for _name, done in _done(sends)]

    def assertEmpty(self) -> None:
        """Nobody is left, neither is anything of theirs."""
        for session in list(self.exchange.sessions.values()):
            self.exchange.leave(session)
        self.assertEqual((self.exchange.sessions, len(self.exchange.table), len(self.exchange.pending)), ({}, 0, 0))
        self.assertEqual((self.exchange.table._exact, self.exchange.table._patterns.branches), ({}, {}))


class JoinTests(Case):
    def test_foreignStream(self) -> None:
        """A stream is bound to the TubID that opened it first: nobody else can take it over, nor learn it from the refusal."""
        victim = self.join("victim", "ev")
        error = self.assertRaises(Refused, self.exchange.join, "tub-thief", _hello("victim"))
        self.assertNotIn(victim.stream, str(error))
        self.assertIs(self.exchange.sessions[victim.stream], victim)
        self.assertEqual(_to(self.publish(_run(1))), ["victim"])

    def test_tooMany(self) -> None:
        """One node over the limit is refused; one that comes back is not one more, one that leaves makes room."""
        exchange = Exchange(max_nodes=2)
        first, *_ = exchange.join("a", _hello("a"))
        exchange.join("b", _hello("b"))
        self.assertIn("2 nodes", str(self.assertRaises(Refused, exchange.join, "c", _hello("c"))))
        first, *_ = exchange.join("a", _hello("a"))
        exchange.leave(first)
        exchange.join("c", _hello("c"))

    def test_badNames(self) -> None:
        """A node whose name or host could not be part of an address is refused; an older link of it stays."""
        old = self.join("old", "ev")
        for name, host in (("", "h"), ("a/b", "h"), ("a@b", "h"), ("n", ""), ("n", "h\n"), ("x" * 256, "h")):
            hello = _hello("old")
            hello.name, hello.host = name, host
            self.assertRaises(Refused, self.exchange.join, "tub-old", hello)
        self.assertIs(self.exchange.sessions[old.stream], old)
        self.assertEqual(_to(self.publish(_run(1))), ["old"])

    def test_sameName(self) -> None:
        """Two nodes may bear one name, even from one Tub: an event for that name reaches both."""
        self.join("pub2")
        for stream in ("one", "two"):
            self.exchange.join("tub", _hello("nodeAbc", "ev", stream=stream))
        self.assertEqual(_to(self.publish(_run(1, event="nodeAbc@localhost/ev"))), ["nodeAbc", "nodeAbc"])

    def test_hello(self) -> None:
        """A hello subscribes to all at once; what is refused comes back with its reason, the rest is active."""
        hello = _hello("n", "a", "b//c", "other@localhost/d", ("e.*", False))
        session, refused, _sends = self.exchange.join("tub-n", hello)
        self.assertEqual([pattern for pattern, _why in refused], ["b//c", "other@localhost/d"])
        self.assertTrue(all(why for _pattern, why in refused))
        self.assertEqual(list(session.entries), ["a", "e.*"])

    def test_replaced(self) -> None:
        """A new link of a stream replaces the old one: old subscriptions go, what was not answered is lost to it."""
        old = self.join("n", "ev", "old.>")
        self.publish(_run(1, 3))
        session, _refused, sends = self.exchange.join("tub-n", _hello("n", "new"))
        ((name, done),) = _done(sends)
        self.assertEqual(
            (name, done.ranges, done.result, done.matched, done.delivered), ("pub", [(1, 3)], Result.UNDELIVERED, 1, 0)
        )
        self.assertIn("new link", done.reason)
        self.assertEqual([_to(self.publish(_run(4))), _to(self.publish(_run(5, event="new")))], [[], ["n"]])
        self.assertEqual(self.exchange.leave(old), [])
        self.assertIs(self.exchange.sessions[session.stream], session)
        self.confirm(session, 5, 5)
        self.assertEmpty()


class SubscribeTests(Case):
    def test_alias(self) -> None:
        """A node may subscribe under its own label and host, nobody else's."""
        node = self.join("n", host="h")
        for pattern in ("ev", "n@localhost/a", "n@h/b", "h/c", "site/d", "*@site/e.>"):
            self.assertEqual(self.exchange.subscribe(node, pattern, True), Subbed(pattern, True))
        for pattern in ("x@localhost/ev", "x@h/ev", "n@k/ev", "k/ev", "a//b", "", "ev\n", "a*"):
            answer = self.exchange.subscribe(node, pattern, True)
            self.assertEqual((answer.pattern, answer.active), (pattern, False))
            self.assertTrue(answer.refused)
        self.assertEqual(len(node.entries), 6)

    def test_longRefusal(self) -> None:
        """Even the longest refusal fits into a frame, so that it costs a subscription but not the link."""
        node = self.join("n" * 255, host="h" * 255)
        pattern = f"{'x' * 255}@{'y' * 255}/{'é' * 127}"
        for wrong in (pattern, "\U000e0001" * 800, "/" * 800):
            answer = self.exchange.subscribe(node, wrong, True)
            self.assertEqual(unpack(pack([answer])), [answer])
            self.assertLessEqual(len(answer.refused), MAX_REASON)

    def test_unsubscribe(self) -> None:
        """Unsubscribing ends one subscription and no other; doing it again, or without one, is answered the same."""
        node = self.join("n", "ev", "ev.*")
        self.assertEqual(self.exchange.unsubscribe(node, "ev"), Subbed("ev", False))
        self.assertEqual(self.exchange.unsubscribe(node, "ev"), Subbed("ev", False))
        self.assertEqual(self.exchange.unsubscribe(node, "never\n"), Subbed("never\n", False))
        self.assertEqual([_to(self.publish(_run(1))), _to(self.publish(_run(2, event="ev.x")))], [[], ["n"]])

    def test_spellings(self) -> None:
        """Two spellings of one address are two subscriptions for one event: the route stays until both are gone."""
        node = self.join("n", "ev", "/ev", "n@localhost/ev")
        self.assertEqual(_to(self.publish(_run(1))), ["n"])
        self.exchange.unsubscribe(node, "ev")
        self.exchange.unsubscribe(node, "/ev")
        self.assertEqual(_to(self.publish(_run(2))), ["n"])
        self.exchange.unsubscribe(node, "n@localhost/ev")
        self.assertEqual(_to(self.publish(_run(3))), [])
        self.join("m", "x.y.*", "localhost/x.y.*", "z", "/z")
        self.assertEmpty()

    def test_own(self) -> None:
        """An autosubscribed route never gets its own node's events, an explicit subscription does; others' events both get."""
        auto = self.join("auto", ("ev", False))
        explicit = self.join("explicit", ("ev", True))
        self.assertEqual(_to(self.publish(_run(1), auto)), ["explicit"])
        self.assertEqual(_to(self.publish(_run(1), explicit)), ["auto", "explicit"])
        self.assertEqual(_to(self.publish(_run(1))), ["auto", "explicit"])
        self.assertEqual(_to(self.publish(_run(2, mode=Mode.ONE), auto)), ["explicit"])

    def test_ownAlone(self) -> None:
        """Who alone catches what it publishes has published to nobody."""
        auto = self.join("auto", ("ev", False))
        for first, mode in enumerate(Mode, 1):
            ((_name, done),) = _done(self.publish(_run(first, mode=mode), auto))
            self.assertEqual((done.result, done.matched, done.delivered, done.dropped), (Result.OK, 0, 0, 0))

    def test_ownTwice(self) -> None:
        """A node that catches an event and subscribes to it explicitly gets its own, in whatever order and spelling."""
        for number, wishes in enumerate(
            ([("ev", False), ("/ev", True)], [("/ev", True), ("ev", False)], [("ev", False), (">", True)])
        ):
            node = self.join(f"n{number}", *wishes)
            self.assertEqual(_to(self.publish(_run(1), node)), [node.name])
            explicit = next(pattern for pattern, own in wishes if own)
            self.exchange.unsubscribe(node, explicit)
            self.assertEqual(_to(self.publish(_run(2), node)), [])
            self.exchange.leave(node)
        node = self.join("again", ("ev", False))
        self.exchange.subscribe(node, "ev", True)
        self.assertEqual(_to(self.publish(_run(1), node)), ["again"])


class PublishTests(Case):
    def test_unmatched(self) -> None:
        """An event that nobody subscribes to is answered at once: nobody matched."""
        for first, mode in enumerate(Mode, 1):
            self.assertEqual(
                self.publish(_run(first, mode=mode)), [(self.publisher, Done([(first, first)], Result.OK, 0, 0, 0))]
            )
        self.assertEqual(len(self.exchange.pending), 0)

    def test_all(self) -> None:
        """Mode all: each that matches gets the whole run, once, with the publisher's stream on it, whatever the run said."""
        self.join("a", "ev", "*", ">")
        self.join("b", "ev")
        self.join("c", "other")
        sends = self.publish(_run(1, 3, stream="forged"))
        expected = [(1, b"1"), (2, b"2"), (3, b"3")]
        self.assertEqual(_events(sends), [("a", expected), ("b", expected)])
        self.assertTrue(all(isinstance(run, Events) and run.stream == self.publisher.stream for _session, run in sends))

    def test_refused(self) -> None:
        """A publisher that sends a pattern, no address, or too large an event loses its link; nothing was routed."""
        self.join("a", ">")
        small = Exchange(max_event=10)
        session, *_ = small.join("tub", _hello("p"))
        self.assertRaises(ProtocolError, small.publish, session, _run(1, [b"x" * 11]))
        for event in ("*", "a.>", "a//b", "", "n@h", "e" * 256, "e\x00"):
            error = self.assertRaises(ProtocolError, self.publish, _run(1, event=event))
            self.assertTrue(str(error).isprintable())
        self.assertEqual((self.exchange.counters["published"], len(self.exchange.pending)), (0, 0))

    def test_backwards(self) -> None:
        """Numbers only grow, gaps are fine: what comes twice or goes back is refused, so no answer can be for two events."""
        self.publish(_run(1, 5))
        self.publish(_run(10, 5))
        for first in (14, 10, 6, 1, 0):
            self.assertIn("14", str(self.assertRaises(ProtocolError, self.publish, _run(first))))
        self.publish(_run(15))

    def test_filters(self) -> None:
        """A node or host in the address narrows who gets the event."""
        self.join("a", "ev", host="h")
        self.join("b", "ev", host="h")
        self.join("a2", "ev", host="k")
        for first, (address, expected) in enumerate(
            [
                ("ev", ["a", "b", "a2"]),
                ("site/ev", ["a", "b", "a2"]),
                ("h/ev", ["a", "b"]),
                ("a@h/ev", ["a"]),
                ("a@/ev", ["a"]),
                ("b@k/ev", []),
                ("nobody@/ev", []),
            ],
            1,
        ):
            self.assertEqual(_to(self.publish(_run(first, event=address))), expected, address)

    def test_accepted(self) -> None:
        """Level accepted is answered at once with who matched; an answer that comes yet is passed over."""
        node = self.join("a", "ev")
        self.join("b", "ev")
        sends = self.publish(_run(1, 2, level=Level.ACCEPTED))
        self.assertEqual(_to(sends), ["a", "b"])
        self.assertEqual(_done(sends), [("pub", Done([(1, 2)], Result.OK, 2, 0, 0))])
        self.assertEqual(len(self.exchange.pending), 0)
        self.assertEqual(self.confirm(node, 1, 2), [])

    def test_counters(self) -> None:
        """`published` counts events, `pubs` deliveries."""
        self.join("a", "ev")
        self.join("b", "ev")
        self.publish(_run(1, 5))
        self.publish(_run(6, 3, mode=Mode.ONE))
        self.publish(_run(9, 2, event="unmatched"))
        self.assertEqual((self.exchange.counters["published"], self.exchange.counters["pubs"]), (10, 13))


class ModeOneTests(Case):
    def _sums(self, sends: list[Send]) -> Counter[str]:
        return Counter({name: len(events) for name, events in _events(sends)})

    def test_single(self) -> None:
        """3 nodes, 3,000 events one by one: 1,000 each, each event to exactly one."""
        for name in "abc":
            self.join(name, "ev")
        sums: Counter[str] = Counter()
        for first in range(1, 3001):
            sums += self._sums(self.publish(_run(first, mode=Mode.ONE)))
        self.assertEqual(sums, Counter(a=1000, b=1000, c=1000))

    def test_dealtOut(self) -> None:
        """A run is dealt out in contiguous shares that have every event once, in order, with its own payload."""
        for name in "abc":
            self.join(name, "ev")
        payloads = [b"aaa", b"", b"b", b"ccccc", b"dd", b"", b"eeeeeee"]
        sends = self.publish(_run(1, payloads, mode=Mode.ONE, headers=RAW_HEADERS, level=Level.HANDLED, low=1))
        shares = _events(sends)
        self.assertEqual([(name, len(events)) for name, events in shares], [("a", 3), ("b", 2), ("c", 2)])
        self.assertEqual([event for _name, events in shares for event in events], list(enumerate(payloads, 1)))
        for _session, run in sends:
            assert isinstance(run, Events)
            self.assertEqual(
                (run.mode, run.level, run.headers, run.stream), (Mode.ONE, Level.HANDLED, RAW_HEADERS, self.publisher.stream)
            )
        self.assertEqual(self._sums(self.publish(_run(8, 2, mode=Mode.ONE))), Counter(b=1, c=1))
        self.assertEqual(self._sums(self.publish(_run(10, 1, mode=Mode.ONE))), Counter(a=1))

    @given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 5))
    @settings(max_examples=60, deadline=None)
    def test_fairRuns(self, sizes: list[int], nodes: int) -> None:
        """However the events are gathered into runs, through a host filter as well, shares differ by one at most."""
        exchange = Exchange("site")
        publisher, *_ = exchange.join("tub", _hello("pub"))
        for number in range(nodes):
            exchange.join("tub", _hello(f"n{number}", "ev", host="h"))
            exchange.join("tub", _hello(f"k{number}", "ev", host="k"))
        sums = {"h/ev": Counter[str](), "ev": Counter[str]()}
        first = 1
        for index, size in enumerate(sizes):
            address = "h/ev" if index % 3 else "ev"
            sends = exchange.publish(publisher, _run(first, size, address, Mode.ONE))
            self.assertEqual(
                [number for _name, events in _events(sends) for number, _payload in events], list(range(first, first + size))
            )
            sums[address] += self._sums(sends)
            first += size
        for address, candidates in (("h/ev", nodes), ("ev", 2 * nodes)):
            shares = sorted(sums[address].values())
            shares = [0] * (candidates - len(shares)) + shares
            self.assertLessEqual(shares[-1] - shares[0], 1)

    def test_suspect(self) -> None:
        """A suspect is passed over, unless all are suspects; when it is well again it is next."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        a.suspect = True
        self.assertEqual(self._sums(self.publish(_run(1, 4, mode=Mode.ONE))), Counter(b=4))
        self.assertEqual(_to(self.publish(_run(5))), ["a", "b"])
        b.suspect = True
        self.assertEqual(self._sums(self.publish(_run(6, 4, mode=Mode.ONE))), Counter(a=2, b=2))
        a.suspect = b.suspect = False
        self.assertEqual(self._sums(self.publish(_run(10, 2, mode=Mode.ONE))), Counter(a=1, b=1))

    def test_comingAndGoing(self) -> None:
        """A node that leaves gives its turn up, one that joins waits for its own: still even among those that stay."""
        self.join("a", "ev")
        self.join("b", "ev")
        sums: Counter[str] = Counter()
        for first in range(1, 1201):
            if first % 3 == 0:
                guest = self.join(f"guest{first}", "ev")
            sums += self._sums(self.publish(_run(first, mode=Mode.ONE)))
            if first % 3 == 0:
                self.exchange.leave(guest)
        self.assertLessEqual(abs(sums["a"] - sums["b"]), 1)
        self.assertEqual(sums.total(), 1200)

    def test_confirm(self) -> None:
        """One of mode one matched one: the taker's answer is the answer, nobody else's counts."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(_run(1, 2, mode=Mode.ONE))
        self.assertEqual(self.confirm(b, 1, 1), [])
        self.assertEqual(self.confirm(a, 1, 2), [Done([(1, 1)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.confirm(b, 1, 2), [Done([(2, 2)], Result.OK, 1, 1, 0)])


class AnswerTests(Case):
    def test_everyone(self) -> None:
        """The publisher is told when the last one has answered, what is alike in one frame."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(_run(1, 5))
        self.publish(_run(6, 5))
        self.assertEqual(self.confirm(a, 1, 10), [])
        self.assertEqual(self.confirm(b, 1, 10), [Done([(1, 10)], Result.OK, 2, 2, 0)])

    def test_pieces(self) -> None:
        """Answers in pieces, out of order and twice: each event is told once."""
        a = self.join("a", "ev")
        self.publish(_run(1, 10))
        self.assertEqual(self.confirm(a, 7, 8), [Done([(7, 8)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.confirm(a, 1, 2), [Done([(1, 2)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.confirm(a, 7, 8), [])
        answer = Confirm(self.publisher.stream, [(9, 12), (2, 3), (9, 9), (3, 3), (5, 3)], Outcome.OK)
        self.assertEqual(_done(self.exchange.confirm(a, answer)), [("pub", Done([(3, 3), (9, 10)], Result.OK, 1, 1, 0))])
        self.assertEqual(self.confirm(a, 0, 99), [Done([(4, 6)], Result.OK, 1, 1, 0)])

    def test_strangers(self) -> None:
        """An answer from somebody who was not sent the event, or for a stream that is not there, is passed over."""
        a, stranger = self.join("a", "ev"), self.join("stranger", "other")
        self.publish(_run(1))
        self.assertEqual(self.confirm(stranger, 0, MAX_SEQUENCE), [])
        self.assertEqual(self.confirm(self.publisher, 1, 1), [])
        self.assertEqual(self.exchange.confirm(a, Confirm("nobody", [(1, 1)], Outcome.OK)), [])
        self.assertEqual(self.confirm(a, 1, 1), [Done([(1, 1)], Result.OK, 1, 1, 0)])

    def test_hugeRanges(self) -> None:
        """Ranges far too large, as many as a frame holds, cost nothing: thousands of waiting runs are looked at once."""
        a, stranger = self.join("a", "ev"), self.join("stranger", "other")
        for first in range(1, 3001):
            self.publish(_run(first))
        ranges = [(0, MAX_SEQUENCE)] * MAX_RANGES
        self.assertEqual(self.exchange.confirm(stranger, Confirm(self.publisher.stream, ranges, Outcome.OK)), [])
        sends = self.exchange.confirm(a, Confirm(self.publisher.stream, ranges, Outcome.OK))
        self.assertEqual(_done(sends), [("pub", Done([(1, 3000)], Result.OK, 1, 1, 0))])

    def test_late(self) -> None:
        """Late counts as dropped, which succeeds: only `dropped == 0` means everyone."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(_run(1))
        self.confirm(a, 1, 1, Outcome.LATE)
        self.assertEqual(self.confirm(b, 1, 1), [Done([(1, 1)], Result.OK, 2, 1, 1)])

    def test_failures(self) -> None:
        """Refused or failed at one of them fails the event, with the reason; a handler that failed was called."""
        for first, (outcome, delivered) in enumerate(((Outcome.FAILED, 2), (Outcome.REFUSED, 1)), 1):
            a, b = self.join(f"a{first}", "ev"), self.join(f"b{first}", "ev")
            self.publish(_run(first, level=Level.HANDLED))
            self.confirm(a, first, first, outcome, "it raised")
            self.assertEqual(
                self.confirm(b, first, first), [Done([(first, first)], Result.FAILED, 2, delivered, 0, "it raised")]
            )
            self.exchange.leave(a)
            self.exchange.leave(b)

    def test_publisherGone(self) -> None:
        """What a publisher that left had asked for nobody is told; answers for it are passed over."""
        a = self.join("a", "ev")
        self.publish(_run(1, 5))
        self.exchange.leave(self.publisher)
        self.assertEqual(len(self.exchange.pending), 0)
        self.assertEqual(self.confirm(a, 1, 5), [])
        self.assertEmpty()

    def test_manyRanges(self) -> None:
        """More ranges than fit into a frame go in several: no publisher loses its link over a long answer."""
        self.join("even", "even")
        odd = self.join("odd", "odd")
        count = 2 * MAX_RANGES + 10
        for first in range(1, 2 * count, 2):
            self.publish(_run(first, event="odd"))
            self.publish(_run(first + 1, event="even"))
        done = [frame for _name, frame in _done(self.exchange.leave(odd))]
        self.assertEqual([len(frame.ranges) for frame in done], [MAX_RANGES, MAX_RANGES, 10])
        for frame in done:
            self.assertEqual(unpack(pack([frame])), [frame])


class LeaveTests(Case):
    def test_unanswered(self) -> None:
        """Who leaves is lost to what it had not answered: undelivered with what the others said; what it answered stands."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(_run(1, 6))
        self.confirm(a, 1, 2)
        self.assertEqual(self.confirm(b, 1, 4), [Done([(1, 2)], Result.OK, 2, 2, 0)])
        sends = self.exchange.leave(a, "the cat pulled the plug")
        self.assertEqual(_done(sends), [("pub", Done([(3, 4)], Result.UNDELIVERED, 2, 1, 0, "a: the cat pulled the plug"))])
        self.assertEqual(self.confirm(b, 5, 6), [Done([(5, 6)], Result.UNDELIVERED, 2, 1, 0, "a: the cat pulled the plug")])
        self.assertEqual(self.exchange.counters["lost"], 4)

    def test_routes(self) -> None:
        """All routes of a node go with it, plain and patterns; leaving twice is once."""
        a = self.join("a", "ev", "x.*", "y.>", "z")
        self.assertEqual(len(self.exchange.table), 4)
        self.exchange.leave(a)
        self.assertEqual(self.exchange.leave(a), [])
        self.assertEqual(len(self.exchange.table), 0)
        self.assertEqual(_done(self.publish(_run(1, event="x.1"))), [("pub", Done([(1, 1)], Result.OK, 0, 0, 0))])
        self.assertEmpty()

    def test_modeOne(self) -> None:
        """An event of mode one whose taker leaves is undelivered."""
        a = self.join("a", "ev")
        self.publish(_run(1, 2, mode=Mode.ONE))
        ((_name, done),) = _done(self.exchange.leave(a))
        self.assertEqual((done.ranges, done.result, done.matched, done.delivered), ([(1, 2)], Result.UNDELIVERED, 1, 0))

    def test_severalPublishers(self) -> None:
        """Every publisher that waits for a node that leaves is told, each about its own."""
        other = self.join("other")
        a = self.join("a", "ev")
        self.publish(_run(1, 2))
        self.publish(_run(7), other)
        self.publish(_run(1), a)
        told = {name: done.ranges for name, done in _done(self.exchange.leave(a))}
        self.assertEqual(told, {"pub": [(1, 2)], "other": [(7, 7)]})

    def test_longReason(self) -> None:
        """However long the reason for which a node was cut off, its publishers get a frame that they can read."""
        a = self.join("a", "ev")
        self.publish(_run(1))
        sends = self.exchange.leave(a, "\U0001f600" * 5000)
        self.assertEqual(unpack(pack([frame for _session, frame in sends])), [frame for _session, frame in sends])


@attrs.define
class Step:
    """One confirm, or the loss of a subscriber."""

    subscriber: int
    ranges: list[tuple[int, int]]
    outcome: Outcome | None


steps = st.builds(
    Step,
    st.integers(0, 3),
    st.lists(
        st.tuples(st.integers(0, 35), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1])), min_size=1, max_size=4
    ),
    st.sampled_from([*Outcome, Outcome.OK, Outcome.OK, Outcome.OK, None]),
)
published = st.lists(
    st.tuples(
        st.integers(1, 6), st.sampled_from(["a", "b", "a.b", "unmatched"]), st.sampled_from(Mode), st.sampled_from(Level)
    ),
    min_size=1,
    max_size=7,
)
wanted = st.lists(st.lists(st.sampled_from(["a", "b", "*", ">", "a.*"]), max_size=3), min_size=4, max_size=4)


class ModelTests(SynchronousTestCase):
    @given(published, wanted, st.lists(steps, max_size=20))
    @settings(max_examples=100, deadline=None)
    def test_oneDone(self, runs: list[tuple[int, str, Mode, Level]], patterns: list[list[str]], orders: list[Step]) -> None:
        """Whoever confirms what in whatever order, or leaves: each event gets exactly one Done, with the right counts."""
        exchange = Exchange()
        publisher, *_ = exchange.join("tub", _hello("pub"))
        subscribers = [exchange.join("tub", _hello(f"n{number}", *some))[0] for number, some in enumerate(patterns)]
        sent: dict[int, dict[str, Outcome | str | None]] = {}  # sequence -> subscriber -> "waits", or what became of it
        levels: dict[int, Level] = {}
        done: dict[int, tuple[Result, int, int, int]] = {}

        def note(sends: list[Send]) -> None:
            for session, frame in sends:
                if isinstance(frame, Events):
                    for sequence in range(frame.first, frame.last + 1):
                        self.assertNotIn(session.stream, sent[sequence])
                        sent[sequence][session.stream] = "waits"
                else:
                    assert isinstance(frame, Done)
                    self.assertIs(session, publisher)
                    for first, last in frame.ranges:
                        for sequence in range(first, last + 1):
                            self.assertNotIn(sequence, done)
                            done[sequence] = (frame.result, frame.matched, frame.delivered, frame.dropped)

        def answer(subscriber: Session, sequence: int, outcome: Outcome | None) -> None:
            if sent.get(sequence, {}).get(subscriber.stream) == "waits":
                sent[sequence][subscriber.stream] = outcome

        def check() -> None:
            for sequence, fates in sent.items():
                if levels[sequence] is Level.ACCEPTED:
                    self.assertEqual(done[sequence], (Result.OK, len(fates), 0, 0))
                    continue
                self.assertEqual(sequence in done, "waits" not in fates.values(), (sequence, fates))
                if sequence in done:
                    counts = Counter(fates.values())
                    bad = counts[Outcome.FAILED] + counts[Outcome.REFUSED]
                    result = Result.UNDELIVERED if counts[None] else Result.FAILED if bad else Result.OK
                    delivered = counts[Outcome.OK] + counts[Outcome.FAILED]
                    self.assertEqual(done[sequence], (result, len(fates), delivered, counts[Outcome.LATE]))

        first = 1
        for size, event, mode, level in runs:
            for sequence in range(first, first + size):
                sent[sequence], levels[sequence] = {}, level
            note(exchange.publish(publisher, _run(first, size, event, mode, level=level)))
            if mode is Mode.ONE:
                self.assertTrue(all(len(sent[sequence]) <= 1 for sequence in range(first, first + size)))
            first += size
        check()
        final = [Step(number, [], None) for number in range(4)]
        for step in orders + final:
            subscriber = subscribers[step.subscriber]
            if step.outcome is None:
                note(exchange.leave(subscriber))
                for sequence in sent:
                    answer(subscriber, sequence, None)
            else:
                if exchange.sessions.get(subscriber.stream) is not subscriber:
                    continue
                note(exchange.confirm(subscriber, Confirm(publisher.stream, step.ranges, step.outcome)))
                for low, high in step.ranges:
                    for sequence in range(low, high + 1):
                        answer(subscriber, sequence, step.outcome)
            check()
        self.assertEqual(done.keys(), sent.keys())
        self.assertEqual(len(exchange.pending), 0)
