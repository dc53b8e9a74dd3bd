"""The commands: their options, where they listen, what they log, then real processes."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.python.logfile import DailyLogFile
from twisted.python.usage import UsageError
from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from examples.demo import compare
from nodeset.cli import dispatch, logs, node
from nodeset.cli.listen import checkHints, probe, readListen
from nodeset.cli.options import CommonOptions, oneLine, twistdOptions, withTwistd
from nodeset.cli.service import Daemon
from nodeset.errors import BadSettings, PortTaken, StateUnusable
from nodeset.settings import Settings
from nodeset.version import __version__

ROOT = Path(__file__).resolve().parent.parent
FURL = "pb://abcdefghijklmnopqrstuvwxyz234567@tcp:127.0.0.1:5333/thesecret"
#: Seconds after which a child counts as hung.
PATIENCE = 30.0
DISPATCHER, NODE = ["-m", "nodeset", "dispatcher"], ["-m", "nodeset", "node"]
TWISTD = ["-c", "from twisted.scripts.twistd import run; run()"]


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
        self.assertEqual(options.chosen(), {"listen": "localhost:1", "verbose": 1, "max_nodes": "3"})
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
        words = ["-n", "--advertise", "tcp:a:1,tcp:b:2", "--advertise=tcp:c:3", "--furlfile", "x"]
        chosen = parse(dispatch.Options, *words).chosen()
        self.assertEqual(chosen, {"advertise": ["tcp:a:1", "tcp:b:2", "tcp:c:3"], "furlfile": ["x"]})

    def test_noOps(self) -> None:
        """Options that the original had, with nothing left to do, are taken; --help says so."""
        words = ["-q", "--quiet", "--savestats", "--originalname", "--facility", "x", "--options", "y", "--euid"]
        for ours in (dispatch.Options, node.Options):
            self.assertEqual(parse(ours, *words).chosen(), {})
            self.assertIn("accepted as it always was", " ".join(str(withTwistd(ours, "x")).split()))

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
            "--config",
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
        self.assertEqual(parse(node.Options, "publisher", "--payload", "")["payload"], "")

    def test_wrongRole(self) -> None:
        """An option of the other role, a second role, or a word that is none is refused, not passed over."""
        for words in (
            ["--event", "a"],
            ["subscriber", "--payload", "x"],
            ["subscriber", "--once"],
            ["publisher", "--count", "1"],
            ["subscriber", "publisher"],
            ["viewer"],
            ["subscriber", "--count", "0"],
            ["subscriber", "--count", "many"],
        ):
            self.assertRaises(UsageError, parse, node.Options, *words)
        self.assertRaises(UsageError, parse, dispatch.Options, "publisher")

    def test_oneLine(self) -> None:
        """A complaint is one line, without the secret of a FURL that was put in a wrong place."""
        self.assertEqual(oneLine(f"a\n b {FURL} c"), "a b pb://… c")
        self.assertEqual(oneLine(FileNotFoundError(errno.ENOENT, "No such file", "/x")), "/x: No such file")

    def test_payload(self) -> None:
        """A JSON object gives the fields, any other text is the field `payload`."""
        self.assertEqual(node.readPayload('{"a": 1}'), {"a": 1})
        for text in ("text", "[1]", "1", "{", "[" * 100_000, ""):
            self.assertEqual(node.readPayload(text), {"payload": text})
        self.assertEqual(node.readPayload(None), {})


class ListenTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """The seed's form, host:port, or a Twisted endpoint: where it listens, what the FURL says, which file it is in."""
        table = {
            "pbu://localhost:5333/dispatcher": (
                "tcp:5333:interface=127.0.0.1",
                "tcp:127.0.0.1:5333",
                "localhost_5333_dispatcher",
            ),
            "pbu://localhost:7000/other": ("tcp:7000:interface=127.0.0.1", "tcp:127.0.0.1:7000", "localhost_7000_other"),
            "LOCALHOST:5333": ("tcp:5333:interface=127.0.0.1", "tcp:127.0.0.1:5333", "localhost_5333_dispatcher"),
            "127.0.0.1:5333": ("tcp:5333:interface=127.0.0.1", "tcp:127.0.0.1:5333", "localhost_5333_dispatcher"),
            "localhost:0": ("tcp:0:interface=127.0.0.1", "tcp:127.0.0.1:0", "localhost_5333_dispatcher"),
            "bus.example.org:5333": ("tcp:5333", "tcp:bus.example.org:5333", "bus.example.org_5333_dispatcher"),
            "192.0.2.1:5333": ("tcp:5333", "tcp:192.0.2.1:5333", "192.0.2.1_5333_dispatcher"),
            "0.0.0.0:5333": ("tcp:5333:interface=0.0.0.0", "tcp:127.0.0.1:5333", "localhost_5333_dispatcher"),
            "tcp:5333": ("tcp:5333", "tcp:127.0.0.1:5333", "localhost_5333_dispatcher"),
            "tcp:5333:interface=127.0.0.1": (
                "tcp:5333:interface=127.0.0.1",
                "tcp:127.0.0.1:5333",
                "localhost_5333_dispatcher",
            ),
            "systemd:domain=INET:index=0": ("systemd:domain=INET:index=0", "tcp:127.0.0.1:0", "localhost_5333_dispatcher"),
        }
        for text, (endpoint, hint, stem) in table.items():
            found = readListen(text)
            self.assertEqual((found.endpoint, found.hints, found.place.stem), (endpoint, (hint,), stem), text)

    def test_local(self) -> None:
        """Who can be reached by others, but has only an address of this host to give, is told from who has not."""
        local = ("0.0.0.0:1", "tcp:1", "tcp:1:interface=0.0.0.0", "systemd:domain=INET:index=0", "[::]:1")
        for text in local:
            self.assertTrue(readListen(text).is_local, text)
        for text in ("localhost:1", "bus.example.org:1", "127.0.0.1:1", "tcp:1:interface=127.0.0.1"):
            self.assertFalse(readListen(text).is_local, text)

    def test_ipv6(self) -> None:
        """An IPv6 address stands in brackets; its FURL file has the default name."""
        found = readListen("[::1]:5333")
        self.assertEqual((found.hints, found.place.stem), (("tcp:[::1]:5333",), "localhost_5333_dispatcher"))
        self.assertIn(found.endpoint, ("tcp6:5333:interface=\\:\\:1", "tcp:5333"))

    def test_bad(self) -> None:
        """What is no place to listen is refused in one line, without the secret of a FURL."""
        texts = ["", "5333", "localhost", ":5333", "localhost:65536", "localhost:x", "tcp:65536", "tcp:x", "a b:1", "x" * 2000]
        texts += [
            "pbu://localhost/dispatcher",
            "pbu://localhost:1",
            "pbu://localhost:1/../x",
            "h\n:1",
            FURL,
            "pb:x",
            "tcp:\u0663",
        ]
        for text in texts:
            if text == "localhost:x":
                continue  # an endpoint of an unknown kind, for Twisted to judge
            error = str(self.assertRaises(BadSettings, readListen, text))
            self.assertNotIn("\n", error)
            self.assertNotIn("thesecret", error)

    @given(st.text(max_size=40) | st.from_regex(r"(pbu://)?[a-z0-9.:\[\]]{0,12}:[0-9]{0,6}(/[a-z./]{0,6})?", fullmatch=True))
    @settings(max_examples=100, deadline=None)
    def test_anyText(self, text: str) -> None:
        """Whatever is typed is either a place or refused in one line."""
        try:
            self.assertLess(len(readListen(text).place.stem), 255)
        except BadSettings as error:
            self.assertNotIn("\n", str(error))

    def test_hints(self) -> None:
        """--advertise takes tcp:HOST:PORT, the `tcp:` may be left out, port 0 is the one that we get."""
        self.assertEqual(checkHints(("tcp:a:1", "b:2", "tcp:c:0", "[::1]:3")), ("tcp:a:1", "tcp:b:2", "tcp:c:0", "tcp:[::1]:3"))
        for hint in ("a", "tcp:a", "a:70000", "a:b:c:d", FURL):
            error = str(self.assertRaises(BadSettings, checkHints, (hint,)))
            self.assertNotIn("thesecret", error)

    def test_probe(self) -> None:
        """A port that somebody has is found out before we start."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            for text in (f"localhost:{port}", f"tcp:{port}:interface=127.0.0.1", f"tcp:{port}"):
                error = self.assertRaises(PortTaken, probe, readListen(text))
                self.assertIn(str(port), str(error))
        probe(readListen(f"localhost:{port}"))
        probe(readListen("localhost:0"))


def event(text: str, level: Any = LogLevel.info, **more: Any) -> LogEvent:
    """A log event that says `text`."""
    return {"log_format": "{text}", "text": text, "log_level": level, "log_namespace": "some.Room", "log_time": 0.0, **more}


class Disk:
    """A file whose disk can be full."""

    def __init__(self) -> None:
        self.full = False
        self.text = ""

    def write(self, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.text += data.decode()


class LogTests(SynchronousTestCase):
    def test_line(self) -> None:
        """A line has the time, the level, where it comes from, the text."""
        line = logs.formatLine(event("hello", LogLevel.warn)) or ""
        self.assertRegex(line, r"^(1970-01-01|1969-12-31)T\d\d:\d\d:\d\d[+-]\d{4} \[WARN\] \[some\.Room\] hello\n$")
        self.assertIsNone(logs.formatLine({"log_format": ""}))

    def test_traceback(self) -> None:
        """A traceback is indented below its line."""
        try:
            raise ValueError(FURL)
        except ValueError:
            line = logs.formatLine(event("it failed", LogLevel.critical, log_failure=Failure())) or ""
        self.assertIn("it failed\n\tTraceback", line)
        self.assertNotIn("thesecret", line)
        self.assertEqual([each for each in line.splitlines()[1:] if not each.startswith("\t")], [])

    def test_furls(self) -> None:
        """Whatever looks like a whole FURL is redacted, wherever it stands; what was redacted stays as it is."""
        for text in (FURL, f"at {FURL}, or", f"'{FURL}'", f'"{FURL}"', f"x={FURL}\n{FURL}", "pb://thesecret", f"{FURL}/more…"):
            line = logs.formatLine(event(text)) or ""
            self.assertNotIn("thesecret", line)
            self.assertIn("pb://", line)
        redacted = "cannot link to pb://abcd…@tcp:127.0.0.1:5333/…: no"
        self.assertIn(redacted, logs.formatLine(event(redacted)) or "")

    def test_levels(self) -> None:
        """--loglevel is the lowest level that is logged."""
        said = {}
        for level in ("debug", "info", "notice", "warn", "crit"):
            disk = Disk()
            observer = logs.withLevel(logs.LineObserver(disk), level)
            for each in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical):
                observer(event("x", each))
            said[level] = disk.text.count("\n")
        self.assertEqual(said, {"debug": 5, "info": 4, "notice": 3, "warn": 3, "crit": 1})

    def test_fullDisk(self) -> None:
        """A disk that is full costs the lines, not the service; how many is said once there is room again."""
        disk = Disk()
        observer = logs.LineObserver(disk)
        observer(event("one"))
        disk.full = True
        for _ in range(3):
            observer(event("lost"))
        disk.full = False
        observer(event("two"))
        observer(event("three"))
        lines = [line.partition("] ")[2] for line in disk.text.splitlines()]
        self.assertEqual(len(lines), 4)
        self.assertIn("3 lines were lost", lines[1])
        self.assertEqual([lines[0], lines[2], lines[3]], [f"[some.Room] {word}" for word in ("one", "two", "three")])

    def test_daily(self) -> None:
        """The log of a daemon rotates daily; a rotation that fails half way is made up for."""
        path = Path(self.mktemp())
        path.mkdir()
        observer: Any = logs.makeObserver({"rundir": str(path)}, "info")
        observer(event("today"))
        log = path / logs.DEFAULT_FILE
        self.assertIn("today", log.read_text())
        today = [2026, 11, 22]
        self.patch(DailyLogFile, "toDate", lambda self, *args: tuple(today))
        observer(event("still today"))
        rename = os.rename
        self.patch(os, "rename", lambda *args: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        today[2] += 1
        observer(event("lost"))
        self.patch(os, "rename", rename)
        today[2] += 1
        observer(event("later"))
        text = "".join(each.read_text() for each in path.iterdir())
        self.assertIn("1 lines were lost", text)
        self.assertIn("later", text)

    def test_where(self) -> None:
        """--syslog and --logger are twistd's; a daemon cannot log to stdout; a log that cannot be is said in one line."""
        self.assertIsNone(logs.makeObserver({"syslog": 1}, "info"))
        self.assertIsNone(logs.makeObserver({"logger": print}, "info"))
        self.assertRaises(BadSettings, logs.makeObserver, {"logfile": "-"}, "info")
        error = self.assertRaises(StateUnusable, logs.makeObserver, {"logfile": "/nowhere/to/be/found"}, "info")
        self.assertNotIn("\n", str(error))


class StubReactor(Clock):
    """A clock that can be asked to stop."""

    running = True

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def callWhenRunning(self, function: Any) -> None:
        """Never."""

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


class ChildTests(SynchronousTestCase):
    """Real processes, each with a directory of its own."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(mode=0o700)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("NODESET_")}
        self.env |= {"NODESET_HOME": str(self.home / "state"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def spawn(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start `python words...`; it is dead after the test, or after PATIENCE, which ends any wait for a line of it."""
        child = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.home,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        hung = threading.Timer(PATIENCE, child.kill)
        hung.daemon = True
        hung.start()

        def end() -> None:
            hung.cancel()
            child.kill()
            child.communicate()

        self.addCleanup(end)
        return child

    def ask(self, *words: str, **env: str) -> tuple[int, str, str]:
        """Run to its end: exit code, stdout, stderr."""
        child = self.spawn(*words, **env)
        out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out, err

    def awaitLine(self, child: subprocess.Popen[str], part: str) -> str:
        """Wait for a line with this part on its stdout."""
        assert child.stdout is not None
        seen = []
        for line in child.stdout:
            if part in line:
                return line
            seen.append(line)
        self.fail(f"it ended before it said {part!r}: {''.join(seen)}{child.stderr.read() if child.stderr else ''}")

    def stop(self, child: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
        """The exit code after this signal."""
        child.send_signal(number)
        child.communicate(timeout=PATIENCE)
        return child.returncode

    def refuses(self, code: int, part: str, *words: str, **env: str) -> None:
        """It ends with this code and one line on stderr that has this part; nothing secret is in it."""
        found, out, err = self.ask(*words, **env)
        self.assertEqual((found, err.count("\n")), (code, 1), out + err)
        self.assertTrue(err.startswith("nodeset-"), err)
        self.assertIn(part, err)
        self.assertNotIn("Traceback", out + err)
        self.assertNotIn("thesecret", out + err)
        self.assertLess(len(err), 600)

    def startDispatcher(self, *words: str) -> subprocess.Popen[str]:
        """One that listens."""
        child = self.spawn(*DISPATCHER, "-n", "--listen", "localhost:0", *words)
        self.awaitLine(child, "listening on")
        return child

    def test_versionHelp(self) -> None:
        """--version says `nodeset.core version: X`; --help ends with an example."""
        for command in (DISPATCHER, NODE):
            self.assertEqual(self.ask(*command, "--version"), (0, f"nodeset.core version: {__version__}\n", ""))
            code, out, err = self.ask(*command, "--help")
            self.assertEqual((code, err), (0, ""))
            self.assertIn("\n  twistd -n nodeset-", out.partition("\nExample:\n")[2])

    def test_usage(self) -> None:
        """An option that there is not, or that cannot have this value, is one line with exit code 2."""
        self.refuses(2, "--bogus", *DISPATCHER, "--bogus")
        self.refuses(2, "--max-nodes", *DISPATCHER, "-n", "--max-nodes", "many")
        self.refuses(2, "$NODESET_LOGLEVEL", *NODE, "-n", NODESET_LOGLEVEL="loud")
        self.refuses(2, "nosuch", *DISPATCHER, "-n", "--reactor", "nosuch")
        self.refuses(2, "--listen", *TWISTD, "-n", "--pidfile=", "nodeset-dispatcher", "--listen", FURL)
        self.refuses(2, "a//b", *NODE, "-n", "publisher", "--event", "a//b")

    def test_portTaken(self) -> None:
        """A port that somebody has is one line with exit code 1, under twistd too; a node's default gives way."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            where = f"localhost:{taken.getsockname()[1]}"
            self.refuses(1, "is taken", *DISPATCHER, "-n", "--listen", where)
            self.refuses(1, "is taken", *TWISTD, "-n", "--pidfile=", "nodeset-dispatcher", "--listen", where)
            self.refuses(1, "is taken", *NODE, "-n", "--listen", where)

    def test_stateUnusable(self) -> None:
        """A state directory that cannot be used, or that another dispatcher has, is one line with exit code 1."""
        self.refuses(1, "not a directory", *DISPATCHER, "-n", "--state-dir", "/dev/null")
        self.refuses(1, "cannot be used", *DISPATCHER, "-n", "--state-dir", "/proc/nodeset")
        self.refuses(1, "cannot be written", *DISPATCHER, "-n", "--listen", "localhost:0", "--logfile", "/proc/nodeset.log")
        first = self.startDispatcher()
        self.refuses(1, f"pid {first.pid}", *DISPATCHER, "-n", "--listen", "localhost:0")

    def test_badFurls(self) -> None:
        """A FURL that is none, wherever it is given, is one line with exit code 1."""
        cases = {"": "empty", "pb://abcdefgh": "cut off", "http://x/y": "http", FURL[:45]: "FURL", FURL + "\u00e9": "FURL"}
        cases |= {"pb://" + "x" * 100_000: "characters"}
        for furl, part in cases.items():
            self.refuses(1, part, *NODE, "-n", "--dispatcher-url", furl)
        self.refuses(1, "$NODESET_DISPATCHER", *NODE, "-n", NODESET_DISPATCHER="pb://abcdefgh")
        large = self.home / "large.furl"
        large.write_text("pb://" + "x" * 1024 * 1024)
        self.refuses(1, "large.furl", *NODE, "-n", "--dispatcher-url", f"@{large}")

    def test_terminate(self) -> None:
        """SIGTERM, or Ctrl-C, stops both commands with exit code 0, started either way, with another reactor too."""
        dispatcher = self.startDispatcher("--reactor", "asyncio")
        member = self.spawn(*NODE, "-n")
        self.awaitLine(member, "linked to the dispatcher")
        self.assertEqual(self.stop(member), 0)
        self.assertEqual(self.stop(dispatcher), 0)
        plugin = self.spawn(*TWISTD, "-n", "--pidfile=", "nodeset-dispatcher", "--listen", "localhost:0")
        self.awaitLine(plugin, "listening on")
        self.assertEqual(self.stop(plugin, signal.SIGINT), 0)
        self.assertEqual(sorted(each.name for each in self.home.iterdir()), ["state"])

    def test_events(self) -> None:
        """A subscriber prints what a publisher sends, with the receipt on the other side; a node may be there first."""
        subscriber = self.spawn(*NODE, "-n", "subscriber", "--event", "a.*", "--count", "2", "--loglevel", "crit")
        self.startDispatcher()
        publish = [*NODE, "-n", "publisher", "--once", "--loglevel", "warn", "--event", "a.b", "--payload"]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            code, out, err = self.ask(*publish, '{"level": 1, "text": "x"}')
            if "matched 1" in out:
                break
            self.assertEqual((code, out, err), (0, "a.b: matched 0, delivered 0, dropped 0\n", ""))
        self.assertEqual(self.ask(*publish, "plain"), (0, "a.b: matched 1, delivered 1, dropped 0\n", ""))
        out, err = subscriber.communicate(timeout=PATIENCE)
        self.assertEqual((subscriber.returncode, err), (0, ""))
        self.assertEqual([json.loads(line) for line in out.splitlines()], [{"level": 1, "text": "x"}, {"payload": "plain"}])

    def test_failedOnce(self) -> None:
        """`publisher --once` that cannot deliver ends with exit code 1, under twistd too."""
        furl = self.home / "refused.furl"
        dispatcher = self.startDispatcher("--furlfile", str(furl))
        refused = furl.read_text().strip().rpartition("/")[0] + "/nobodyknowsthisname"
        furl.write_text(refused)
        words = ["publisher", "--once", "--event", "a", "--dispatcher-url", f"@{furl}"]
        code, out, err = self.ask(*NODE, "-n", *words)
        self.assertEqual((code, err), (1, ""), out)
        code, out, err = self.ask(*TWISTD, "-n", "--pidfile=", "nodeset-node", *words)
        self.assertEqual((code, err), (1, ""), out)
        self.assertNotIn("nobodyknowsthisname", out)
        self.assertEqual(self.stop(dispatcher), 0)

    def test_daemon(self) -> None:
        """Without -n it becomes a daemon with a pid file and a log, a second one is refused; SIGTERM removes the pid file."""
        code, out, err = self.ask(*DISPATCHER, "--listen", "localhost:0")
        self.assertEqual((code, out, err), (0, "", ""))
        pid_file = self.home / "nodeset-dispatcher.pid"
        pid = int(pid_file.read_text())
        self.addCleanup(_kill, pid)
        furl_file = self.home / "state" / "localhost_5333_dispatcher.furl"
        self.assertTrue(furl_file.exists())
        self.refuses(1, str(pid), *DISPATCHER, "--listen", "localhost:0")
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while pid_file.exists() and time.monotonic() < deadline:
            os.sched_yield()
        self.assertFalse(pid_file.exists())
        text = (self.home / "nodeset-core.log").read_text()
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
        self.assertEqual(list(temp.iterdir()), [])

    def test_demoDiffers(self) -> None:
        """An event that is in one ledger only makes the demo fail."""
        program = (
            "import sys; from examples import demo; read = demo.readLedger\n"
            "demo.readLedger = lambda path: read(path)[:-1] if path.name.startswith('subscriber 2') else read(path)\n"
            "sys.exit(demo.main())\n"
        )
        code, out, _err = self.ask("-c", program, "500")
        self.assertEqual(code, 1)
        self.assertIn("999 deliveries, 1 lost", out.splitlines()[-1])

    def test_demoInterrupted(self) -> None:
        """A demo that is told to stop takes its processes with its files along."""
        temp = self.home / "temp"
        temp.mkdir()
        demo = self.spawn(str(ROOT / "examples" / "demo.py"), "10000000", TMPDIR=str(temp))
        self.awaitLine(demo, "are running")
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        self.assertEqual(len(children), 4)
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


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
