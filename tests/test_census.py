"""What of it handlers are shown when nodes come and go, without links."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import NO_HEADERS, Confirm, Events, Level, Mode, Outcome
from nodeset.core.exchange import AWAY, Exchange
from nodeset.core.inbox import Inbox
from nodeset.core.presence.census import LOCAL, Census
from nodeset.core.presence.standing import BEGIN, END, EVENTS, SNAPSHOT, Told, packTold, unpackTold, watched
from nodeset.core.session import Session
from tests.exchanges import makeHello, makeRun

ALL = "nodeset.node.*"


def read(run: Events) -> list[Told]:
    """What the events of a run tell."""
    told = [unpackTold(payload) for payload in run.cut(0, 0, len(run.lengths))]
    return [one for one in told if one is not None]


class CensusTests(SynchronousTestCase):
    """What of it handlers are shown."""

    def setUp(self) -> None:
        self.census = Census(most=50)
        self.census.want([ALL])
        self.census.met("boot")
        self.number = 0

    def hear(self, *told: tuple[str, str], event: str = "") -> list[tuple[str, str, str]]:
        """It is told names with states, one by one or as a part of a snapshot."""
        shown = []
        for name, state in told:
            self.number += not event
            payload = packTold(Told(name, "h", "t", f"stream-of-{name}", state))
            shown += self.tell(event or EVENTS[state], payload, 0 if event else self.number)
        return shown

    def tell(self, event: str, payload: bytes = b"{}", first: int = 0) -> list[tuple[str, str, str]]:
        """It is told one event."""
        runs = self.census.hear(
            Events("boot", first, Mode.ALL, False, event, first, Level.ACCEPTED, [len(payload)], NO_HEADERS, payload)
        )
        self.assertEqual({run.stream for run in runs} - {LOCAL}, set())
        return [(one.name, one.state, one.was) for run in runs for one in read(run)]

    def test_again(self) -> None:
        """What is known is not shown again, whoever tells it, in whatever order a link brings it back."""
        self.assertEqual(self.hear(("a", "up")), [("a", "up", "")])
        self.assertEqual(self.hear(("a", "up")), [])
        self.assertEqual(self.hear(("a", "up"), ("a", "suspect"), event=SNAPSHOT), [("a", "suspect", "up")])
        self.number = 0
        self.assertEqual(self.hear(("a", "up"), ("a", "down")), [], "these numbers were there before")
        self.census.met("another")
        self.number = 0
        self.assertEqual(self.hear(("a", "up")), [("a", "up", "suspect")])

    def test_missing(self) -> None:
        """Who is not mentioned between the marks is down; who is mentioned in any way is not."""
        self.hear(*((name, "up") for name in "abc"))
        self.tell(BEGIN)
        self.hear(("a", "up"), event=SNAPSHOT)
        self.hear(("b", "slow"))
        self.assertEqual(self.tell(END), [("c", "down", "up")])
        self.assertEqual((self.tell(END), len(self.census)), ([], 2))

    def test_markless(self) -> None:
        """The end of a snapshot whose beginning was lost with a link says nothing."""
        self.hear(("a", "up"))
        self.tell(BEGIN)
        self.census.met("boot")
        self.assertEqual(self.tell(END), [])

    def test_otherName(self) -> None:
        """A stream under another name is one node that goes and another that comes."""
        self.hear(("a", "up"))
        renamed = packTold(Told("b", "h", "t", "stream-of-a", "up"))
        self.assertEqual(self.tell(SNAPSHOT, renamed), [("a", "down", "up"), ("b", "up", "")])

    def test_bounded(self) -> None:
        """It remembers so many nodes and no more, shows the others as they are told; nonsense is passed over."""
        for number in range(200):
            self.assertEqual(len(self.hear((f"n{number}", "up"))), 1)
        self.assertEqual(len(self.census), 50)
        self.assertEqual(len(self.hear(("n199", "down"), ("n1", "down"))), 2)
        for payload in (b"", b"[]", b"{}", b'{"name":1}', packTold(Told("a", "h", "t", "s", "dead")), b'"' + b"x" * 9000):
            self.assertEqual(self.tell(SNAPSHOT, payload), [])
        self.assertEqual(self.tell("nodeset.node.other"), [])

    def test_inbox(self) -> None:
        """Only the dispatcher's own stream is heard so; it is confirmed, what handlers make of it is nobody's business."""
        inbox = Inbox()
        inbox.census = self.census
        payload = packTold(Told("a", "h", "t", "s" * 16, "up"))
        for stream in ("boot", "somebody-authorised"):
            run = makeRun(1, [payload, payload], EVENTS["up"], stream=stream)
            self.assertEqual(inbox.offer([run], 0.0), 1)
        shown = []
        while (delivery := inbox.next()) is not None:
            shown.append(delivery.stream)
            inbox.answer(delivery, Outcome.FAILED, "a handler failed")
            inbox.finished(delivery)
        self.assertEqual(sorted(shown), [LOCAL] + ["somebody-authorised"] * 2)
        answers = [(answer.stream, answer.outcome) for answer in inbox.answers()]
        self.assertEqual(answers, [("boot", Outcome.OK), ("somebody-authorised", Outcome.FAILED)])

    def test_patterns(self) -> None:
        """Which patterns have to do with it."""
        for pattern, count in {"nodeset.>": 4, "nodeset.*.*": 4, ALL: 4, "nodeset.node.up": 1, ">": 0, "*.node.up": 0}.items():
            self.assertEqual(len(watched(pattern)), count, pattern)


class StoryTests(SynchronousTestCase):
    """Many stories, each from a seed."""

    def test_stories(self) -> None:
        """Whatever happens to nodes, a watcher's link, its dispatcher: handlers see each change that anybody could tell them,
        in order, none twice, and know in the end who is there.
        """
        for seed in range(300):
            try:
                _Story(seed).play()
            except AssertionError as error:
                raise AssertionError(f"story {seed}: {error}") from error


class _Story:
    """One watcher among nodes that come and go."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now, self.boots = 0.0, 0
        self.census = Census()
        self.census.want([ALL])
        self.nodes: dict[str, Session] = {}
        self.shown: dict[str, list[str]] = {}
        self.changes: dict[str, list[str]] = {}
        self.starts = 0
        self.most = self.draw.choice([10_000, 10_000, 40])
        self.restarts, self.outages = self.draw.choice([0.0, 0.02]), self.draw.choice([0.0, 0.2])
        self.begin()

    def begin(self) -> None:
        """A dispatcher starts; nodes come back to it as they please, most of them in time."""
        self.boots += 1
        self.exchange = Exchange(self.now, f"boot{self.boots}", self.boots == 1)
        self.exchange.presence._most = self.most
        self.watcher = self.link()
        for stream in list(self.nodes):
            if self.draw.random() < 0.7:
                self.join(stream)
            else:
                del self.nodes[stream]
                self.changes[stream].append("down")

    def link(self) -> Session:
        """The watcher opens a link, if there is not one."""
        hello = makeHello("watcher", ALL, features=["presence"], boot=f"boot{self.boots - 1}")
        session, _known, _refused = self.exchange.join("tub", hello, self.now)
        self.census.met(f"boot{self.boots}")
        return session

    def join(self, stream: str) -> None:
        """A node is there."""
        session, _known, _refused = self.exchange.join("tub", makeHello(stream), self.now)
        self.nodes[stream] = session
        changes = self.changes.setdefault(stream, [])
        if changes[-1:] != ["up"]:
            changes.append("up")

    def play(self) -> None:
        """A hundred steps, then peace."""
        steps = [self.come, self.come, self.go, self.go, self.freeze, self.wake, self.read, self.read, self.cut, self.rest]
        for _ in range(150):
            self.draw.choice(steps)()
            if self.draw.random() < self.restarts:
                self.begin()
        if self.watcher.away:
            self.watcher = self.link()
        self.pass_(40.0)
        while self.read():
            pass
        self.check()

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.exchange.tick(self.now)

    def come(self) -> None:
        self.starts += 1
        self.join(f"node-{self.starts:04}-{'x' * 8}")

    def go(self) -> None:
        if self.nodes:
            stream = self.draw.choice(list(self.nodes))
            self.exchange.leave(self.nodes.pop(stream), self.now, "it left")
            self.changes[stream].append("down")

    def freeze(self) -> None:
        for stream in self.draw.sample(list(self.nodes), min(1, len(self.nodes))):
            if not self.nodes[stream].suspect:
                self.exchange.presence.suspect(self.nodes[stream], self.now)
                self.changes[stream].append("suspect")

    def wake(self) -> None:
        for stream, session in self.nodes.items():
            if session.suspect:
                self.exchange.presence.heard(session, self.now)
                self.changes[stream].append("up")

    def cut(self) -> None:
        """The watcher's link is lost, with what was on its way, for less or for more than the patience."""
        self.exchange.lost(self.watcher, self.now)
        if self.draw.random() >= self.outages:
            self.pass_(self.draw.choice([0.1, AWAY / 2]))
            self.watcher = self.link()
        else:
            self.pass_(2 * AWAY)
            self.watcher = self.link()
            self.most = 0  # it has missed something

    def rest(self) -> None:
        self.pass_(self.draw.choice([0.1, 0.5, 1.0]))

    def read(self) -> bool:
        """The watcher is sent a batch, of which a beginning arrives; what arrives is sometimes not confirmed."""
        batch = self.exchange.nextBatch(self.watcher)
        lost = self.draw.random() < 0.2
        kept = batch[: self.draw.randint(0, len(batch))] if lost else batch
        for run in kept:
            for shown in self.census.hear(run):
                for told in read(shown):
                    line = self.shown.setdefault(told.stream, [])
                    assert not line or line[-1] == (told.was or "down"), f"{told} after {line}"
                    assert line[-1:] != [told.state], f"{told} twice"
                    line.append(told.state)
            if run.first and not lost:
                answer = Confirm(run.stream, [(run.first, run.last)], Outcome.OK)
                self.exchange.confirm(self.watcher, answer, self.now)
        if lost:
            self.exchange.lost(self.watcher, self.now)
            self.watcher = self.link()
        elif batch:
            self.exchange.took(self.watcher, 1, self.now)
        return bool(batch)

    def check(self) -> None:
        """What handlers know is how it is; if nothing could be missed they were shown all of it."""
        for stream, session in self.nodes.items():
            assert self.shown[stream][-1] == session.state, f"{stream} is {session.state}: {self.shown[stream]}"
        for stream, line in self.shown.items():
            if not stream.startswith("watcher"):
                assert stream in self.nodes or line[-1] == "down", f"{stream} is a ghost: {line}"
        if self.boots == 1 and self.most == 10_000:
            for stream, changes in self.changes.items():
                assert self.shown.get(stream) == changes, f"{stream}: {self.shown.get(stream)} of {changes}"
