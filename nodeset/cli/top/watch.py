"""Asking a dispatcher for its figures, every so many seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from nodeset.cli.options import oneLine
from nodeset.cli.top.rates import Frame, compare
from nodeset.cli.top.screens import Screen
from nodeset.cli.top.snapshot import NodeSample, Snapshot
from nodeset.cli.top.table import Order, View
from nodeset.cli.top.words import lasting
from nodeset.core.figures.reading import plain, readStats
from nodeset.core.presence.asking import NodeInfo
from nodeset.errors import LinkLost, ProtocolError, UnknownMethod

__all__ = ["Watch"]

#: Rates that are kept for the sparkline.
_KEPT: Final = 120
#: The share of our time, and so of the dispatcher's, that asking may take.
_SHARE: Final = 0.1
#: Seconds that the dispatcher has for an answer.
_LEAST, _MOST = 2.0, 10.0


class Watcher(Protocol):
    """The node that asks, as `nodeset.cli.visit.Visitor` is one."""

    @property
    def stream(self) -> str:
        """What names this node."""

    @property
    def reason(self) -> str:
        """Why the last attempt to link failed."""

    @property
    def is_linked(self) -> bool:
        """Whether there is a link now."""

    def nodes(self, name: str = "", *, timeout: float = ...) -> Deferred[list[NodeInfo]]:
        """See `Node`."""

    def call(self, target: str, method: str, /, *args: Any, timeout: float = ...) -> Deferred[Any]:
        """See `Node`."""


class Watch:
    """Draws a frame every `interval` seconds, `count` of them, or for ever if that is 0."""

    def __init__(
        self,
        node: Watcher,
        clock: IReactorTime,
        makeScreen: Callable[[Callable[[str], None]], Screen],
        interval: float,
        count: int,
        order: Order,
    ) -> None:
        self._node, self._clock, self._interval, self._count = node, clock, interval, count
        self._view = View(order)
        self._last: Snapshot | None = None
        self._frame: Frame | None = None
        self._history: deque[float] = deque(maxlen=_KEPT)
        self._silent_since: float | None = None
        self._running: Deferred[None] | None = None
        self._screen = makeScreen(self.pressed)

    async def run(self) -> None:
        """Until all frames were shown, or `q` was pressed, or this was cancelled. Raises `Refused` where we may not ask."""
        try:
            self._running = Deferred.fromCoroutine(self._loop())
            await self._running
        except CancelledError:
            pass  # how it ends as a rule
        finally:
            self._screen.close()

    def pressed(self, key: str) -> None:
        """A key: q ends, p stands still or goes on, s and the arrows sort by another column, r turns that round."""
        view = self._view
        match key:
            case "q":
                if self._running is not None:
                    self._running.cancel()
                return
            case "p":
                self._view = attrs.evolve(view, paused=not view.paused)
            case "s" | "right":
                self._view = attrs.evolve(view, order=view.order.next(1))
            case "left":
                self._view = attrs.evolve(view, order=view.order.next(-1))
            case "r":
                self._view = attrs.evolve(view, order=attrs.evolve(view.order, turned=not view.order.turned))
            case _:
                return
        self._draw()

    async def _loop(self) -> None:
        shown = 0
        while True:
            start = self._clock.seconds()
            if not self._view.paused:
                await self._look()
                # Nothing to compare it with yet, unless there is trouble, which is worth a frame.
                if not (self._screen.patient and self._frame is None and not self._view.trouble):
                    self._draw()
                    shown += 1
                    if shown == self._count:
                        return
            took = self._clock.seconds() - start
            # Where nothing came, no time of the dispatcher's was taken that we know of: soon it may answer again.
            pause = max(self._interval, 2 * took if self._view.trouble else took / _SHARE)
            self._view = attrs.evolve(self._view, asks=pause if pause >= 2 * self._interval else 0.0)
            await self._sleep(max(0.0, pause - took))

    def _sleep(self, seconds: float) -> Deferred[None]:
        waking: Deferred[None] = Deferred(lambda cancelled: alarm.cancel())
        alarm = self._clock.callLater(seconds, waking.callback, None)
        return waking

    def _draw(self) -> None:
        self._screen.draw(self._frame, list(self._history), self._view)

    async def _look(self) -> None:
        """Ask once; what went wrong stands in the view."""
        self._view = attrs.evolve(self._view, trouble="")
        if not self._node.is_linked:
            self._complain("no dispatcher", self._node.reason or "the link is lost")
            return
        try:
            snapshot = await self._ask()
        except LinkLost as error:
            self._complain("no answer", str(error))
        except ProtocolError as error:
            self._complain("no figures", str(error))
        else:
            self._silent_since = None
            frame = compare(self._last, snapshot)
            first, self._last = self._last is None, snapshot
            if not (first and self._screen.patient):
                self._frame = frame
            if frame.published is not None or frame.delivered is not None:
                self._history.append((frame.published or 0.0) + (frame.delivered or 0.0))

    def _complain(self, what: str, why: str) -> None:
        now = self._clock.seconds()
        if self._silent_since is None:
            self._silent_since = now
        since = f" since {lasting(now - self._silent_since)}"
        self._view = attrs.evolve(self._view, trouble=f"{what}{since}, trying again: {plain(oneLine(why))}")

    async def _ask(self) -> Snapshot:
        patience = min(_MOST, max(_LEAST, self._interval))
        try:
            figures = readStats(await self._node.call("", "stats", timeout=patience))
        except UnknownMethod:
            figures = None  # an older dispatcher: what its nodes do can still be seen
        nodes = await self._node.nodes(timeout=patience)
        return Snapshot(self._clock.seconds(), figures, [_sample(each) for each in nodes if each.stream != self._node.stream])


def _sample(info: NodeInfo) -> NodeSample:
    return NodeSample(
        info.stream,
        info.address,
        "away" if info.away else info.state,
        info.latency,
        info.published,
        info.delivered,
        info.queued_events,
        info.queued_bytes,
        info.calls_running,
        sum(info.drops.values()),
    )
