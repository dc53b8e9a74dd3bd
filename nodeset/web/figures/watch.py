"""The service that asks the dispatcher how things are, for all who look at a page.

watch -> dispatcher   stats(), nodes(after), every interval while somebody looks, five times as seldom else
dispatcher -> watch   the link opened, the link is lost: told at once
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Protocol

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.figures.reading import Reading, readStats
from nodeset.errors import NodeSetError, ProtocolError, Refused, UnknownMethod
from nodeset.web.figures.busiest import Busiest, Sight, readPage
from nodeset.web.figures.history import History
from nodeset.web.figures.reading import Sample, Snapshot, sampleOf, snapshotOf

__all__ = ["INTERVAL", "LINGER", "PACE", "SLOWER", "Figures", "Follower", "Update"]

#: Seconds between two looks while somebody looks at us.
INTERVAL: Final = 2.0
#: By what looks, and pages of nodes, are slower while nobody does.
SLOWER: Final = 5
#: Seconds for which somebody who looked once counts as looking.
LINGER: Final = 600.0
#: Seconds from one page of nodes to the next: a page takes the dispatcher a few milliseconds.
PACE: Final = 0.5
#: Seconds that the dispatcher has for an answer.
_LEAST, _MOST = 1.0, 10.0


class Asker(Protocol):
    """The node that asks, as `BridgeNode` is one."""

    @property
    def is_linked(self) -> bool:
        """Whether there is a link now."""

    @property
    def trouble(self) -> str:
        """Why there is none."""

    def call(self, target: str, method: str, /, *args: Any, timeout: float = ..., idempotent: bool = ...) -> Deferred[Any]:
        """See `Node`."""

    def watchLink(self, watcher: Callable[[bool, str], object]) -> None:
        """See `BridgeNode`."""

    def unwatchLink(self, watcher: Callable[[bool, str], object]) -> None:
        """See `BridgeNode`."""


class Update:
    """What one look brought: `sample`, `now`; as a server-sent event made once, however many read it."""

    def __init__(self, sample: Sample, now: Snapshot) -> None:
        self.sample, self.now = sample, now

    @cached_property
    def whole(self) -> bytes:
        """All of it."""
        return _event(self.sample, self.now)

    @cached_property
    def nodeless(self) -> bytes:
        """Without the nodes, for who may not see them."""
        return _event(self.sample, withoutNodes(self.now))


def _event(sample: Sample, now: Snapshot) -> bytes:
    return b"event: figures\ndata: %b\n\n" % msgspec.json.encode({"sample": sample, "now": now})


class Follower(Protocol):
    """Who wants to know what each look brings."""

    def take(self, update: Update) -> None:
        """A look brought this."""

    def end(self) -> None:
        """There will be no more."""


def withoutNodes(now: Snapshot) -> Snapshot:
    """The same without the nodes."""
    return msgspec.structs.replace(now, nodes=[], more_nodes=0)


class Figures(Service):
    """Knows how the dispatcher of `node` is, how it was in the last ten minutes; somebody else starts and stops the node.

    :param wall: Unix time.
    :param interval: seconds between two looks while somebody looks at us.
    :ivar history: the samples.
    :ivar now: what is there.
    """

    log = Logger()

    def __init__(self, node: Asker, clock: IReactorTime, wall: Callable[[], float], interval: float = INTERVAL) -> None:
        self.setName("nodeset-web-figures")
        self._node, self._clock, self._wall, self.interval = node, clock, wall, interval
        self._timeout = min(max(interval, _LEAST), _MOST)
        self.history = History()
        self.now = Snapshot(round(wall(), 3), False, "the dispatcher was not asked yet")
        self._reading: Reading | None = None
        self._busiest = Busiest()
        self._sight: Sight | None = None
        self._followers: list[Follower] = []
        self._attended: float | None = None
        self._looked = clock.seconds()
        self._alarm: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None
        self._sweeping: Deferred[None] | None = None
        self._complaint = ""

    # -- life

    def startService(self) -> None:
        """Look, from now on."""
        Service.startService(self)
        self._node.watchLink(self._linkChanged)
        if self._node.is_linked:
            self._wake()
        else:
            # A link is about to be opened as a rule: that is told.
            self._looked = self._clock.seconds() - (SLOWER - 1) * self.interval
            self._schedule()

    def stopService(self) -> None:
        """Look no more."""
        Service.stopService(self)
        self._node.unwatchLink(self._linkChanged)
        self._rest()
        followers, self._followers = self._followers, []
        for follower in followers:
            follower.end()

    def _rest(self) -> None:
        """Be at nothing, wait for nothing."""
        alarm, self._alarm = self._alarm, None
        if alarm is not None and alarm.active():
            alarm.cancel()
        under_way, self._looking, self._sweeping = (self._looking, self._sweeping), None, None
        for each in under_way:
            if each is not None:
                each.cancel()

    # -- who looks

    @property
    def attended(self) -> bool:
        """Whether somebody looks, or did in the last ten minutes."""
        if self._followers:
            return True
        return self._attended is not None and self._clock.seconds() - self._attended < LINGER

    def attend(self) -> None:
        """Somebody looks: ask more often for a while."""
        self._attended = self._clock.seconds()
        if self.running and self._looking is None:
            self._schedule()

    def follow(self, follower: Follower) -> None:
        """Give it each update from now on, until `unfollow`."""
        self._followers.append(follower)
        self.attend()

    def unfollow(self, follower: Follower) -> None:
        """Undo `follow`; nothing if that was undone before."""
        if follower in self._followers:
            self._attended = self._clock.seconds()
            self._followers.remove(follower)

    @property
    def newest(self) -> Update | None:
        """What the last look brought, None before the first."""
        sample = self.history.last
        return None if sample is None else Update(sample, self.now)

    # -- when

    def _schedule(self) -> None:
        """Set the alarm for the next look."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        due = self._looked + self.interval * (1 if self.attended else SLOWER)
        self._alarm = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._looked = self._clock.seconds()
        looking = self._looking = Deferred.fromCoroutine(self._look())

        def over(result: Any) -> None:
            self._failed(result)
            if self._looking is looking:
                self._looking = None
                self._schedule()

        looking.addBoth(over)

    def _failed(self, result: Any) -> None:
        if isinstance(result, Failure) and not result.check(CancelledError):
            self.log.failure("a look at the dispatcher failed", result)

    def _linkChanged(self, linked: bool, reason: str) -> None:
        self._rest()
        if linked:
            self._wake()
        else:
            self._lose(reason)
            self._looked = self._clock.seconds()
            self._schedule()

    # -- looking

    async def _look(self) -> None:
        if not self._node.is_linked:
            self._lose(self._node.trouble or "no link to it was opened yet")
            return
        try:
            reading = readStats(await self._node.call("", "stats", timeout=self._timeout, idempotent=True))
        except (Refused, UnknownMethod, ProtocolError) as error:
            how = f"{error}: the bridge needs a grant with --call nodeset/stats" if isinstance(error, Refused) else str(error)
            self._complain(how)
            self._reading = None
            self._show(Sample(self._at(), True), Snapshot(self._at(), True, how))
            return
        except NodeSetError as error:
            self._lose(str(error))
            return
        if self._reading is not None and reading.boot != self._reading.boot:
            self._busiest.forget()
            self._sight = None
        reason = await self._lookAtNodes() if self._sweeping is None else ""
        self._complain(reason)
        before, self._reading = self._reading, reading
        self._show(sampleOf(self._at(), before, reading, self._sight), snapshotOf(self._at(), reading, self._sight, reason))

    async def _lookAtNodes(self) -> str:
        """See the first page of nodes, which is the last as a rule; returns what is in the way of that."""
        self._busiest.begin()
        try:
            following = await self._page("")
        except Refused as error:
            self._sight = None
            return f"{error}: the bridge needs a grant with --call nodeset/nodes"
        except NodeSetError as error:
            self._sight = None
            return str(error)
        if not following:
            self._sight = self._busiest.finish()
            return ""
        sweeping = self._sweeping = Deferred.fromCoroutine(self._sweep(following))

        def over(result: Any) -> None:
            if self._sweeping is sweeping:
                self._sweeping = None
            self._failed(result)

        sweeping.addBoth(over)
        return ""

    async def _sweep(self, after: str) -> None:
        """See all other pages, slowly."""
        while after and not self._busiest.full:
            await deferLater(self._clock, PACE if self.attended else PACE * SLOWER, lambda: None)
            try:
                following = await self._page(after)
            except NodeSetError:
                return  # the next look says what is the matter
            if following and following <= after:
                self._complain("the dispatcher's answer about its nodes goes in circles")
                return
            after = following
        self._sight = self._busiest.finish(whole=not after)

    async def _page(self, after: str) -> str:
        page = readPage(await self._node.call("", "nodes", after, timeout=self._timeout, idempotent=True))
        self._busiest.see(page, self._clock.seconds())
        return page.next

    # -- showing

    def _at(self) -> float:
        return round(self._wall(), 3)

    def _lose(self, reason: str) -> None:
        """The dispatcher does not answer; what it last told is what it was, not what it is."""
        # Of the time in between nothing is known: no rate is to be reckoned over it.
        self._reading = self._sight = None
        self._busiest.forget()
        self._show(Sample(self._at(), False), Snapshot(self._at(), False, reason, self.now.site, self.now.version))

    def _show(self, sample: Sample, now: Snapshot) -> None:
        self.history.add(sample)
        self.now = now
        update = Update(sample, now)
        for follower in list(self._followers):
            try:
                follower.take(update)
            except Exception:
                self.log.failure("a follower of the figures failed")

    def _complain(self, reason: str) -> None:
        """Once for each reason."""
        if reason != self._complaint:
            self._complaint = reason
            if reason:
                self.log.warn("figures are missing: {reason}", reason=reason)
