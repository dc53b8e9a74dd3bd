"""The service that watches a dispatcher: it looks, shows, publishes, answers.

watch -> dispatcher   stats(), every interval;  nodes(after), slowly
watch -> nodes        nodeset.figures(), of the busiest
anybody -> watch      the event `notify`
watch -> anybody      the event `nodeset.stats`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.address import parseTarget
from nodeset.core.likeness import bare
from nodeset.core.node import Node
from nodeset.core.seldom import Seldom
from nodeset.errors import InvalidAddressing, NodeSetError, ProtocolError, Refused
from nodeset.monitor.message import NOTIFY, STATS, Stats, fieldsOf, lineOf
from nodeset.monitor.overview import Overview
from nodeset.monitor.sweep import askFigures, askNodes, askStats

__all__ = ["Watch"]

#: Seconds between two sweeps of the nodes at least, however often the dispatcher is looked at.
_SWEEP: Final = 2.0
#: Seconds between two answers to `notify`, however many ask.
_PAUSE: Final = 1.0
#: Seconds between two lines about questions that make no sense.
_QUIET: Final = 30.0
#: Nodes that are answered each for itself at a time.
_MOST: Final = 20
#: Seconds that an answer may take at most.
_LONGEST: Final = 10.0


class Watch(Service):
    """Watches the dispatcher of `node`, which somebody else starts and stops, with `heard` as the end of its `onEvent`.

    :param interval: seconds between two looks.
    :param say: called with each line that is shown, or None to show nothing.
    :param as_json: whether lines are JSON objects.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        clock: IReactorTime,
        overview: Overview,
        interval: float,
        say: Callable[[str], None] | None = None,
        as_json: bool = False,
    ) -> None:
        self.setName("nodeset-monitor-watch")
        self.overview = overview
        self._node, self._clock, self._interval, self._say, self._as_json = node, clock, interval, say, as_json
        self._timeout = min(max(interval, 1.0), _LONGEST)
        self._looking, self._sweeping = LoopingCall(self._look), LoopingCall(self._sweep)
        self._looking.clock = self._sweeping.clock = clock
        self._under_way: set[Deferred[None]] = set()
        self._complaints: dict[str, str] = {}
        self._mute = ""
        self._seldom = Seldom(_QUIET)
        self._askers: dict[str, None] = {}
        self._unanswered = 0
        self._answer: IDelayedCall | None = None
        self._answered = clock.seconds() - _PAUSE

    def startService(self) -> None:
        """Look, from now on."""
        Service.startService(self)
        subscribed = self._node.subscribe(NOTIFY)
        subscribed.addCallbacks(lambda active: self._settle(NOTIFY), self._deaf)
        for loop, interval in ((self._looking, self._interval), (self._sweeping, max(self._interval, _SWEEP))):
            loop.start(interval).addErrback(self._failed, "loop")

    def stopService(self) -> None:
        """Look no more."""
        Service.stopService(self)
        for loop in (self._looking, self._sweeping):
            if loop.running:
                loop.stop()
        if self._answer is not None and self._answer.active():
            self._answer.cancel()
        for each in list(self._under_way):
            each.cancel()

    def _begin(self, work: Coroutine[Any, Any, None], what: str) -> Deferred[None]:
        """Do it until we stop; fires when it is done, never fails."""
        done = Deferred.fromCoroutine(work)
        self._under_way.add(done)

        def over(result: Any) -> Any:
            self._under_way.discard(done)
            return result

        return done.addBoth(over).addErrback(self._failed, what)

    # -- looking

    def _look(self) -> Deferred[None]:
        return self._begin(self._lookOnce(show=True), "look")

    async def _lookOnce(self, show: bool) -> None:
        try:
            self.overview.told(await askStats(self._node, self._timeout))
        except NodeSetError as error:
            if self.running:
                self._lose(error)
            return
        if not self.running:
            return
        self._settle("the dispatcher's figures")
        if show:
            self._show()
            self._publish(STATS)

    def _lose(self, error: NodeSetError) -> None:
        was_up = self.overview.up
        self.overview.lost()
        self._mute = ""  # another dispatcher may let us publish
        reason = str(error)
        if isinstance(error, Refused):
            reason = f"{reason}: it needs a grant with --call nodeset/stats"
        self._complain("the dispatcher's figures", "no figures of the dispatcher: {reason}", reason)
        if self._say is not None and was_up and self._as_json:
            self._say(json.dumps({"up": False}))

    async def _sweepOnce(self) -> None:
        if not self.overview.up:
            return
        restarts = self.overview.restarts
        try:
            sights = await askNodes(self._node, self._clock, self._timeout)
            if restarts != self.overview.restarts:
                return  # some of it is of the dispatcher before, which counted otherwise
            self.overview.sweep(sights)
            self._settle("figures of nodes")
        except Refused as error:
            self._complain(
                "figures of nodes", "no figures of nodes: {reason}", f"{error}: it needs a grant with --call nodeset/nodes"
            )
            return
        except ProtocolError as error:
            self._complain("figures of nodes", "no figures of nodes: {reason}", str(error))
            return
        except NodeSetError:
            return  # the next look says what is the matter
        labels = self.overview.labels
        for label, told in (await askFigures(self._node, labels.rows, self._timeout)).items():
            labels.figures(label, told)

    def _sweep(self) -> Deferred[None]:
        return self._begin(self._sweepOnce(), "sweep")

    def _failed(self, failure: Failure, what: str) -> None:
        if not failure.check(CancelledError):
            self.log.failure("a {what} failed", failure, what=what)

    # -- showing

    def _show(self) -> None:
        if self._say is not None:
            fields = fieldsOf(self.overview)
            self._say(json.dumps({"up": True, **fields}) if self._as_json else lineOf(fields))

    def _publish(self, address: str) -> None:
        """Let them know who subscribe; once refused, not again before there is another link."""
        if self._mute:
            return
        published = self._node.publish(address, Stats, timeout=self._timeout, **fieldsOf(self.overview))
        published.addCallbacks(lambda receipt: self._settle("publishing"), self._unpublished)

    def _unpublished(self, failure: Failure) -> None:
        if failure.check(Refused):
            self._mute = failure.getErrorMessage()
            how = f"{self._mute}: it needs a grant with --publish {STATS}"
            self._complain("publishing", "figures are not published: {reason}", how)
        elif not failure.check(NodeSetError):  # of others the next look says what is the matter
            self.log.failure("figures were not published", failure)

    # -- answering

    def heard(self, event: str, msg: Any) -> None:
        """An event came to the node."""
        if event != NOTIFY or not self.running:
            return
        address = STATS
        reply_to = bare(getattr(msg, "reply_to", ""))
        if reply_to:
            try:
                if not isinstance(reply_to, str):  # nor made one: it may be a megabyte of anything
                    raise InvalidAddressing(f"its reply_to is no text but a {type(reply_to).__name__}: give a str")
                name, host = parseTarget(reply_to)
                address = f"{name}@{host}/{STATS}"
            except InvalidAddressing as error:
                unsaid = self._seldom.mayI(self._clock.seconds())
                if unsaid is not None:
                    more = f" ({unsaid} more were not since the last such line)" if unsaid else ""
                    self.log.warn("a question is not answered: {reason}", reason=f"{error}{more}")
                return
        if len(self._askers) >= _MOST:
            self._unanswered += 1
            return
        self._askers[address] = None
        if self._answer is None:
            wait = self._answered + _PAUSE - self._clock.seconds()
            self._answer = self._clock.callLater(max(0.0, wait), self._answerNow)

    def _answerNow(self) -> None:
        self._answer, self._answered = None, self._clock.seconds()
        askers, self._askers = self._askers, {}
        if self._unanswered:
            self.log.warn("{count} questions were not answered: too many at a time", count=self._unanswered)
            self._unanswered = 0
        self._begin(self._answerAll(list(askers)), "look")

    async def _answerAll(self, addresses: list[str]) -> None:
        await self._lookOnce(show=False)
        for address in addresses if self.overview.up and self.running else ():
            self._publish(address)

    # -- complaining, once for each reason

    def _complain(self, about: str, text: str, reason: str) -> None:
        if self._complaints.get(about) != reason:
            self._complaints[about] = reason
            self.log.warn(text, reason=reason)

    def _deaf(self, failure: Failure) -> None:
        if failure.check(Refused):
            reason = f"{failure.getErrorMessage()}: it needs a grant with --subscribe {NOTIFY}"
            self._complain(NOTIFY, "questions are not answered: {reason}", reason)
        elif not failure.check(NodeSetError):
            self.log.failure("not subscribed", failure)

    def _settle(self, about: str) -> None:
        if self._complaints.pop(about, None) is not None:
            self.log.info("{about}: all is well again", about=about)
