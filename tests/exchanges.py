"""An exchange without links: what nodes say goes in by hand, what they would hear comes out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import NO_HEADERS, Confirm, Done, Events, Frame, Level, Mode, Outcome, Policy, Sub
from nodeset.core.exchange import Exchange, Session
from nodeset.core.hello import Hello

__all__ = ["ExchangeCase", "Out", "Wish", "makeHello", "makeRun"]

#: A pattern, with whether the node's own events are wanted too, or all there is to say.
Wish = str | tuple[str, bool] | Sub


def makeHello(name: str, *wishes: Wish, host: str = "localhost", stream: str = "", **more: Any) -> Hello:
    """The hello of a node."""
    subs = [wish if isinstance(wish, Sub) else Sub(wish) if isinstance(wish, str) else Sub(*wish) for wish in wishes]
    return Hello(stream=(stream or name).ljust(16, "-"), name=name, host=host, subscriptions=subs, **more)


def makeRun(first: int, payloads: int | list[bytes] = 1, event: str = "ev", mode: Mode = Mode.ALL, **changes: Any) -> Events:
    """A run of events, so many of which say their number or with these payloads."""
    if isinstance(payloads, int):
        payloads = [str(first + index).encode() for index in range(payloads)]
    lengths = [len(payload) for payload in payloads]
    run = Events("", 1, mode, False, event, first, Level.DELIVERED, lengths, NO_HEADERS, b"".join(payloads))
    for name, value in changes.items():
        setattr(run, name, value)
    return run


@attrs.define
class Out:
    """What an exchange wants sent, each frame with the name of its node."""

    frames: list[tuple[str, Frame]] = attrs.field(factory=list)

    @property
    def events(self) -> list[tuple[str, list[tuple[int, bytes]]]]:
        """Who gets which events, with their numbers."""
        out: list[tuple[str, list[tuple[int, bytes]]]] = []
        for name, frame in self.frames:
            if isinstance(frame, Events):
                at, events = 0, []
                for index, length in enumerate(frame.lengths):
                    events.append((frame.first + index, frame.payloads[at : at + length]))
                    at += length
                assert at == len(frame.payloads)
                out.append((name, events))
        return out

    @property
    def runs(self) -> list[tuple[str, int, int]]:
        """Who gets which run of events."""
        return [(name, frame.first, frame.last) for name, frame in self.frames if isinstance(frame, Events)]

    @property
    def to(self) -> list[str]:
        """Who gets events."""
        return [name for name, _first, _last in self.runs]

    @property
    def sums(self) -> Counter[str]:
        """Who gets how many events."""
        sums: Counter[str] = Counter()
        for name, first, last in self.runs:
            sums[name] += last - first + 1
        return sums

    @property
    def done(self) -> list[tuple[str, Done]]:
        """Which publisher is told what."""
        return [(name, frame) for name, frame in self.frames if isinstance(frame, Done)]

    def other(self, kind: type[Frame]) -> list[tuple[str, Frame]]:
        """The frames of one kind."""
        return [(name, frame) for name, frame in self.frames if isinstance(frame, kind)]


class ExchangeCase(SynchronousTestCase):
    """An exchange at the site `site`, with a publisher; nodes take batches in at once, unless they are in `stuck`."""

    fresh = True

    def setUp(self) -> None:
        self.now = 100.0
        self.stuck: set[str] = set()
        self.exchange = Exchange(self.now, "boot", self.fresh, "site")
        self.publisher = self.join("pub")
        self.carryOut()

    def carryOut(self) -> Out:
        """All that is to be sent now."""
        out = Out([(session.name, frame) for session, frame in self.exchange.takeSends()])
        while woken := self.exchange.takeWoken():
            for session in woken:
                while batch := self.exchange.nextBatch(session):
                    out.frames += [(session.name, run) for run in batch]
                    if session.name not in self.stuck:
                        self.exchange.took(session, 1, self.now)
            out.frames += [(session.name, frame) for session, frame in self.exchange.takeSends()]
        return out

    def advance(self, seconds: float) -> Out:
        """Time passes; what was due in it is done at its time."""
        end = self.now + seconds
        out = Out()
        while (due := self.exchange.nextAlarm()) is not None and due <= end:
            self.now = max(self.now, due)
            self.exchange.tick(self.now)
            out.frames += self.carryOut().frames
        self.now = end
        return out

    def join(self, name: str, *wishes: Wish, peer: str = "", **more: Any) -> Session:
        """A node opens a link, which refuses none of its subscriptions."""
        session, _known, refused = self.exchange.join(peer or f"tub-{name}", makeHello(name, *wishes, **more), self.now)
        self.assertEqual(refused, [])
        return session

    def publish(self, run: Events, session: Session | None = None) -> Out:
        """A batch of one run comes from a publisher."""
        self.exchange.arrive(session or self.publisher, [run], self.now)
        return self.carryOut()

    def resend(self, *runs: Events) -> Out:
        """The publisher opens a new link, sends these again."""
        self.exchange.lost(self.publisher, self.now)
        self.publisher = self.join("pub")
        for run in runs:
            run.again = True
        self.exchange.arrive(self.publisher, list(runs), self.now)
        return self.carryOut()

    def answer(self, session: Session, first: int, last: int, outcome: Outcome = Outcome.OK, reason: str = "") -> Out:
        """A node says what became of events of the publisher."""
        self.exchange.confirm(session, Confirm(self.publisher.stream, [(first, last)], outcome, reason), self.now)
        return self.carryOut()

    def confirm(self, session: Session, first: int, last: int, outcome: Outcome = Outcome.OK, reason: str = "") -> list[Done]:
        """The same; what publishers hear of it."""
        return [done for _name, done in self.answer(session, first, last, outcome, reason).done]

    def leave(self, session: Session, reason: str = "it left") -> Out:
        """A node is gone."""
        self.exchange.leave(session, self.now, reason)
        return self.carryOut()

    def fill(self, name: str = "slow", policy: Policy = Policy.BLOCK, most: int = 3) -> Session:
        """A subscriber of `ev` that takes nothing in, whose queue holds `most` events; four batches are on their way to it."""
        self.stuck.add(name)
        session = self.join(name, Sub("ev", True, policy, most))
        session.credit = 0
        return session

    def assertEmpty(self) -> None:
        """When nobody is left, nothing of theirs is either."""
        for session in list(self.exchange.answers.sessions.values()):
            self.leave(session)
        self.assertEqual((self.exchange.answers.sessions, len(self.exchange.table), self.exchange.underWay), ({}, 0, 0))
        self.assertEqual((self.exchange.table._exact, self.exchange.table._patterns.branches), ({}, {}))
        self.assertEqual(self.exchange._blocked, {})
