"""The files of a program that runs in our place, as its watcher has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger

from nodeset.errors import CannotStart
from nodeset.processes.output.stdio import STREAMS, Stream, Taker
from nodeset.processes.passing.passage import Passage

__all__ = ["Through"]


class Through:
    """A `Stdio` whose streams come out of our own stdout and stderr, on their way to the takers.

    The relays of a `Passage` do that by threads, from before there is a reactor until their ends: here is what of it goes to
    the takers. While a stream is paused its relay reads nothing, so that the program is slowed down.

    :param make: gives the files for one more run.
    :param first: those of a run that has begun, which the first `open` stands for.
    """

    log = Logger()

    def __init__(self, reactor: Any, make: Callable[[], Passage], first: Passage | None = None) -> None:
        self._threads, self._clock = cast(IReactorFromThreads, reactor), cast(IReactorTime, reactor)
        self._make, self._first = make, first
        self._takers: list[Taker] = []
        self._streams: set[Stream] = set()
        self._paused: set[Stream] = set()
        self._grace: IDelayedCall | None = None
        self._over = False
        #: The files of the run under way, or of the last one.
        self.passage: Passage | None = first
        self.closed: Deferred[None] = succeed(None)

    def onData(self, taker: Taker) -> None:
        """See `Stdio`."""
        self._takers.append(taker)

    def open(self) -> tuple[int, int, int]:
        """See `Stdio`."""
        if self._first is not None:
            return self._first.files
        passage = self._make()
        try:
            files = passage.open()
        except OSError as error:
            said = f"no pipes, or terminals, can be made for it: {error.strerror}"
            raise CannotStart(said, error.errno or 0, "files") from None
        self.passage = passage
        return files

    def spawned(self) -> None:
        """See `Stdio`."""
        passage = self.passage
        assert passage is not None, "opened before"
        self.closed, self._over = Deferred(), False
        self._streams = set(passage.relays)
        if self._first is None:
            passage.begin()
        self._first = None
        for stream, relay in passage.relays.items():
            if stream in self._paused:
                relay.pause()
            relay.listen(partial(self._threads.callFromThread, self._look, passage, stream))
        self._settle()

    def abandon(self) -> None:
        """See `Stdio`."""
        if self._first is None and self.passage is not None:
            self.passage.abandon()
        self.passage = self._first = None

    def finish(self, grace: float) -> None:
        """See `Stdio`."""
        if not self._over:
            self._over = True
            self._grace = self._clock.callLater(grace, self._graceOver)
            self._settle()

    def _graceOver(self) -> None:
        self._grace = None
        for stream in self._streams - self._paused:
            self._stop(stream)

    def _stop(self, stream: Stream) -> None:
        if self.passage is not None:
            self.passage.relays[stream].stop()

    def cut(self) -> None:
        """Wait no longer for who reads our stdout or stderr: what they have not taken of this run is lost to them."""
        passage, streams = self.passage, list(self._streams)
        if passage is not None:
            for stream in streams:
                self._look(passage, stream)
        self._streams.clear()
        if passage is not None and not self.closed.called:
            self._over = True
            self._settle()

    def pause(self, stream: Stream) -> None:
        """See `Stdio`."""
        self._paused.add(stream)
        if self.passage is not None and stream in self._streams:
            self.passage.relays[stream].pause()

    def resume(self, stream: Stream) -> None:
        """See `Stdio`."""
        if stream not in self._paused:
            return
        self._paused.discard(stream)
        if self.passage is not None and stream in self._streams:
            self.passage.relays[stream].resume()
            if self._over and self._grace is None:
                self._stop(stream)

    def _look(self, passage: Passage, stream: Stream) -> None:
        """The relay of a stream has something, or has come to its end."""
        if passage is not self.passage or stream not in self._streams:
            return
        relay = passage.relays[stream]
        has_ended = relay.ended
        for data in relay.take():
            for taker in self._takers:
                try:
                    taker(stream, data)
                except Exception:
                    self.log.failure("{taker} failed with what a program wrote", taker=taker)
        if has_ended:
            self._streams.discard(stream)
            self._settle()

    def _settle(self) -> None:
        # Without a stream to read, its end is that of the program.
        if self._streams or self.closed.called or (self.passage is not None and not self.passage.relays and not self._over):
            return
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        for stream in STREAMS:
            self._paused.discard(stream)
        if self.passage is not None:
            self.passage.close()
        self.closed.callback(None)
