"""Frames of a stream, gathered while that makes sense."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.link import Link

__all__ = ["Spout"]

#: A frame of this size is worth a batch of its own; so is what was gathered once it has the other.
_LARGE, _ENOUGH = 8 * 1024, 64 * 1024


class Spout:
    """The sending side of one link: small frames of one turn leave together, all leave in order."""

    __slots__ = ("_clock", "_flushing", "_frames", "_link", "_size")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._link: Link | None = None
        self._frames: list[bytes] = []
        self._size = 0
        self._flushing: IDelayedCall | None = None

    @property
    def link(self) -> Link | None:
        """Where it leads, or None."""
        return self._link

    def attach(self, link: Link) -> None:
        """Send to `link` from here on."""
        self._link = link

    def detach(self) -> None:
        """There is no link any more: what is written is dropped."""
        self._link = None
        self._forget()

    def write(self, frame: bytes, soon: bool = False) -> None:
        """Send `frame` within this turn or at its end; with `soon` now, if nothing waits."""
        if self._link is None:
            return
        if len(frame) >= _LARGE or (soon and not self._frames):
            self.flush()
            self._link.send(frame)
            return
        self._frames.append(frame)
        self._size += len(frame)
        if self._size >= _ENOUGH:
            self.flush()
        elif self._flushing is None:
            self._flushing = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        self.flush()

    def flush(self) -> None:
        """Send what was gathered."""
        if self._link is not None and self._frames:
            batch = b"".join(self._frames)
            self._forget()
            self._link.send(batch)

    def _forget(self) -> None:
        self._frames.clear()
        self._size = 0
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
