"""All checks, one after the other, until the time is over."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from nodeset import settings
from nodeset.cli.doctor import findings
from nodeset.cli.doctor.findings import Finding, Verdict
from nodeset.cli.doctor.premises import addressOf, lookAround
from nodeset.cli.doctor.probing import Answers, Network, ask, linkOf, networkOf, tryHints
from nodeset.cli.logs import LineObserver, withLevel
from nodeset.cli.outcome import Exit, explain, judge
from nodeset.cli.service import steady
from nodeset.cli.share.whence import Whence, trace
from nodeset.cli.shown import printable
from nodeset.cli.visit import Visitor, Where, complain
from nodeset.errors import LinkLost, NodeSetError, NotThere, Refused
from nodeset.transport.furl import Furl
from nodeset.transport.tub import TubTransport

__all__ = ["Examination", "codeOf", "examine"]

#: The part of the time that names and ports may take, so that the link still has some.
_HINTS: Final = 0.4
#: The same for the link, so that the calls still have some.
_LINK: Final = 0.7
#: Seconds that leaving may take, of what is left.
_FAREWELL: Final = 0.5


def codeOf(found: list[Finding], is_linked: bool, was_refused: bool) -> Exit:
    """What the process ends with."""
    if not is_linked and not was_refused and any(each.check in ("address", "reach", "link") for each in _failed(found)):
        return Exit.NO_DISPATCHER
    return Exit.FAILED if _failed(found) else Exit.OK


def _failed(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.verdict is Verdict.FAILED]


class Examination:
    """One run of `nodeset doctor`.

    :param tell: called with each finding as soon as it is there.
    """

    def __init__(self, where: Where, tell: Callable[[Finding], None], reactor: Any, network: Network) -> None:
        self._where, self._tell, self._reactor, self._network = where, tell, reactor, network
        self.found: list[Finding] = []
        self.is_linked = self.was_refused = False
        self._end = reactor.seconds() + where.timeout
        self._node: Visitor | None = None

    def note(self, finding: Finding) -> None:
        """Keep it, tell it."""
        self.found.append(finding)
        self._tell(finding)

    def _noteAll(self, these: Iterator[Finding]) -> None:
        for each in these:
            self.note(each)

    def left(self, part: float = 1.0) -> float:
        """Seconds of this part of the time that are left, never none at all."""
        return max(float(self._end - (1 - part) * self._where.timeout - self._reactor.seconds()), 0.001)

    async def run(self) -> None:
        """All checks; each that cannot be made is told as such."""
        whence = trace(self._where.dispatcher, os.environ)
        self._noteAll(lookAround(whence, os.environ))
        try:
            furl = whence.source.read()
        except NodeSetError as error:
            told, todo = explain(error), "copy the FURL again, whole"
            if isinstance(error, NotThere):
                told = f"{whence.source.describe()} is not there: a dispatcher writes it"
                todo = "start one (nodeset dispatcher), or say where it is by --dispatcher"
            self.note(Finding("address", Verdict.FAILED, printable(told), todo))
            self._skip("reach", "link", "round trip")
            return
        self._noteAll(addressOf(whence, furl))
        await self._reach(whence, furl)

    def _skip(self, *checks: str) -> None:
        for check in checks:
            self.note(Finding(check, Verdict.SKIPPED, "not tried, since what comes before it failed"))

    async def _reach(self, whence: Whence, furl: Furl) -> None:
        hints = await tryHints(furl.hints, self._network, self.left(_HINTS))
        self._noteAll(iter(hints))
        if all(each.verdict is Verdict.FAILED for each in hints):
            self._skip("link", "round trip")
            return
        begin = self._reactor.seconds()
        error: BaseException | None = None
        try:
            node = self._node = self._makeNode(whence)
            await self._link(node, self.left(_LINK))
        except Exception as raised:
            error = raised
        self.note(linkOf(error, self._reactor.seconds() - begin))
        if error is not None:
            self.was_refused = isinstance(error, Refused)
            self._skip("round trip")
            return
        self.is_linked = True
        answers = await ask(
            lambda timeout: node.call("", "stats", timeout=timeout), self._reactor, time.time, self.left() * 0.8
        )
        self._noteAll(self._judge(answers))

    def _judge(self, answers: Answers) -> Iterator[Finding]:
        figures = answers.figures
        yield findings.roundTripOf(answers.seconds)
        if not figures:
            if answers.seconds:
                yield Finding("figures", Verdict.SKIPPED, f"the dispatcher tells none: {answers.why or 'no mapping came'}")
            return
        yield findings.clockOf(findings.number(figures, "wall"), answers.middle, min(answers.seconds))
        for judged in (findings.versionOf, findings.descriptorsOf, findings.memoryOf, findings.loopOf, findings.dropsOf):
            yield judged(figures)

    def _makeNode(self, whence: Whence) -> Visitor:
        found = settings.load(os.environ, {"name": self._where.name, "drain_timeout": _FAREWELL}, settings.COMMAND)
        settings.use(found)
        linked: Deferred[None] = Deferred()
        self._linked = linked

        def ended(code: int, why: str) -> None:
            if not linked.called:
                linked.errback(node.obstacle or LinkLost(why))

        def arrived() -> None:
            if not linked.called:
                linked.callback(None)

        node = Visitor(
            ended,
            True,
            arrived,
            name=found.name or "nodeset-doctor",
            transport=TubTransport(whence.source, self._reactor, (), None, found.host),
            settings=found,
            clock=self._reactor,
        )
        return node

    async def _link(self, node: Visitor, patience: float) -> None:
        node.startService()
        try:
            await self._linked.addTimeout(patience, self._reactor)
        except (DeferredTimeout, CancelledError):
            raise LinkLost(
                f"no link in {patience:.1f} s: {node.reason or 'the connection is accepted, then nothing is said'}"
            ) from None

    def leave(self) -> Deferred[Any]:
        """Say goodbye, if there is time for it."""
        if self._node is None or not self._node.running:
            gone: Deferred[Any] = Deferred()
            gone.callback(None)
            return gone
        return self._node.stopService().addTimeout(min(_FAREWELL, self.left()), self._reactor)


def examine(where: Where, tell: Callable[[Finding], None]) -> int:
    """Run all checks; ends the process by itself once they are over, whatever still hangs then."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    steady(reactor)
    observer = withLevel(LineObserver(open(2, "wb", 0, closefd=False)), "debug" if where.debug else "crit")  # noqa: SIM115
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)
    examination = Examination(where, tell, reactor, networkOf(reactor))

    def tooLate() -> None:
        # Whatever was not bounded by itself, and whoever does not let us go.
        try:
            examination.note(Finding("doctor", Verdict.FAILED, f"not done in {where.timeout:g} s", "say a longer --timeout"))
        finally:
            _leave(codeOf(examination.found, examination.is_linked, examination.was_refused))

    def failed(failure: Failure) -> None:
        error = failure.value or RuntimeError("no reason")
        if where.debug:
            failure.printTraceback(sys.stderr)
        complain("doctor", explain(error))
        _leave(judge(error))

    def done(result: object) -> None:
        code = codeOf(examination.found, examination.is_linked, examination.was_refused)
        examination.leave().addBoth(lambda gone: _leave(code))

    def begin() -> None:
        # Now, since the reactor has put its own in place, which waits for its threads.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os._exit(128 + number))
        reactor.callLater(where.timeout, tooLate)
        _start(examination.run()).addCallbacks(done, failed)

    reactor.callWhenRunning(begin)
    reactor.run()
    return Exit.FAILED  # who stopped it was not us


def _start(coroutine: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
    return Deferred.fromCoroutine(coroutine)


def _leave(code: int) -> None:
    # The reactor would wait for threads that wait for a name server.
    try:
        sys.stdout.flush()
    except OSError as error:
        complain("doctor", explain(error))
        code = judge(error)
    os._exit(code)
