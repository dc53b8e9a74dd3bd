"""Streaming ends without nodes around them, introduced by a post that is there in place of the dispatcher."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.streams.formatter import Formatter, findFormatter
from nodeset.core.streams.pushend import StreamPeer
from nodeset.core.streams.pushing import Stream
from nodeset.core.streams.reception import Introduced
from nodeset.core.streams.streaming import Streaming
from nodeset.core.streams.takeend import StreamSource
from nodeset.errors import NodeSetError, Refused, RemoteError
from nodeset.transport.memory import MemoryMeeting, MemoryWire


class End:
    """One node's streaming, with what it took."""

    def __init__(self, hall: Hall, name: str) -> None:
        self.hall, self.name = hall, name
        self.meeting: Any = MemoryMeeting(hall.wire, f"tub-{name}")
        self.streaming = Streaming(self._ask, lambda: self.meeting, hall.clock, (name, "here"), self._taker)
        self.taken: list[Any] = []
        self.sources: list[StreamSource] = []
        self.ends: list[NodeSetError | None] = []
        self.answer: Callable[[Any], Any] = lambda data: None
        self.calls: list[str] = []
        self.unknown = ""

    @property
    def peer(self) -> StreamPeer:
        return StreamPeer(self.name, "here", f"tub-{self.name}", f"stream-{self.name}")

    def _ask(self, stream: str, method: str, args: list[Any], timeout: float) -> Deferred[Any]:
        return self.hall.call(self, stream, method, args, timeout)

    def _taker(
        self, name: str, formatter: str, source: StreamSource
    ) -> tuple[Callable[[bytes], Any], Callable[[NodeSetError | None], None]]:
        kind = findFormatter(formatter)
        if kind is None or formatter == self.unknown:
            raise Refused(f"{self.name} knows no formatter {formatter!r}")
        self.sources.append(source)
        decode = kind().decode

        def take(chunk: bytes) -> Any:
            self.taken.append(decode(chunk))
            return self.answer(self.taken[-1])

        return take, self.ends.append


class Hall:
    """Streaming ends over a wire in memory, on a clock that the test turns."""

    def __init__(self, *names: str) -> None:
        self.clock = Clock()
        self.wire = MemoryWire(self.clock)
        self.ends = {f"stream-{name}": End(self, name) for name in names}
        self.deaf: set[str] = set()

    def __getitem__(self, name: str) -> End:
        return self.ends[f"stream-{name}"]

    def call(self, caller: End, stream: str, method: str, args: list[Any], timeout: float) -> Deferred[Any]:
        """As a call would, with arguments and answer through JSON."""
        caller.calls.append(method)
        answered: Deferred[Any] = Deferred()

        def answer(result: Any) -> None:
            if answered.called:
                return
            if isinstance(result, Failure):
                error = result.value
                answered.errback(RemoteError(str(error), type(error).__name__))
            else:
                answered.callback(json.loads(json.dumps(result)))

        def run() -> None:
            target = self.ends.get(stream)
            if target is None or caller.name in self.deaf or target.name in self.deaf:
                answer(Failure(RemoteError("no such node", "UnknownNode")))
                return
            by = Introduced(f"stream-{caller.name}", f"tub-{caller.name}")
            name = method.removeprefix("nodeset.stream.")
            called = getattr(target.streaming.reception, name)
            if name == "open":
                args.insert(1, "video")  # as the introduction says
            running = maybeDeferred(called, by, *json.loads(json.dumps(args)))
            running.addBoth(answer)

        self.clock.callLater(0, run)
        return answered.addTimeout(timeout, self.clock).addErrback(self._cancelled)

    @staticmethod
    def _cancelled(failure: Failure) -> Failure:
        return Failure(RemoteError("cancelled")) if failure.check(CancelledError) else failure

    def advance(self, seconds: float = 0.0, step: float = 0.05) -> None:
        """Let time pass."""
        for _ in range(20):
            self.clock.advance(0)
        end = self.clock.seconds() + seconds
        while (rest := end - self.clock.seconds()) > 1e-9:
            self.clock.advance(min(step, rest))
            for _ in range(5):
                self.clock.advance(0)

    def wait(self, deferred: Deferred[Any], timeout: float = 100.0) -> Any:
        """Its result."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        end = self.clock.seconds() + timeout
        self.advance()
        while not results:
            if self.clock.seconds() >= end:
                raise AssertionError(f"nothing came within {timeout} s")
            self.advance(0.05)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def open(
        self,
        pusher: str,
        *takers: str,
        formatter: type[Formatter] = Formatter,
        patience: float | None = None,
        kind: type[Stream] = Stream,
    ) -> Stream:
        """A stream of `video`."""
        peers = [self[taker].peer for taker in takers]
        opened = Deferred.fromCoroutine(self[pusher].streaming.open("video", formatter(), kind, peers, patience))
        stream: Stream = self.wait(opened)
        return stream


class HallCase(SynchronousTestCase):
    """Makes halls, and sees that nothing is left on the clock of any."""

    def hall(self, *names: str) -> Hall:
        hall = Hall(*names)
        self.addCleanup(self._close, hall)
        return hall

    def _close(self, hall: Hall) -> None:
        for end in hall.ends.values():
            hall.wait(Deferred.fromCoroutine(end.streaming.stop(1.0)))
        hall.advance(60.0, 1.0)
        self.assertEqual(hall.clock.getDelayedCalls(), [])
