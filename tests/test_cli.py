"""The commands: their options, what surrounds the service, then real processes."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from examples.demo import Demo, compare, sumUp
from examples.demo_children import Screen
from nodeset.cli import dispatch, node
from nodeset.cli.options import CommonOptions, oneLine, twistdOptions, withTwistd
from nodeset.cli.service import Daemon
from nodeset.errors import BadSettings
from nodeset.settings import Settings
from nodeset.version import __version__
from tests.commands import DISPATCHER, FURL, NODE, PATIENCE, ROOT, TWISTD, CommandCase, kill


def parse(ours: type[CommonOptions], *words: str) -> CommonOptions:
    """The options of a console script."""
    options = withTwistd(ours, "nodeset-x.pid")
    options.parseOptions(list(words))
    return options


class OptionTests(SynchronousTestCase):
    def test_sameLevel(self) -> None:
        """A console script takes twistd's options beside its own."""
        options = parse(
            dispatch.Options, "-n", "--listen", "localhost:1", "--syslog", "--verbose", "--max-nodes=3", "-l", "x.log"
        )
        twistds = {"nodaemon": "1", "logfile": "x.log"}
        self.assertEqual(options.chosen(), {"listen": "localhost:1", "verbose": 1, "max_nodes": "3", **twistds})
        self.assertEqual((options["nodaemon"], options["syslog"], options["logfile"]), (1, 1, "x.log"))
        self.assertIs(twistdOptions(options), options)

    def test_underTwistd(self) -> None:
        """Under twistd our options come after the command's name, twistd's before it."""
        parent: Any = getattr(twistd, "ServerOptions")()  # noqa: B009
        parent.parseOptions(["-n", "--logfile", "x.log", "nodeset-dispatcher", "--listen", "localhost:1"])
        self.assertEqual(parent.subOptions.chosen(), {"listen": "localhost:1"})
        self.assertEqual(twistdOptions(parent.subOptions)["logfile"], "x.log")
        parent = getattr(twistd, "ServerOptions")()  # noqa: B009
        parent.parseOptions(["-n", "nodeset-node", "subscriber", "--event", "a.b"])
        self.assertEqual((parent.subOptions.role, parent.subOptions["event"]), ("subscriber", "a.b"))

    def test_pidFile(self) -> None:
        """A daemon's pid file is named after its command, in the directory where it runs; in the foreground there is none."""
        self.assertEqual(parse(dispatch.Options, "--rundir", "/run/x")["pidfile"], "/run/x/nodeset-x.pid")
        self.assertEqual(parse(dispatch.Options, "-n")["pidfile"], "")
        self.assertEqual(parse(dispatch.Options, "-n", "--pidfile", "/run/y")["pidfile"], "/run/y")

    def test_repeated(self) -> None:
        """--advertise with --furlfile may be repeated or have commas."""
        words = ["--advertise", "tcp:a:1,tcp:b:2", "--advertise=tcp:c:3", "--furlfile", "x"]
        chosen = parse(dispatch.Options, *words).chosen()
        self.assertEqual(chosen, {"advertise": ["tcp:a:1", "tcp:b:2", "tcp:c:3"], "furlfile": ["x"]})

    def test_noOps(self) -> None:
        """Options that the original had, with nothing left to do, are taken; --help says so."""
        words = ["-q", "--quiet", "--savestats", "--originalname", "--facility", "x", "--options", "y", "--euid"]
        for ours in (dispatch.Options, node.Options):
            self.assertEqual(parse(ours, *words).chosen(), {})
            shown, _line, idle = str(withTwistd(ours, "x")).partition("Without effect, accepted as they always were:")
            self.assertIn("--originalname", idle.partition("Example:")[0])
            self.assertNotIn("--facility", shown)

    def test_notOffered(self) -> None:
        """What a twistd without a plugin is for makes no sense here."""
        for word in (
            "--python=x",
            "-y",
            "--file=x",
            "-f",
            "--source=x",
            "-s",
            "--encrypted",
            "-e",
            "--no_save",
            "-o",
        ):
            self.assertRaises(UsageError, parse, dispatch.Options, word)
        self.assertNotIn("--python", str(withTwistd(dispatch.Options, "x")))

    def test_roles(self) -> None:
        """The role may stand before or after the options."""
        for words in (
            ["publisher", "-n", "--event", "a"],
            ["-n", "--event", "a", "publisher"],
            ["-n", "publisher", "--event=a"],
        ):
            options = parse(node.Options, *words)
            assert isinstance(options, node.Options)
            self.assertEqual((options.role, options["event"], options["nodaemon"]), ("publisher", "a", 1))
        self.assertEqual(parse(node.Options, "subscriber", "--event", "publisher")["event"], "publisher")

    def test_wrongRole(self) -> None:
        """An option of the other role, a second role, or a word that is none is refused, not passed over."""
        for words in (
            ["--event", "a"],
            ["subscriber", "--payload", "x"],
            ["subscriber", "--once"],
            ["publisher", "--count", "1"],
            ["subscriber", "publisher"],
            ["viewer"],
            ["subscriber", "--event", ""],
            ["publisher", "--event", ""],
            ["publisher", "--payload", ""],
            ["--event", ""],
        ):
            self.assertRaises(UsageError, parse, node.Options, *words)
        self.assertRaises(UsageError, parse, dispatch.Options, "publisher")
        for count in ("0", "many", ""):
            self.assertRaises(BadSettings, parse, node.Options, "subscriber", "--count", count)

    def test_oneLine(self) -> None:
        """A complaint is one line, without the secret of a FURL that was put in a wrong place."""
        self.assertEqual(oneLine(f"a\n b {FURL} c"), "a b pb://… c")
        self.assertEqual(oneLine(f"'{FURL}' is none, \"{FURL}\": no"), "'pb://…' is none, \"pb://…\": no")
        redacted = "no link to pb://abcd…@tcp:127.0.0.1:5333/… from there"
        self.assertEqual(oneLine(redacted), redacted)
        self.assertEqual(oneLine(FileNotFoundError(errno.ENOENT, "No such file", "/x")), "/x: No such file")
        self.assertEqual(oneLine("refused: \x1b[2J\x9b1m\u202eok"), "refused: \\u001b[2J\\u009b1m\\u202eok")

    def test_help(self) -> None:
        """--help has our options first, twistd's in a block of their own, for a role only its own options."""
        text = str(withTwistd(dispatch.Options, "x"))
        ours, _line, theirs = text.partition("Options of twistd")
        self.assertIn("--nodaemon", ours)
        self.assertIn("--max-nodes", ours)
        self.assertNotIn("--umask", ours)
        self.assertIn("--umask", theirs)
        said = {}
        for role in ("subscriber", "publisher", ""):
            options: Any = withTwistd(node.Options, "x")
            options.foresee([role] if role else [])
            said[role] = [
                name for name in ("--event", "--count", "--payload", "--once") if name in str(options).partition("Example:")[0]
            ]
        self.assertEqual(said["subscriber"], ["--event", "--count"])
        self.assertEqual(said["publisher"], ["--event", "--payload", "--once"])
        self.assertEqual(len(said[""]), 4)


class StubReactor(Clock):
    """A clock that can be asked to stop."""

    running = True

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def callWhenRunning(self, function: Any) -> None:
        """Now."""
        function()

    def stop(self) -> None:
        """Count."""
        self.stops += 1
        self.running = False


class DaemonTests(SynchronousTestCase):
    def start(self, found: Settings) -> tuple[Daemon, StubReactor]:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        gc.set_threshold(700, 10, 10)
        # The signals of the tests' process are its own.
        self.patch(Daemon, "_takeSignals", lambda daemon: None)
        reactor = StubReactor()
        daemon = Daemon("nodeset-x", found, {"nodaemon": 1, "syslog": 1}, reactor, True)
        daemon.startService()
        return daemon, reactor

    def test_gc(self) -> None:
        """A service tunes the garbage collector, `--gc default` leaves it alone."""
        self.start(Settings(gc="default"))
        self.assertEqual(gc.get_threshold(), (700, 10, 10))
        self.start(Settings())
        self.assertEqual(gc.get_threshold(), (50000, 20, 100))
        self.assertGreater(gc.get_freeze_count(), 0)

    def test_end(self) -> None:
        """However often it is told to end, it stops once, with the last code."""
        daemon, reactor = self.start(Settings())
        daemon.end(1)
        daemon.end(1)
        self.assertEqual((reactor.stops, daemon.exit_code), (1, 1))


class DemoTests(SynchronousTestCase):
    def test_compare(self) -> None:
        """The demo sees every difference between its ledgers."""
        good = list(range(1, 11))
        self.assertEqual(set(compare(good, good).values()), {0})
        self.assertEqual(compare(good, good[:-2])["lost"], 2)
        self.assertEqual(compare(good, [*good, 3, 4])["duplicates"], 2)
        self.assertEqual(compare(good, [2, 1, *good[2:]])["reordered"], 1)
        self.assertEqual(compare(good, [*good, 99])["unknown"], 1)
        self.assertEqual(compare(good, [])["lost"], 10)


class ChildTests(CommandCase):
    """Both commands, started either way."""

    def test_module(self) -> None:
        """`python -m nodeset` is the command `nodeset`: it says what there is; a word that is no command is one line."""
        code, out, err = self.ask("-m", "nodeset")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("  dispatcher ", out)
        self.assertEqual(self.ask("-m", "nodeset", "--help"), (0, out, ""))
        self.assertEqual(self.ask("-m", "nodeset", "--version"), (0, f"nodeset.core version: {__version__}\n", ""))
        self.refuses(2, "no command 'bus'", "-m", "nodeset", "bus")

    def test_versionHelp(self) -> None:
        """--version says `nodeset.core version: X`; --help ends with an example."""
        for command in (DISPATCHER, NODE):
            self.assertEqual(self.ask(*command, "--version"), (0, f"nodeset.core version: {__version__}\n", ""))
            code, out, err = self.ask(*command, "--help")
            self.assertEqual((code, err), (0, ""))
            self.assertIn("\n  twistd -n nodeset-", out.partition("\nExample:\n")[2])

    def test_terminate(self) -> None:
        """SIGTERM, or Ctrl-C, stops both commands with exit code 0, started either way, with another reactor too."""
        dispatcher = self.startDispatcher("--reactor", "asyncio")
        member = self.spawn(*NODE, "-n")
        self.awaitLine(member, "is linked to its dispatcher")
        self.assertEqual(self.stop(member), 0)
        self.assertEqual(self.stop(dispatcher), 0)
        plugin = self.spawn(*TWISTD, "-n", "--pidfile=", "nodeset-dispatcher", "--listen", "localhost:0")
        self.awaitLine(plugin, "listening on")
        self.assertEqual(self.stop(plugin, signal.SIGINT), 0)
        self.assertEqual(sorted(each.name for each in self.home.iterdir()), ["state"])

    def test_daemon(self) -> None:
        """Without -n it becomes a daemon with a pid file and a log, a second one is refused; SIGTERM removes the pid file."""
        code, out, err = self.ask(*DISPATCHER, "--listen", "localhost:0")
        self.assertEqual((code, out, err), (0, "", ""))
        pid_file = self.home / "nodeset-dispatcher.pid"
        pid = int(pid_file.read_text())
        self.addCleanup(kill, pid)
        furl_file = self.home / "state" / "localhost_5333_dispatcher.furl"
        self.assertTrue(furl_file.exists())
        self.refuses(1, f"runs already (pid {pid}): stop it, or give --pidfile", *DISPATCHER, "--listen", "localhost:0")
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while pid_file.exists() and time.monotonic() < deadline:
            os.sched_yield()
        self.assertFalse(pid_file.exists())
        text = (self.home / "nodeset-dispatcher.log").read_text()
        self.assertIn("received SIGTERM", text)
        self.assertNotIn(furl_file.read_text().strip().rpartition("/")[2], text)

    def test_fullStdout(self) -> None:
        """A log that cannot be written stops nothing."""
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            child = subprocess.Popen(
                [sys.executable, *DISPATCHER, "-n", "--listen", "localhost:0"], cwd=self.home, env=self.env, stdout=full
            )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        furl_file = self.home / "state" / "localhost_5333_dispatcher.furl"
        deadline = time.monotonic() + PATIENCE
        while not furl_file.exists() and time.monotonic() < deadline:
            os.sched_yield()
        self.assertIsNone(child.poll())
        code, out, err = self.ask(*NODE, "-n", "publisher", "--once", "--loglevel", "crit", "--event", "a")
        self.assertEqual((code, out, err), (0, "a: matched 0, delivered 0, dropped 0\n", ""))
        child.terminate()
        self.assertEqual(child.wait(PATIENCE), 0)

    def test_systemd(self) -> None:
        """A socket that systemd opened is taken over; that the FURL is for this host only is said."""
        program = (
            "import os, socket, sys\n"
            "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='nodeset')\n"
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        )
        child = self.spawn("-c", program, *DISPATCHER, "-n", "--listen", "systemd:domain=INET:index=0")
        self.awaitLine(child, "only works on this host")
        code, out, _err = self.ask(*NODE, "-n", "publisher", "--once", "--loglevel", "warn", "--event", "a")
        self.assertEqual((code, out), (0, "a: matched 0, delivered 0, dropped 0\n"))
        self.assertEqual(self.stop(child), 0)

    def test_demo(self) -> None:
        """The demo sums up in its last line, ends with 0, leaves no file."""
        temp = self.home / "temp"
        temp.mkdir()
        code, out, err = self.ask(str(ROOT / "examples" / "demo.py"), "500", TMPDIR=str(temp))
        self.assertEqual((code, err), (0, ""), out)
        summed_up = r"^500 events published, 2 subscribers, 1000 deliveries, 0 lost, 0 duplicates, 0 reordered in [0-9.]+ s$"
        self.assertRegex(out.splitlines()[-1], summed_up)
        self.assertRegex(out, r"the dashboard is at http://127.0.0.1:[0-9]+/ ")
        self.assertEqual(list(temp.iterdir()), [])

    def test_demoDiffers(self) -> None:
        """An event that is in one ledger only makes the demo fail."""
        screen = Screen(1000)
        demo = Demo(self.home, 500, screen, keep=False)
        said = io.StringIO()
        for count, code in ((500, 0), (499, 1)):
            for name, last in (("publisher", 500), ("subscriber 1", 500), ("subscriber 2", count)):
                demo.ledger(name).write_text("".join(f"{number}\n" for number in range(1, last + 1)))
            with contextlib.redirect_stdout(said):
                self.assertEqual(sumUp(demo, 1.0), code)
        self.assertIn("999 deliveries, 1 lost", said.getvalue().splitlines()[-1])

    def test_demoInterrupted(self) -> None:
        """A demo that is told to stop takes its processes with its files along."""
        temp = self.home / "temp"
        temp.mkdir()
        demo = self.spawn(str(ROOT / "examples" / "demo.py"), "10000000", TMPDIR=str(temp))
        self.awaitLine(demo, "are running")
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        self.assertEqual(len(children), 5)
        self.assertEqual(self.stop(demo), 1)
        self.assertEqual([pid for pid in children if Path(f"/proc/{pid}").exists()], [])
        self.assertEqual(list(temp.iterdir()), [])

    def test_noReactor(self) -> None:
        """Parsing options installs no reactor, so that --reactor is obeyed."""
        program = (
            "import sys\n"
            "from nodeset.cli import dispatch, node, options, runner\n"
            "for module in (dispatch, node):\n"
            "    options.withTwistd(module.Options, 'x').parseOptions(['-n'])\n"
            "print([name for name in ('twisted.internet.reactor', 'foolscap') if name in sys.modules])\n"
        )
        self.assertEqual(self.ask("-c", program), (0, "[]\n", ""))

    def test_wallClock(self) -> None:
        """Setting the wall clock a day forward or back moves no timer of a service's reactor; it would of Twisted's own."""
        program = """
import time
ahead, real = 0.0, time.time
time.time = lambda: real() + ahead
from twisted.internet.epollreactor import EPollReactor
from nodeset.cli.service import steady

def fired(steadied, leap, delay):
    global ahead
    ahead = 0.0
    reactor = EPollReactor()
    if steadied:
        steady(reactor)
    calls = []
    reactor.callLater(delay, calls.append, 1)
    ahead = leap
    end = time.monotonic() + 0.2
    while not calls and time.monotonic() < end:
        reactor.runUntilCurrent()
        reactor.doIteration(min(reactor.timeout() or 0, 0.01))
    return bool(calls)

print([fired(steadied, leap, delay) for steadied in (True, False) for leap, delay in ((86400, 3600), (-86400, 0.02))])
"""
        self.assertEqual(self.ask("-c", program), (0, "[False, True, True, False]\n", ""))
