"""Where the commands listen, what they log, what they make of the process."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.python.logfile import DailyLogFile
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli import listen, logs, places
from nodeset.cli.listen import checkHints, probe, readListen
from nodeset.errors import BadSettings, PortTaken, StateUnusable
from tests.commands import FURL


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
        for text in ("localhost:1", "127.0.0.1:1", "tcp:1:interface=127.0.0.1"):
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

    def test_notOurs(self) -> None:
        """Where this machine cannot listen, as at an address in front of it, it does not: what to write instead is said."""
        self.patch(listen, "lookUp", {"bus.example.org": ["192.0.2.1"], "nowhere": []}.__getitem__)
        for host in ("192.0.2.1", "bus.example.org", "nowhere"):
            for text in (f"{host}:5333", f"pbu://{host}:5333/x", f"tcp:5333:interface={host}"):
                error = str(self.assertRaises(BadSettings, readListen, text))
                advice = f"{host!r} is not an address of this machine: use 0.0.0.0:5333 with --advertise tcp:{host}:5333"
                self.assertIn(advice, error)
        self.assertNotIn("--advertise", str(self.assertRaises(BadSettings, readListen, "192.0.2.1:1", advertises=False)))

    def test_ownName(self) -> None:
        """A host name that stands for an address of this machine is that address."""
        self.patch(listen, "lookUp", {"me": ["192.0.2.1", "127.0.0.1"]}.__getitem__)
        found = readListen("me:5333")
        self.assertEqual((found.endpoint, found.hints), ("tcp:5333:interface=127.0.0.1", ("tcp:127.0.0.1:5333",)))
        self.assertEqual(found.place.stem, "localhost_5333_dispatcher")

    @given(st.text(max_size=40) | st.from_regex(r"(pbu://)?[a-z0-9.:\[\]]{0,12}:[0-9]{0,6}(/[a-z./]{0,6})?", fullmatch=True))
    @settings(max_examples=100, deadline=None)
    def test_anyText(self, text: str) -> None:
        """Whatever is typed is either a place or refused in one line."""
        self.patch(listen, "lookUp", lambda host: [])
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
                self.assertIn(f"port {port}", str(error))
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

    def test_escapes(self) -> None:
        """Nothing in a line moves the cursor of who reads the log, or paints, or hides what stands before it."""
        line = logs.formatLine(event("refused: \x1b]0;x\x07\rall is well\x9b2J\u202e\n\tthere")) or ""
        self.assertTrue(line.endswith("refused: \\u001b]0;x\\u0007\\u000dall is well\\u009b2J\\u202e\n\t\tthere\n"), repr(line))

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
        # From the beginning: the day on which the file is opened counts as well.
        today = [2026, 11, 22]
        self.patch(DailyLogFile, "toDate", lambda self, *args: tuple(today))
        observer: Any = logs.makeObserver({"rundir": str(path)}, "info", "nodeset-x")
        observer(event("today"))
        log = path / "nodeset-x.log"
        self.assertIn("today", log.read_text())
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

    def test_device(self) -> None:
        """A pipe, or a device such as /dev/null, is never renamed when a day is over."""
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        os.mkfifo(path / "pipe")
        reader = os.open(path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        today = [2026, 11, 22]
        self.patch(DailyLogFile, "toDate", lambda self, *args: tuple(today))
        observer: Any = logs.makeObserver({"logfile": str(path / "pipe")}, "info", "x")
        today[2] += 1
        observer(event("later"))
        self.assertIn(b"later", os.read(reader, 999))
        self.assertEqual(list(path.iterdir()), [path / "pipe"])

    def test_chatter(self) -> None:
        """What Twisted and Foolscap tell of themselves is for --loglevel debug, their warnings are for all."""
        said = {}
        for level in ("debug", "info"):
            disk = Disk()
            observer = logs.withLevel(logs.LineObserver(disk), level)
            for space in ("log_legacy", "twisted.internet.protocol.Factory", "foolscap.pb.Listener", "stdout"):
                observer(event("x", log_namespace=space))
            observer(event("x", LogLevel.warn, log_namespace="log_legacy"))
            said[level] = disk.text.count("\n")
        self.assertEqual(said, {"debug": 5, "info": 2})

    def test_shared(self) -> None:
        """Two daemons that write to one file overwrite nothing of each other's."""
        path = Path(self.mktemp())
        observers: list[Any] = [logs.makeObserver({"logfile": str(path)}, "info", "x") for _ in range(2)]
        for number in range(6):
            observers[number % 2](event(f"line {number}"))
        lines = [line.partition("] line ")[2] for line in path.read_text().splitlines()]
        self.assertEqual(lines, list("012345"))

    def test_where(self) -> None:
        """--syslog and --logger are twistd's; a daemon cannot log to stdout; a log that cannot be is said in one line."""
        self.assertIsNone(logs.makeObserver({"syslog": 1}, "info", "x"))
        self.assertIsNone(logs.makeObserver({"logger": print}, "info", "x"))
        self.assertRaises(BadSettings, logs.makeObserver, {"logfile": "-"}, "info", "x")
        error = self.assertRaises(StateUnusable, logs.makeObserver, {"logfile": "/nowhere/to/be/found"}, "info", "x")
        self.assertNotIn("\n", str(error))


class PlaceTests(SynchronousTestCase):
    def test_wrongPlaces(self) -> None:
        """What cannot be done for twistd's options is said in one line that names the option."""
        directory = Path(self.mktemp())
        directory.mkdir()
        options: list[tuple[str, dict[str, Any]]] = [
            ("--rundir", {"rundir": "/nowhere/to/be/found"}),
            ("--rundir", {"rundir": "/dev/null"}),
            ("--rundir", {"rundir": "x" * 5000}),
            ("--pidfile", {"pidfile": "/nowhere/to/be/found.pid"}),
            ("--pidfile", {"pidfile": str(directory)}),
            ("--pidfile", {"pidfile": "/proc/nodeset.pid"}),
            ("--chroot", {"chroot": "/nowhere/to/be/found"}),
        ]
        self.patch(os, "geteuid", lambda: 0)
        self.patch(os, "access", lambda path, mode: not str(path).startswith("/proc"))
        for option, twistd in options:
            error = str(self.assertRaises(BadSettings, places.checkPlaces, twistd))
            self.assertTrue(error.startswith(option), error)
            self.assertNotIn("\n", error)
        places.checkPlaces({"rundir": str(directory), "pidfile": str((directory / "x.pid").absolute())})

    def test_onlyRoot(self) -> None:
        """Without being root one can neither be somebody else nor change the root directory."""
        self.patch(os, "geteuid", lambda: 1000)
        for option, value in (("uid", os.getuid() + 1), ("gid", os.getgid() + 1), ("chroot", "/")):
            error = str(self.assertRaises(BadSettings, places.checkPlaces, {option: value}))
            self.assertIn(f"--{option}", error)
            self.assertIn("only root", error)
        places.checkPlaces({"uid": os.getuid(), "gid": os.getgid()})

    def test_values(self) -> None:
        """A mask, a user or a group that is none is named with its option."""
        self.assertEqual((places.readMask("022"), places.readUser("0"), places.readGroup("0")), (0o022, 0, 0))
        for read, text, option in (
            (places.readMask, "9", "--umask"),
            (places.readMask, "7777", "--umask"),
            (places.readMask, "-1", "--umask"),
            (places.readUser, "nobody knows", "--uid"),
            (places.readUser, "-2", "--uid"),
            (places.readGroup, "nobody knows", "--gid"),
        ):
            error = str(self.assertRaises(UsageError, read, text))
            self.assertTrue(error.startswith(option), error)
            self.assertIn(repr(text), error)

    def test_running(self) -> None:
        """A pid file leads to its process; that of a dead one does not count, what is none is refused."""
        path = Path(self.mktemp())
        self.assertIsNone(places.findRunning(str(path)))
        path.write_text(str(os.getpid()))
        self.assertEqual(places.findRunning(str(path)), os.getpid())
        path.write_text(str(2**22 + 1))  # more than Linux ever gives
        self.assertIsNone(places.findRunning(str(path)))
        for text in ("", "x", "0", "-1", "9" * 30, "\xff"):
            path.write_text(text)
            self.assertIn("--pidfile", str(self.assertRaises(BadSettings, places.findRunning, str(path))))
        self.assertIn("--pidfile", str(self.assertRaises(BadSettings, places.findRunning, "/")))
