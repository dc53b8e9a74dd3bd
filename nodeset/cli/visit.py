"""A short visit to a dispatcher: link, run one errand, leave, end the process with a code.

def main(where: Where) -> NoReturn:
    async def errand(node: Visitor) -> int:
        receipt = await node.publishMessage("orders.created", msg)
        return Exit.OK

    visit("pub", where, errand)
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from nodeset import settings
from nodeset.cli.logs import LineObserver, harmless, withLevel
from nodeset.cli.options import oneLine
from nodeset.cli.outcome import Exit, explain, judge
from nodeset.cli.roles import Present
from nodeset.cli.service import steady
from nodeset.core.link import Transport
from nodeset.errors import BadFurl, BadSettings, NotThere

__all__ = ["Errand", "Visitor", "Where", "complain", "visit"]

#: Seconds that leaving may take.
_FAREWELL = 2.0
_THRESHOLDS = (50_000, 20, 100)


@attrs.frozen
class Where:
    """Which dispatcher a sub-command visits.

    :ivar dispatcher: as `--dispatcher-url` of the services has it; None for what the environment or the default says.
    :ivar name: the label of the visiting node; None is what the environment says, else `nodeset-` with the sub-command.
    :ivar timeout: seconds in which it must be found.
    :ivar debug: whether to show tracebacks, and what is logged.
    """

    dispatcher: str | None = attrs.field(default=None, repr=False)
    name: str | None = None
    timeout: float = 5.0
    debug: bool = False


class Visitor(Present):
    """The node of a sub-command; `autosubscribe` is off, it has no handlers but those that it is given.

    :param arrived: called once, when it is linked.
    """

    autosubscribe = False

    def __init__(
        self, end: Callable[[int, str], None], fixed: bool, arrived: Callable[[], None], *, transport: Transport, **about: Any
    ) -> None:
        super().__init__(end, fixed, transport=transport, **about)
        self._arrived = arrived
        self._is_lost = False
        self._dialling.begins = self._dials
        #: What it runs in, which is a clock as well.
        self.reactor: Any = about["clock"]
        #: Why there is no way in, once that is known.
        self.obstacle: BaseException | None = None
        #: Called with each event that comes: its address, its message. What it returns is waited for.
        self.heard: Callable[[str, Any], object] = lambda event, msg: None
        #: Called with why, to end the visit before its errand is over.
        self.giveUp: Callable[[BaseException], None] = lambda error: None
        #: Called when the link is lost, which is dialled again, and when it is back.
        self.lost: Callable[[], None] = lambda: None
        self.back: Callable[[], None] = lambda: None

    def linked(self, node: object) -> None:
        """See `Present`."""
        self._arrived()

    def _dials(self) -> None:
        if self._peer is not None and self._peer.met and not self._is_lost:
            self._is_lost = True
            self.lost()

    def _opened(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self.back()
        super()._opened()

    def waits(self) -> bool:
        """A person does not wait for another FURL."""
        return False

    def _isHopeless(self, failure: Failure) -> bool:
        self.obstacle = failure.value
        return super()._isHopeless(failure)

    def onEvent(self, event: str, msg: Any) -> object:
        """Pass it on."""
        return self.heard(event, msg)

    @property
    def stream(self) -> str:
        """What names this node for ever; empty before it is started."""
        return self._peer.stream if self._peer is not None else ""

    @property
    def reason(self) -> str:
        """Why the last attempt to link failed."""
        return self._dialling.reason


#: What is run once the node is linked; its result is the exit code, None is `Exit.OK`.
Errand = Callable[[Visitor], Coroutine[Any, Any, int | None]]
#: What is done with the node before it is started.
Preparation = Callable[[Visitor], object]


def complain(name: str, reason: object) -> None:
    """One line on stderr, which may be closed."""
    try:
        sys.stderr.write(f"nodeset {name}: {oneLine(reason)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def _showTrace(error: BaseException) -> None:
    """Where it came from, on stderr, which may be closed."""
    try:
        sys.stderr.write(harmless("".join(traceback.format_exception(error))))
    except (OSError, ValueError, AttributeError):
        pass


class _Visit:
    """One errand from start to end; `code` is what the process ends with."""

    def __init__(
        self, name: str, where: Where, errand: Errand, reactor: Any, prepare: Preparation, given: dict[str, Any]
    ) -> None:
        self._name, self._where, self._errand, self._reactor = name, where, errand, reactor
        self._given = given
        self.code: int = Exit.FAILED
        self._signal = 0
        self._running: Deferred[Any] | None = None
        #: Whether the errand is at work; a coroutine that was cancelled has a Deferred that was `called`, over or not.
        self._busy = False
        self._alarm: IDelayedCall | None = None
        self._over = False
        self.node = self._makeNode()
        self.node.giveUp = self._gaveUp
        prepare(self.node)

    def _makeNode(self) -> Visitor:
        from nodeset.transport.default import findSource
        from nodeset.transport.tub import TubTransport

        where = self._where
        options = {"dispatcher_url": where.dispatcher, "name": where.name, "loglevel": "debug" if where.debug else None}
        try:
            found = settings.load(os.environ, {**options, "drain_timeout": _FAREWELL, **self._given}, settings.COMMAND)
            source = findSource(found, os.environ)
        except (BadFurl, BadSettings) as error:
            raise type(error)(_asOurs(str(error))) from None
        settings.use(found)
        for warning in found.warnings:
            complain(self._name, f"warning: {warning}")
        if source.warning:
            complain(self._name, f"warning: {_asOurs(source.warning)}")
        self._where_to = source.describe()
        return Visitor(
            self._ended,
            True,
            self._arrived,
            name=found.name or f"nodeset-{self._name}",
            transport=TubTransport(source, self._reactor, (), None, found.host),
            settings=found,
            clock=self._reactor,
        )

    def run(self) -> int:
        """Until it is over."""
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        return self.code

    def _begin(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: self._reactor.callFromThread(self._signalled, number))
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        self._alarm = self._reactor.callLater(self._where.timeout, self._tooLate)
        self.node.startService()

    def _tooLate(self) -> None:
        patience = f"{self._where.timeout:g} s"
        if isinstance(self.node.obstacle, NotThere):
            reason = f"no dispatcher in {patience}, {self._where_to} is not there"
        else:
            reason = f"no dispatcher at {self._where_to} in {patience} ({self.node.reason or 'nobody answers'})"
        hint = "start one with nodeset dispatcher, or say where it is with --dispatcher"
        self._finish(Exit.NO_DISPATCHER, f"{reason}: {hint}")

    def _arrived(self) -> None:
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self._busy = True
        self._running = Deferred.fromCoroutine(self._errand(self.node))
        self._running.addCallbacks(self._done, self._failed)

    def _done(self, code: int | None) -> None:
        self._busy = False
        self._finish(code or Exit.OK)

    def _failed(self, failure: Failure) -> None:
        self._busy, error = False, failure.value
        if error is None or isinstance(error, CancelledError):
            self._finish(128 + self._signal if self._signal else Exit.INTERRUPTED)
            return
        self._gaveUp(error)

    def _gaveUp(self, error: BaseException) -> None:
        if not self._over and self._where.debug:
            _showTrace(error)
        self._finish(judge(error), explain(error))

    def _ended(self, code: int, why: str) -> None:
        """The node says that there is no way in."""
        found = self.node.obstacle
        if found is not None and not self._over and self._where.debug:
            _showTrace(found)
        self._finish(judge(found) if found is not None else code, why)

    def _signalled(self, number: int) -> None:
        if self._over or self._signal:
            os._exit(128 + number)  # asked for twice
        self._signal = number
        self._cancel()
        if not self._over:
            # The errand puts in order what it has; not for long.
            wait = _FAREWELL if self._busy else 0
            self._alarm = self._reactor.callLater(wait, self._finish, 128 + number)

    def _cancel(self) -> None:
        if self._busy and self._running is not None:
            self._running.cancel()

    def _finish(self, code: int, why: str = "") -> None:
        if self._over:
            return
        self._over, self.code = True, code
        self._cancel()  # it may have a terminal to give back first
        if why:
            complain(self._name, why)
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self._cancel()
        left = self.node.stopService() if self.node.running else Deferred.fromCoroutine(_nothing())
        left.addBoth(lambda result: self._reactor.stop() if self._reactor.running else None)


def _asOurs(text: str) -> str:
    """What is said of the options of services, said of ours."""
    return re.sub(r"^--name:", "--as:", text.replace("--dispatcher-url", "--dispatcher"))


async def _nothing() -> None:
    return None


def visit(name: str, where: Where, errand: Errand, prepare: Preparation = lambda node: None, **given: Any) -> NoReturn:
    """Link to the dispatcher, run `errand` with the node, leave; ends the process.

    :param name: of the sub-command, for its complaints.
    :param prepare: called with the node before it is started: what it subscribes to then stands when the errand begins.
    :param given: settings, such as `handler_timeout`.

    Ctrl-C cancels what the errand awaits; an errand that ends that way as a rule catches `CancelledError`, then has two
    seconds left.
    """
    from twisted.internet import reactor

    steady(reactor)
    _logToStderr(where.debug)
    end(name, lambda: _Visit(name, where, errand, reactor, prepare, given).run(), where.debug)


def end(name: str, work: Callable[[], int], debug: bool = False) -> NoReturn:
    """End the process with what `work` returns, once its output is written; or with what its error means."""
    try:
        code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
    except Exception as error:
        if debug:
            _showTrace(error)
        complain(name, explain(error))
        code = judge(error)
    # Whatever could not be written, Python would try to write once more.
    try:
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass
    finally:
        os._exit(code)


def _logToStderr(debug: bool) -> None:
    level = "debug" if debug else "crit"
    observer = withLevel(LineObserver(open(2, "wb", 0, closefd=False)), level)  # noqa: SIM115  # stays open
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)
