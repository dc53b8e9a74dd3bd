"""What a dispatcher tells of who is there, without links."""

from __future__ import annotations

import time
from typing import Any

from nodeset.core.batch import MAX_EVENTS, TARGET, Confirm, Events, Outcome, Policy, Sub
from nodeset.core.exchange import SETTLE
from nodeset.core.presence.standing import EVENTS, SNAPSHOT, Told, unpackTold
from nodeset.core.session import STALL, Session
from nodeset.errors import Refused
from tests.exchanges import ExchangeCase, Out, makeHello, makeRun

ALL = "nodeset.node.*"


def read(run: Events) -> list[Told]:
    """What the events of a run tell."""
    told = [unpackTold(payload) for payload in run.cut(0, 0, len(run.lengths))]
    return [one for one in told if one is not None]


def pairwise(states: list[str]) -> list[tuple[str, str]]:
    """Each state with the one before."""
    return list(zip(states, ["", *states], strict=False))


class WatchCase(ExchangeCase):
    """An exchange with a way to read what its watchers are sent."""

    def carryOut(self) -> Out:
        """What is to be sent to all but the watchers."""
        out = Out([(session.name, frame) for session, frame in self.exchange.takeSends()])
        for session in self.exchange.takeWoken():
            while session.watch is None and (batch := self.exchange.nextBatch(session)):
                out.frames += [(session.name, run) for run in batch]
                if session.name not in self.stuck:
                    self.exchange.took(session, 1, self.now)
        return out

    def watch(self, name: str = "w", pattern: str = ALL, **more: Any) -> Session:
        """A node joins that watches."""
        return self.join(name, pattern, features=["presence"], **more)

    def batches(self, session: Session, confirm: bool = True) -> list[list[Events]]:
        """All that a watcher is sent now; it takes it in at once."""
        found = []
        while batch := self.exchange.nextBatch(session):
            found.append(batch)
            self.exchange.took(session, 1, self.now)
            if confirm:
                for run in batch:
                    if run.first:
                        self.exchange.confirm(session, Confirm(run.stream, [(run.first, run.last)], Outcome.OK), self.now)
        return found

    def told(self, session: Session) -> list[tuple[str, str, str]]:
        """The same, as event, name, state before."""
        found = []
        for batch in self.batches(session):
            for run in batch:
                short = run.event.removeprefix("nodeset.node.")
                found += [(short, one.name, one.was) for one in read(run)] or [(short, "", "")]
        return found


class TellingTests(WatchCase):
    """Changes and snapshots."""

    def test_snapshot(self) -> None:
        """A newcomer is handed the present state of everybody, between two marks, also for one of the four events alone."""
        self.exchange.presence.suspect(self.join("a"), self.now)
        expected = {("snapshot.begin", "", ""), ("snapshot", "a", ""), ("snapshot", "pub", ""), ("snapshot.end", "", "")}
        for name, pattern in (("w", ALL), ("v", "nodeset.node.down"), ("u", "nodeset.>"), ("t", "t@/nodeset.*.slow")):
            watcher = self.watch(name, pattern)
            told = self.told(watcher)
            expected.add(("snapshot", name, ""))
            self.assertEqual((set(told), told[0][0], told[-1][0]), (expected, "snapshot.begin", "snapshot.end"))
            self.assertEqual(self.told(watcher), [])

    def test_others(self) -> None:
        """Who subscribes to something else is told nothing, its session has no trace of it."""
        session = self.join("n", "nodeset.other", "node.up", ">", "*.node.up", features=["presence"])
        self.assertEqual((self.told(session), session.watch), ([], None))

    def test_afterwards(self) -> None:
        """From then on changes come, with their reasons, many of one kind in one run."""
        watcher = self.watch()
        self.told(watcher)
        for number in range(100):
            self.join(f"n{number}")
        (batch,) = self.batches(watcher)
        self.assertEqual([(run.event, len(run.lengths)) for run in batch], [(EVENTS["up"], 100)])
        session = self.join("n100")
        self.exchange.presence.suspect(session, self.now)
        self.exchange.presence.suspect(session, self.now)
        self.exchange.presence.heard(session, self.now)
        self.leave(session, "it was bored")
        states = ["up", "suspect", "up", "down"]
        self.assertEqual(self.told(watcher), [(to, "n100", was) for to, was in pairwise(states)])

    def test_unsubscribed(self) -> None:
        """Who unsubscribes hears no more; while nobody watches nothing is kept."""
        watcher = self.watch()
        self.told(watcher)
        self.exchange.unsubscribe(watcher, ALL, self.now)
        for number in range(600):
            self.join(f"n{number}")
        self.assertEqual((self.told(watcher), watcher.watch, self.exchange.presence._log), ([], None, []))
        self.exchange.subscribe(watcher, Sub(ALL))
        self.assertEqual(len(self.told(watcher)), 2 + 602)

    def test_plainPeer(self) -> None:
        """A peer that knows nothing of snapshots gets the changes that it subscribed to, and no more."""
        plain = self.join("plain", "nodeset.node.down")
        self.leave(self.join("a"))
        self.assertEqual(self.told(plain), [("down", "a", "up")])

    def test_frozenWatcher(self) -> None:
        """One that takes nothing in holds nobody up; its place is kept for so many changes, then it is handed a snapshot."""
        presence = self.exchange.presence
        presence._most = 500
        frozen, other = self.watch("frozen"), self.watch("other")
        for watcher in (frozen, other):
            self.told(watcher)
        frozen.credit = 0
        for number in range(3000):
            self.leave(self.join(f"n{number}"))
            if number % 100 == 0:
                self.told(other)
        self.assertLess(len(presence._log), 500 + 256)
        self.assertEqual((len(self.told(other)), other.drops), (198, None))
        self.exchange.took(frozen, 1, self.now)
        told = self.told(frozen)
        assert frozen.drops is not None
        self.assertEqual(len(told) - 5 + frozen.drops["presence"], 6000)
        self.assertEqual({name for event, name, _was in told if event == "snapshot"}, {"pub", "frozen", "other"})

    def test_batches(self) -> None:
        """A large snapshot comes in batches of the usual size; other events are not kept waiting by it."""
        for number in range(6000):
            self.join(f"n{number}")
        watcher = self.join("w", ALL, "ev", features=["presence"])
        self.publish(makeRun(1))
        kinds, count = [], 0
        for batch in self.batches(watcher):
            self.assertLess(sum(run.weight for run in batch), TARGET + 4096)
            self.assertTrue(all(len(run.lengths) <= MAX_EVENTS for run in batch))
            kinds.append("ev" if batch[0].event == "ev" else "told")
            count += sum(len(run.lengths) for run in batch if run.event == SNAPSHOT)
        self.assertEqual((count, kinds[:3], kinds.count("ev")), (6002, ["told", "ev", "told"], 1))
        self.assertGreater(len(kinds), 3)

    def test_manyWatchers(self) -> None:
        """Ten thousand nodes that join while ten watch cost a small part of a second more than without."""
        watchers = [self.watch(f"w{number}") for number in range(10)]
        began = time.process_time()
        for number in range(10_000):
            self.join(f"n{number}")
        for watcher in watchers:
            self.batches(watcher)
        self.assertLess(time.process_time() - began, 10.0)

    def test_ownStream(self) -> None:
        """Nobody may take the dispatcher's own stream for his; what says that it was had is no harm."""
        with self.assertRaises(Refused):
            self.exchange.join("tub-x", makeHello("x", stream="boot").__class__(stream="boot", name="x", host="h"), self.now)
        watcher = self.watch()
        self.exchange.confirm(watcher, Confirm("boot", [(1, 2**62)], Outcome.OK), self.now)
        self.exchange.confirm(self.publisher, Confirm("boot", [], Outcome.OK), self.now)
        self.told(watcher)
        self.join("a")
        self.assertEqual(self.told(watcher), [("up", "a", "")])
        self.assertEqual(self.exchange.underWay, 0)

    def test_nothingLeft(self) -> None:
        """When all are gone nothing of them is left."""
        watcher = self.watch()
        self.told(watcher)
        self.leave(watcher)
        self.assertEmpty()
        presence = self.exchange.presence
        self.assertEqual((presence.streams, presence._watchers, presence._log), ([], {}, []))


class StateTests(WatchCase):
    """What makes a node slow."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = self.watch()
        self.told(self.watcher)

    def test_dropped(self) -> None:
        """One whose policy drops events is slow until nothing was dropped for 10 s, however often something is."""
        session = self.fill(policy=Policy.DROP_OLDEST)
        for number in range(1, 30):
            self.publish(makeRun(number))
            self.advance(1)
        self.assertEqual(self.told(self.watcher), [("up", "slow", ""), ("slow", "slow", "up")])
        assert session.slow is not None and session.drops is not None
        self.assertEqual((session.slow.pattern, session.slow.dropped, session.drops), ("ev", 26, {"dropped_oldest": 26}))
        self.advance(STALL)
        self.assertEqual((self.told(self.watcher), session.slow), ([("up", "slow", "slow")], None))

    def test_stalled(self) -> None:
        """One whose queue was dropped after 10 s is slow until it takes a batch, or comes back."""
        for back in (self._takes, self._returns):
            session = self.fill(back.__name__)
            self.publish(makeRun(self.publisher.highest + 1, 4))
            self.advance(STALL)
            back(session)
            name = session.name
            self.assertEqual(self.told(self.watcher), [("up", name, ""), ("slow", name, "up"), ("up", name, "slow")])
            self.leave(session)
            self.told(self.watcher)

    def _takes(self, session: Session) -> None:
        self.exchange.took(session, 1, self.now)

    def _returns(self, session: Session) -> None:
        self.exchange.lost(session, self.now)
        self.join(session.name, Sub("ev", True, Policy.BLOCK, 3))

    def test_slowAndSuspect(self) -> None:
        """Of a node that is both slow and suspect it is said that it is suspect."""
        session = self.fill(policy=Policy.DROP_NEWEST)
        self.publish(makeRun(1, 4))
        self.exchange.presence.suspect(session, self.now)
        self.exchange.presence.heard(session, self.now)
        self.advance(STALL)
        states = ["up", "slow", "suspect", "slow", "up"]
        self.assertEqual(
            self.told(self.watcher), [(state, "slow", was) for state, was in zip(states, ["", *states], strict=False)]
        )


class SettlingTests(WatchCase):
    """After a restart."""

    fresh = False

    def test_wait(self) -> None:
        """A snapshot comes when those on the way back are here; changes come at once."""
        watcher = self.watch(boot="earlier")
        self.join("new")
        self.assertEqual(self.told(watcher), [("up", "new", "")])
        self.advance(SETTLE - 0.5)
        self.join("late", boot="earlier")
        self.assertEqual(self.told(watcher), [("up", "late", "")])
        self.now += 0.9
        self.exchange.tick(self.now)
        self.assertEqual(self.told(watcher), [])
        self.now += 0.2
        self.exchange.tick(self.now)
        self.assertEqual(len(self.told(watcher)), 2 + 4)
