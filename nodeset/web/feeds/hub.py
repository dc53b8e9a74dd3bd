"""All feeds of a bridge.

client -> open(agent, patterns, last_id, sink)    a Tap, once the dispatcher has confirmed the subscription
feed   -> sink.take(batch)                        at most a few times a turn, whatever came in it
feed   -> sink.linked(False), linked(True)        the dispatcher is gone, is back
hub    -> sink.ended(reason, detail)              the bridge stops, the grant is revoked, the dispatcher refuses
client -> tap.close()                             the feed stays for the age of its ring, so that who comes back misses nothing
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.address import parse
from nodeset.errors import InvalidAddressing, Refused, TimedOut
from nodeset.web.agent import Agent
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.feeds.feed import Feed
from nodeset.web.feeds.places import Places
from nodeset.web.feeds.ring import Bounds
from nodeset.web.feeds.tap import Sink, Tap
from nodeset.web.limits import Limits
from nodeset.web.problem import Problem

__all__ = ["Hub"]

#: Seconds between two looks at what is too old.
_SWEEP: Final = 5.0
#: Seconds that a dispatcher has to confirm a subscription.
_PATIENCE: Final = 10.0
#: Feeds that nobody reads any more at most: each costs with every event of its patterns.
_MOST_IDLE: Final = 100
#: Turns after which the bytes of all feeds are added up, feeds that are added up in each.
_COUNTED: Final = 16


class Hub(Service):
    """Opens feeds, shares each among all who want the same patterns on behalf of the same agent, gives them up.

    :param limits: asked each time anew.
    :ivar places: the room for streams, which each stream of whatever kind takes.
    """

    def __init__(
        self, clock: IReactorTime, wall: Callable[[], float], limits: Callable[[], Limits], counters: Counter[str]
    ) -> None:
        self.setName("nodeset-web-hub")
        self._clock, self._wall, self._limits, self._counters = clock, wall, limits, counters
        self.places = Places(lambda: limits().max_streams, counters)
        self._feeds: dict[tuple[BridgeNode, tuple[str, ...]], Feed] = {}
        #: By feed, on whose behalf it is read: agents of keys without a grant share the bridge's own node.
        self._held: dict[Feed, dict[Agent, Callable[[], None]]] = {}
        self._watched: dict[BridgeNode, Callable[[bool, str], object]] = {}
        self._stirred: list[Feed] = []
        self._turns = 0
        self._sweeping: IDelayedCall | None = None
        self._is_draining = False

    @property
    def size(self) -> int:
        """Bytes of what all feeds keep."""
        return sum(feed.size for feed in self._feeds.values())

    def __len__(self) -> int:
        return len(self._feeds)

    # -- clients

    def open(self, agent: Agent, patterns: Sequence[str], last_id: str | None, sink: Sink) -> Deferred[Tap]:
        """Read the events that these patterns match, each once, on behalf of `agent`.

        :param last_id: the id of the last event that the client saw, to go on behind it; None to begin with what comes from now
            on, retained values before it.
        :param sink: told of all that comes from the moment on in which the Deferred fires; what comes before that is in
            `tap.opening`, which the sink does not hear by itself.
        :return: fires with the `Tap` once the dispatcher has confirmed all patterns, at once when it did before or there is no
            dispatcher now (`tap.opening.is_linked` says it; the sink hears when it is back). Fails with `InvalidAddressing`,
            `Refused`, `TimedOut` after 10 s, or `Problem` 400 (too many patterns, none), 503 (draining, too many feeds). It may
            be cancelled.
        """
        return Deferred.fromCoroutine(self._open(agent, patterns, last_id, sink))

    async def _open(self, agent: Agent, patterns: Sequence[str], last_id: str | None, sink: Sink) -> Tap:
        wanted = self._check(agent, patterns)
        feed = self._find(agent, wanted)
        came = feed.come()
        try:
            await feed.confirmed().addTimeout(_PATIENCE, self._clock)
            if feed.trouble is not None:
                self._giveUp(feed, "refused", feed.trouble.getErrorMessage())
                feed.trouble.raiseException()
            if self._is_draining:
                raise _stopping()
            if feed.is_over or agent.ended:
                raise Refused(f"nothing may be read any more: {agent.ended or 'the subscription was ended'}")
        except TimeoutError:
            feed.turnAway()
            raise TimedOut(f"the dispatcher did not confirm {', '.join(wanted)} in {_PATIENCE:g} s") from None
        except BaseException:
            feed.turnAway()
            raise
        return feed.enter(agent, sink, last_id, came)

    def _check(self, agent: Agent, patterns: Sequence[str]) -> tuple[str, ...]:
        if self._is_draining:
            raise _stopping()
        wanted = tuple(sorted(set(patterns)))
        most = self._limits().max_subscriptions
        if not wanted:
            raise Problem(400, "no pattern is given: name one or more, as in orders.*")
        if len(wanted) > most:
            raise Problem(400, f"{len(wanted)} patterns are more than {most} (max-subscriptions): ask for fewer")
        for pattern in wanted:
            if "/" in pattern or "@" in pattern:
                raise InvalidAddressing(f"{pattern[:60]!r} names a node: give the pattern of an event, as in orders.*")
            parse(pattern)
            refusal = agent.rights.maySubscribe(pattern)
            if refusal:
                raise Refused(refusal)
        return wanted

    def _find(self, agent: Agent, patterns: tuple[str, ...]) -> Feed:
        node = agent.node
        feed = self._feeds.get((node, patterns))
        if feed is not None:
            self._hold(feed, agent)
            return feed
        limits = self._limits()
        if len(self._feeds) >= limits.max_feeds and not self._dropIdle(len(self._feeds) - limits.max_feeds + 1):
            self._counters["refused:feeds"] += 1
            raise Problem(503, f"{limits.max_feeds} sets of patterns are read, no more may be (max-feeds)", retry_after=5)
        bounds = Bounds(limits.feed_events, limits.feed_bytes, limits.feed_age)
        epoch = secrets.token_hex(5)
        feed = Feed(node, patterns, epoch, bounds, self._clock.seconds, self._wall, self._stir)
        self._feeds[node, patterns] = feed
        if node not in self._watched:
            watcher = self._watched[node] = lambda is_linked, reason: self._link(node, is_linked)
            node.watchLink(watcher)
        if self._sweeping is None:
            self._sweeping = self._clock.callLater(_SWEEP, self._sweep)
        self._held[feed] = {}
        self._hold(feed, agent)
        if not feed.is_over:
            feed.listen()
        return feed

    def _hold(self, feed: Feed, agent: Agent) -> None:
        held = self._held[feed]
        if agent not in held:
            held[agent] = _nothing
            release = agent.hold(lambda reason: self._end(feed, agent, reason))
            if agent in held:
                held[agent] = release

    def _end(self, feed: Feed, agent: Agent, reason: str) -> None:
        """This agent may read no more; the feed goes on for others."""
        held = self._held.get(feed, {})
        held.pop(agent, None)
        if not held:
            self._giveUp(feed, "grant", reason)
            return
        for tap in feed.taps:
            if tap.agent is agent:
                self._endTap(feed, tap, "grant", reason)

    # -- what comes

    def _stir(self, feed: Feed) -> None:
        if not self._stirred:
            self._clock.callLater(0, self._flush)
        self._stirred.append(feed)

    def _flush(self) -> None:
        stirred, self._stirred = self._stirred, []
        for feed in stirred:
            self._counters["events_out"] += feed.flush()
            if feed.trouble is not None:
                self._giveUp(feed, "refused", feed.trouble.getErrorMessage())
        # The sum over all feeds is not worth its time in each turn.
        self._turns += 1
        if self._turns >= _COUNTED or len(self._feeds) <= _COUNTED:
            self._turns = 0
            self._shrink()

    def _link(self, node: BridgeNode, is_linked: bool) -> None:
        for feed in self._of(node):
            if not is_linked:
                feed.lost()
            elif all(map(node.hears, feed.patterns)):
                feed.found()
            else:
                refused = "the dispatcher refuses the subscription now"
                self._giveUp(feed, "refused", refused if feed.trouble is None else feed.trouble.getErrorMessage())

    def _of(self, node: BridgeNode) -> list[Feed]:
        return [feed for feed in self._feeds.values() if feed.node is node]

    # -- the end of things

    def drain(self) -> None:
        """Let nobody in any more; end all that is read."""
        self._is_draining = True
        for feed in list(self._feeds.values()):
            feed.flush()
            self._giveUp(feed, "draining")

    def startService(self) -> None:
        """The bridge starts."""
        self._is_draining = False
        Service.startService(self)

    def stopService(self) -> None:
        """The bridge stops."""
        self.drain()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        Service.stopService(self)

    def _giveUp(self, feed: Feed, reason: str, detail: str = "") -> None:
        if self._feeds.pop((feed.node, feed.patterns), None) is None:
            return
        feed.unlisten()
        for release in self._held.pop(feed, {}).values():
            release()
        for tap in feed.taps:
            self._endTap(feed, tap, reason, detail)
        watcher = self._watched.get(feed.node)
        if watcher is not None and not self._of(feed.node):
            feed.node.unwatchLink(watcher)
            del self._watched[feed.node]

    def _endTap(self, feed: Feed, tap: Tap, reason: str, detail: str) -> None:
        tap.close()
        self._counters[f"ended:{reason}"] += 1
        feed.tell(tap, lambda sink: sink.ended(reason, detail))

    # -- bounds

    def _sweep(self) -> None:
        self._sweeping = self._clock.callLater(_SWEEP, self._sweep) if self._feeds else None
        now = self._clock.seconds()
        for feed in list(self._feeds.values()):
            feed.ring.trim(now)
            if feed.idle_since is not None and now - feed.idle_since > feed.ring.bounds.age:
                self._giveUp(feed, "idle")
        self._dropIdle(len(self._idle()) - _MOST_IDLE)

    def _idle(self) -> list[Feed]:
        """Those that nobody reads, the longest idle first."""
        idle = [(feed.idle_since, feed) for feed in self._feeds.values() if feed.idle_since is not None]
        return [feed for _since, feed in sorted(idle, key=lambda each: each[0])]

    def _dropIdle(self, count: int) -> bool:
        """Give up so many that nobody reads; whether there were as many."""
        idle = self._idle()[: max(0, count)]
        self._dropAll(idle)
        return len(idle) >= count

    def _dropAll(self, feeds: Iterable[Feed]) -> None:
        for feed in feeds:
            self._counters["feeds_dropped"] += 1
            self._giveUp(feed, "idle")

    def _shrink(self) -> None:
        """Keep all feeds together within their bound: what nobody reads goes first, then half of what the largest keeps."""
        most = self._limits().max_feeds_bytes
        size = self.size
        while size > most:
            idle = [feed for feed in self._idle() if feed.size]
            if idle:
                self._dropAll(idle[:1])
            else:
                self._counters["feeds_shrunk"] += 1
                max(self._feeds.values(), key=lambda feed: feed.size).shrink()
            size = self.size


def _nothing() -> None:
    """There is nothing to release."""


def _stopping() -> Problem:
    return Problem(503, "the bridge is about to stop: come back to another one, or soon", retry_after=2)
