"""A run of events is handled as each of them by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import NO_HEADERS, Events, Level, Mode
from nodeset.core.handlers import Handlers, Refusal
from nodeset.core.message import NodeMessage
from nodeset.core.stretch import DeliverRun, oneByOne
from nodeset.core.utils import catch, catches

STREAM = "s" * 22


class Order(NodeMessage):
    """A message; its text tells the handler what to do."""

    id: int
    do: str = ""


class Boom(Exception):
    """What the handler raises."""


def payloadOf(number: int, do: str) -> bytes:
    fields: dict[str, Any] = {"id": number, "do": do}
    if do == "unknown":
        fields["other"] = 1
    if do == "escape":
        fields["do"] = 'esc"ape\u2028'
    return b'{"id":"none"}' if do == "bad" else json.dumps(fields).encode()


@attrs.define
class Story:
    """Handles a run to its end, as a peer does, and notes all that happens."""

    stop_at: int = 0
    handlers: Handlers = attrs.field(init=False)
    calls: list[Any] = attrs.field(factory=list)
    ends: list[Any] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        story = self

        class Owner:
            """Stands for a node."""

            name = "shop"

            @catch("orders.created", Order)
            def take(self, msg: Order) -> Any:
                return story.take(msg)

        owner = Owner()
        self.handlers = Handlers(owner, catches(Owner), None, Clock(), 5.0)

    def take(self, msg: Order) -> Any:
        self.calls.append((msg.fields(), msg.meta and (msg.meta.event, msg.meta.stream, msg.meta.sequence, msg.meta.again)))
        if len(self.calls) == self.stop_at:
            self.handlers.stop()
        match msg.do:
            case "raise":
                raise Boom
            case "exit":
                raise SystemExit
            case "later":
                return Deferred()
            case "now":
                return succeed(None)
            case "value":
                return 7
        return None

    def play(self, run: Events, deliver: DeliverRun, more: Callable[[], bool]) -> Story:
        index = offset = 0
        while index < len(run.lengths) and not (self.stop_at and len(self.calls) >= self.stop_at):
            stretch = deliver(run, STREAM, index, offset, more)
            index, offset = stretch.reached, stretch.offset
            if stretch.delivery is not None:
                result = stretch.result
                end = type(result) if isinstance(result, Deferred) else (type(result) is Refusal, str(result))
                self.ends.append((index, stretch.delivery, end))
                index, offset = index + 1, offset + run.lengths[index]
        self.handlers.stop()
        return self


def makeRun(doings: list[str], again: bool) -> Events:
    payloads = [payloadOf(number, do) for number, do in enumerate(doings)]
    return Events(
        STREAM, 1, Mode.ALL, again, "orders.created", 5, Level.HANDLED, list(map(len, payloads)), NO_HEADERS, b"".join(payloads)
    )


DOINGS = st.sampled_from([""] * 30 + ["raise", "exit", "later", "now", "value", "unknown", "bad", "escape"])


class RunTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(DOINGS, min_size=1, max_size=120), st.booleans(), st.lists(st.booleans(), max_size=20))
    def test_sameAsOneByOne(self, doings: list[str], again: bool, pauses: list[bool]) -> None:
        """Whatever handlers do, each event meets them once, in order, with its own meta, and ends as it would alone."""
        run = makeRun(doings, again)
        left = list(pauses)
        together, alone = Story(), Story()
        together.play(run, together.handlers.deliverRun, lambda: not (left and left.pop()))
        errors = len(self.flushLoggedErrors())
        alone.play(run, oneByOne(alone.handlers.deliver), lambda: True)
        self.assertEqual((together.calls, together.ends), (alone.calls, alone.ends))
        self.assertEqual(errors, len(self.flushLoggedErrors()))

    def test_stop(self) -> None:
        """After a handler stopped its node no event of the run is handled."""
        for stop_at in (1, 3, 4, 5, 17, 40):
            calls = (story := Story(stop_at)).calls
            stretch = story.handlers.deliverRun(makeRun([""] * 90, False), STREAM, 0, 0, partial(self._goesOn, calls, stop_at))
            self.assertEqual((len(calls), stretch.reached), (stop_at, stop_at))

    def _goesOn(self, calls: list[Any], stop_at: int) -> bool:
        return len(calls) < stop_at

    def test_breath(self) -> None:
        """The reactor gets its turn after 16 events at most when time is up, whenever that is."""
        run = makeRun([""] * 90 + ["unknown"] * 90, False)
        for calls in range(180):
            story = Story()
            stretch = story.handlers.deliverRun(run, STREAM, 0, 0, partial(self._goesOn, story.calls, calls))
            self.assertLessEqual(stretch.reached, calls + 16)
            self.assertEqual(stretch.offset, sum(run.lengths[: stretch.reached]))

    def test_costsNothingMore(self) -> None:
        """Of a long run of which each event takes its time no more is read than is handled, or little more."""
        run, story = makeRun(["", "", "", "", "later"] * 100, False), Story()
        cut, reads = Events.cut, 0

        def counted(run: Events, index: int, offset: int, most: int) -> list[bytes]:
            nonlocal reads
            found = cut(run, index, offset, most)
            reads += len(found)
            return found

        self.patch(Events, "cut", counted)
        story.play(run, story.handlers.deliverRun, lambda: True)
        self.assertEqual(len(story.calls), 500)
        self.assertLessEqual(reads, 16 * 100)
