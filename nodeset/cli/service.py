"""What surrounds a service that runs as a process of its own."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from twisted.application.service import MultiService
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from nodeset import settings
from nodeset.cli.logs import isInFront, makeObserver
from nodeset.cli.options import CommonOptions, oneLine, twistdOptions
from nodeset.cli.places import checkPlaces
from nodeset.cli.reload import Reload
from nodeset.errors import BadSettings, NodeSetError, StateUnusable
from nodeset.settings import Settings
from nodeset.settings.schema import namesOf
from nodeset.settings.shown import describe

__all__ = ["Daemon", "asUser", "complain", "naming", "prepare", "steady", "tell"]

#: Objects made before the cyclic collector looks; measured: p99 19.5 -> 1.8 ms.
_THRESHOLDS = (50_000, 20, 100)


def complain(name: str, error: object, code: int) -> NoReturn:
    """End this process with one line on the real stderr."""
    _write(sys.__stderr__, f"{name}: {oneLine(error)}")
    raise SystemExit(code)


def _write(stream: TextIO | None, line: str) -> None:
    # Without a stream, or with a closed one, there is nobody to be told.
    if stream is not None:
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):
            pass


@contextmanager
def naming(found: Settings, name: str) -> Iterator[None]:
    """Let an error say which option, which variable or which line of a file brought the value that cannot be used."""
    try:
        yield
    except (BadSettings, StateUnusable) as error:
        origin = found.origins.get(name, "")
        if not origin or str(error).startswith((origin, "another ")):
            raise
        raise type(error)(f"{origin}: {error}") from None


def steady(reactor: Any) -> None:
    """Make a reactor tell the time by the monotonic clock, so that setting the wall clock moves no timer (D9).

    To be called before anything is scheduled.
    """
    reactor.seconds = time.monotonic


@contextmanager
def asUser(twistd: Mapping[str, Any]) -> Iterator[None]:
    """Do something as the user that twistd will become (`--uid`, `--gid`), so that the files made are that user's own."""
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if os.geteuid() != 0 or (uid is None and gid is None):
        yield
        return
    kept = os.getegid()
    try:
        if gid is not None:
            os.setegid(gid)
        if uid is not None:
            os.seteuid(uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(kept)


class Daemon(MultiService):
    """The service around the services of one command: log, garbage collector, signals, exit code.

    SIGTERM or SIGINT stops the services, then the process ends with 0. twistd would kill itself by the same signal once more.

    SIGHUP reads the settings again, see `Reload`; when it comes because the terminal was closed, it is as SIGTERM.

    :param prints: whether data go to stdout, by `say`, so that the log must not.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        found: Settings,
        twistd: Mapping[str, Any],
        reactor: Any,
        is_script: bool,
        prints: bool = False,
    ) -> None:
        base: Any = super()
        base.__init__()
        self.setName(name)
        #: What the process ends with.
        self.exit_code = 0
        #: What a shell in this process has at hand, by name, beside the node.
        self.names: dict[str, Any] = {}
        #: Called at each signal to stop but the first: whoever sends it again does not want to wait.
        self.hurries: list[Callable[[], object]] = []
        self._settings, self._twistd, self._reactor = found, twistd, reactor
        self._stopping = False
        self._observer = makeObserver(twistd, found.loglevel, name, prints)
        #: What SIGHUP does; add to its `takers` what lives by settings that may change.
        self.reload = Reload(found, self._observer)
        self._has_terminal = isInFront(twistd) and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _seesTerminal()
        if not is_script:
            # Under twistd nobody asks us for a code in the end; registered first, so that it runs last.
            atexit.register(self._leave)

    def setServiceParent(self, parent: Any) -> None:
        """Send the log events of this application where the options say."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        base: Any = super()
        base.setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Start what needs privileges."""
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """Start the services. An error ends the process, with the reason in the log."""
        # Once now, for a signal that comes early; once more after the reactor has put its own in place.
        self._takeSignals()
        self._reactor.callWhenRunning(self._takeSignals)
        self._start(super().startService)
        if self._settings.gc == "tuned":
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_THRESHOLDS)

    def _start(self, start: Callable[[], object]) -> None:
        try:
            start()
        except Exception as error:
            if isinstance(error, (NodeSetError, OSError)):
                self.log.critical("cannot start: {reason}", reason=oneLine(error))
            else:
                self.log.failure("cannot start")
                error = RuntimeError(f"cannot start ({type(error).__name__}: {error}): the log has more")
            if not isInFront(self._twistd):
                raise error  # twistd tells the command that waits for us to become a daemon
            _forget(self._twistd.get("pidfile"))
            complain(str(self.name), error, 1)

    def say(self, line: str) -> None:
        """Put data on stdout, which a daemon does not have: then into its log."""
        if isInFront(self._twistd):
            # twistd turns sys.stdout into the log; this is the real one.
            _write(sys.__stdout__, line)
        else:
            self.log.info("{line}", line=line)

    def end(self, code: int, why: str = "") -> None:
        """Stop everything, then end the process with this code; `why` goes to stderr in one line, a daemon's to its log."""
        self.exit_code = code
        if why and isInFront(self._twistd):
            _write(sys.__stderr__, f"{self.name}: {oneLine(why)}")
        elif why:
            self.log.error("ends: {reason}", reason=oneLine(why))
        # A service may end while it starts.
        self._reactor.callWhenRunning(self._stop)

    def _takeSignals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: self._reactor.callFromThread(self._signalled, number))

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP and not (self._has_terminal and not _seesTerminal()):
            self.reload()
            return
        name = signal.Signals(number).name
        if self._stopping and self.hurries:
            self.log.warn("received {signal} again, stopping at once", signal=name)
            for hurry in self.hurries:
                hurry()
            return
        self.log.info("received {signal}, stopping", signal=name)
        self._stop()

    def _stop(self) -> None:
        # A second signal, or an end that meets a signal, finds the reactor stopping already.
        if self.running and self._reactor.running and not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def _leave(self) -> None:
        if self.exit_code:
            if sys.__stdout__ is not None:
                sys.__stdout__.flush()
            os._exit(self.exit_code)


def _seesTerminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _forget(pid_file: object) -> None:
    # twistd removes it for any end but this one.
    if pid_file:
        try:
            Path(str(pid_file)).unlink()
        except OSError:
            pass


def tell(options: CommonOptions) -> NoReturn:
    """Print the settings that these options lead to, end the process with 0."""
    text = describe(options.settle(), options.service).rstrip()
    if sys.__stdout__ is not None:
        sys.__stdout__.write(f"{text}\n")
        sys.__stdout__.flush()
    raise SystemExit(0)


def prepare(name: str, options: CommonOptions, build: Callable[[Settings, Mapping[str, Any], Any], Daemon]) -> Daemon:
    """The service of a command, from `build(settings, twistd_options, reactor)`.

    All that can be known to be wrong before twistd becomes a daemon ends the process here, with one line on stderr.
    """
    from twisted.internet import reactor

    steady(reactor)
    twistd = twistdOptions(options)
    try:
        found = options.settle()
        if options["print-config"]:
            tell(options)
        settings.use(found)
        checkPlaces(twistd)
        with asUser(twistd):
            daemon = build(found, twistd, reactor)
            if found.manhole is not None and "manhole" in namesOf(options.service):
                from nodeset.cli.manhole import addManhole

                addManhole(daemon, name, found, reactor)
        daemon.reload.readBy(options.service, found, options.resettle)
        for warning in (*found.warnings, *options.unheeded()):
            daemon.log.warn("{warning}", warning=warning)
        return daemon
    except BadSettings as error:
        complain(name, error, 2)
    except (NodeSetError, OSError) as error:
        complain(name, error, 1)
