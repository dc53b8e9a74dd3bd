"""What `nodeset-open` does once its program runs: a center is told, until both are through."""

from __future__ import annotations

import errno
import math
import os
import signal
from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, globalLogBeginner

from nodeset import settings
from nodeset.cli.logs import LineObserver, withLevel
from nodeset.cli.opening.choices import settle, sourceFor
from nodeset.cli.opening.early import Early
from nodeset.cli.opening.guest import Guest
from nodeset.cli.opening.words import Call
from nodeset.cli.service import steady
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import NodeSetError
from nodeset.processes.events import CENTERS, CenterHere
from nodeset.processes.output.shipping import Shipping
from nodeset.processes.passing.passage import Passage
from nodeset.processes.passing.through import Through
from nodeset.processes.program import Program
from nodeset.processes.signals import signalName
from nodeset.processes.starting.spawning import Order
from nodeset.processes.starting.warden import Warden
from nodeset.processes.states import State
from nodeset.processes.watching.announcements import Announcements
from nodeset.processes.watching.sampling import Sampling, threadOf
from nodeset.processes.watching.watcher import Watcher
from nodeset.settings import Settings
from nodeset.transport.tub import TubTransport

__all__ = ["watch"]

#: Seconds between two SIGTERM for a program that is to end.
_AGAIN: Final = 1.0
#: Seconds that what a killed program wrote has to get to our own stdout, which may be stuck.
_STUCK: Final = 1.0
#: Seconds that it may take to say good-bye to the dispatcher.
_FAREWELL: Final = 1.0
_ASKS: Final = frozenset({signal.SIGINT, signal.SIGTERM})


class Teller(Node):
    """The node of one watched program.

    :param here: called with the name of each center that says that it is here.
    """

    def __init__(self, here: Callable[[str], object], **about: Any) -> None:
        super().__init__(**about)
        self._centers = Announcements(self.clock, here)
        #: Whether there ever was a link.
        self.was_linked = False

    def linkOpened(self) -> None:
        """See `Node`."""
        self.was_linked = True

    @catch(CENTERS)
    def hear(self, msg: CenterHere) -> None:
        """A center has come, or was here before us."""
        self._centers.hear(msg)

    def linkLost(self, reason: str) -> None:
        """See `Node`."""
        super().linkLost(reason)
        self._centers.forget()


class Starter:
    """A `Warden` whose first program was started before there was a reactor."""

    def __init__(self, reactor: Any, early: Early, keep: bool, started: Callable[[Guest], object]) -> None:
        self._warden = Warden(reactor, early=early.guardian, environ=early.before)
        self._early, self._keep, self._started, self._is_first = early, keep, started, True
        #: The program as it runs now.
        self.guest: Guest | None = None

    def start(self) -> None:
        """See `Warden`."""
        self._warden.start()

    def stop(self) -> Deferred[None]:
        """See `Warden`."""
        return self._warden.stop()

    def spawn(self, order: Order, files: tuple[int, int, int]) -> Deferred[Any]:
        """See `Warden`."""
        early = self._early
        if self._is_first:
            self._is_first = False
            return fail(early.error) if early.child is None else succeed(self._take(early.child))
        # A guardian that must be started anew shall not inherit what we block.
        blocked = signal.pthread_sigmask(signal.SIG_SETMASK, early.summons.before)
        try:
            spawned = self._warden.spawn(order, files)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return spawned.addCallback(self._take)

    def _take(self, child: Any) -> Guest:
        self.guest = Guest(child, self._keep)
        self._started(self.guest)
        return self.guest


class _Watch:
    """One call from here to its end; `code` is what the process ends with."""

    log = Logger()

    def __init__(self, call: Call, early: Early, found: Settings, reactor: Any) -> None:
        self._early, self._found, self._reactor = early, found, reactor
        self.code = 1
        #: Whether the program was asked to end, whether it has ended for good.
        self._asked = self._left = False
        self._later: list[IDelayedCall] = []
        self._source = sourceFor(found)
        self._node = Teller(
            self._centerHere,
            name=found.name or "nodeset-open",
            host=found.host,
            settings=found,
            transport=TubTransport(self._source, reactor, (), None, found.host),
            clock=reactor,
        )
        # Settings have checked them.
        words: Any = {"restart": found.restart, "output": found.output}
        program = Program(
            name=call.identity or os.urandom(16).hex(),
            command=tuple(call.command),
            retries=found.restart_retries,
            stop_timeout=found.wait_to_die,
            on_supervisor_death="keep" if call.keep else "kill",
            stats_interval=found.ping_interval,
            **words,
        )
        self._starter = Starter(reactor, early, call.keep, self.started)
        warden: Any = self._starter
        self._through = Through(reactor, early.makePassage, early.passage if early.child is not None else None)
        # Who has an address expects an answer, and does not throw away what is written until then.
        grace = program.stall_timeout if self._hasAddress() else 0.0
        self._shipping = Shipping(self._node, program, os.urandom(16).hex(), reactor, grace=grace)
        self._sampling = Sampling(reactor, threadOf(reactor)) if found.ping_interval else None
        self.watcher = Watcher(
            program,
            warden=warden,
            stdio=self._through,
            shipping=self._shipping,
            clock=reactor,
            figures=self._sampling,
            order=lambda program: early.order,
            host=os.uname().nodename,
        )
        self.watcher.onFinal(self._final)

    @property
    def passage(self) -> Passage | None:
        """The files of the program, as it runs now or ran last."""
        return self._through.passage

    def begin(self) -> None:
        """The reactor runs. Whatever is wrong on the way to a center is not the program's; another error ends us."""
        try:
            self._node.startService()
        except NodeSetError as error:
            self.log.warn("no center will be told: {reason}", reason=str(error))
        except Exception:
            self.log.failure("no center will be told")
        try:
            if self._sampling is not None:
                self._sampling.resume()
            self._starter.start()
            self.watcher.start()
            self._early.summons.listen(lambda *found: self._reactor.callFromThread(self._signalled, *found))
        except Exception as error:
            self._early.say(f"{type(error).__name__}: {error}")
            self._stop(None)

    def _centerHere(self, name: str) -> None:
        self.watcher.centerHere(name)

    # -- signals

    def _signalled(self, number: int, is_system: bool) -> None:
        # What the system sends comes from our terminal, to all of our process group: in it, the program has had it.
        had = is_system and self._early.order.scope == "shared"
        if number == signal.SIGCONT and self._through.passage is not None:
            self._through.passage.resume()
            if self._starter.guest is not None and not had:
                self._starter.guest.signalGroup(number).addErrback(lambda failure: None)
        elif number == signal.SIGWINCH:
            self._resize()
        elif number in _ASKS and self._left:
            self._leave(0.0)
        elif number in _ASKS and self._found.wait_to_die != math.inf:
            self._endProgram(number, had)
        elif not had:
            self._pass(number)

    def _pass(self, number: int) -> None:
        if self._starter.guest is not None:
            self._starter.guest.passOn(number)

    def _resize(self) -> None:
        passage = self._through.passage
        if passage is None or not passage.resize():
            # It may have looked before its files had the new size.
            self._pass(signal.SIGWINCH)

    def _endProgram(self, number: int, had: bool) -> None:
        """It is asked to end, by this signal first; another one is passed on as it is."""
        guest = self._starter.guest
        if self._asked:
            if not had:
                self._pass(number)
            return
        self._asked = True
        if guest is not None and had:
            guest.spare(number)
        self.watcher.adopt(attrs.evolve(self.watcher.program, stop_signal=signalName(number)))
        self._later.append(self._reactor.callLater(_AGAIN, self._askAgain))
        self.watcher.stop()
        if guest is not None and guest.code is not None:
            self._ended(guest.code)

    def _askAgain(self) -> None:
        guest = self._starter.guest
        if not self._left and guest is not None and guest.code is None:
            guest.passOn(signal.SIGTERM)
            self._later.append(self._reactor.callLater(_AGAIN, self._askAgain))

    def started(self, guest: Guest) -> None:
        """A run of the program begins."""
        guest.onStopped(lambda number: self._stopToo(guest, number))
        guest.onEnded(self._ended)

    def _stopToo(self, guest: Guest, number: int) -> None:
        """It stands still, so do we: our shell shall see that, as if we were it."""
        # Late news, perhaps: we may have stood still ourselves since.
        if number == 0 or not guest.isStopped():
            return
        passage = self._through.passage
        if passage is not None:
            passage.suspend()
        os.kill(os.getpid(), signal.SIGSTOP)

    # -- the end

    def _ended(self, code: int) -> None:
        if self._asked:
            # Our stdout may be stuck: who wants us gone does not wait for what it wrote.
            self._later.append(self._reactor.callLater(_STUCK, self._through.cut))

    def _final(self, code: int | None) -> None:
        """It is over for good: say so, then go."""
        if self._left:
            return
        self._left = True
        state = self.watcher.state
        if code is not None:
            self.code = code if code >= 0 else 128 - code
        elif self._early.error is not None:
            self.code = {errno.ENOENT: 127}.get(self._early.error.errno, 126)
        if state is State.FATAL and self._early.error is None:
            self._early.say(self.watcher.reason)
        linger = self._found.linger
        if not self._node.was_linked and not self._hasAddress():
            # Nobody was there all the time: that counts.
            linger = max(0.0, linger - (self._reactor.seconds() - self._early.began))
        self._leave(linger)

    def _hasAddress(self) -> bool:
        try:
            self._source.read()
        except NodeSetError:
            return False
        return True

    def _leave(self, linger: float) -> None:
        for call in self._later:
            if call.active():
                call.cancel()
        self._later.clear()
        self.watcher.leave(linger).addBoth(self._say)

    def _say(self, drained: object) -> None:
        if drained is not True:
            left = self._shipping.figures()
            self.log.info("{events} events were not taken", events=left["held"])
        gone = self._node.stopService() if self._node.is_linked else succeed(None)
        gone.addTimeout(_FAREWELL, self._reactor).addBoth(lambda result: self._starter.stop()).addBoth(self._stop)

    def _stop(self, result: object) -> None:
        if self._reactor.running:
            self._reactor.stop()


def watch(call: Call, early: Early, found: Settings | None = None) -> int:
    """Tell a center of the program until it has ended; returns our exit code.

    :param found: the settings, if they are known.
    """
    from twisted.internet import reactor

    steady(reactor)
    level = "debug" if call.debug else "crit"
    globalLogBeginner.beginLoggingTo([withLevel(LineObserver(early), level)], redirectStandardIO=False, discardBuffer=True)
    found = settle(call) if found is None else found
    settings.use(found)
    opening = _Watch(call, early, found, reactor)
    whole: Any = reactor
    whole.callWhenRunning(opening.begin)
    try:
        whole.run(installSignalHandlers=False)
    finally:
        passage = opening.passage
        if passage is not None:
            passage.close()
    return opening.code
