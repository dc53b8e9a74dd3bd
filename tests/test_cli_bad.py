"""Commands that cannot do what they are told: one line on stderr, an exit code."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.payload import makeMessage, readPayload
from nodeset.errors import BadSettings
from tests.commands import DISPATCHER, FURL, NODE, TWISTD, CommandCase


class PayloadTests(SynchronousTestCase):
    def refuse(self, text: str) -> str:
        """The line that refuses this payload."""
        line = str(self.assertRaises(BadSettings, makeMessage, text))
        self.assertTrue(line.startswith("--payload"), line)
        self.assertNotIn("\n", line)
        self.assertLess(len(line), 300)
        return line

    def test_fields(self) -> None:
        """A JSON object gives the fields, any other text is the field `payload`."""
        self.assertEqual(readPayload('{"a": 1}'), {"a": 1})
        for text in ("text", "[1]", "1", "[" * 100_000, "NaN"):
            self.assertEqual(readPayload(text), {"payload": text})
        self.assertEqual(readPayload(None), {})
        self.assertEqual(makeMessage('{"level": 1, "timeout": 2}').toJson(), '{"level": 1, "timeout": 2}')

    def test_noObject(self) -> None:
        """What starts with a brace and is no object is refused, with the position."""
        self.assertIn("line 1, column 2", self.refuse("{"))
        self.assertIn("line 1, column 7", self.refuse('{"a": NaN}'))
        self.assertIn("line 1, column 7", self.refuse('{"a": Infinity}'))
        self.assertIn("line 2, column 3", self.refuse(" {\n  a: 1}"))
        self.assertIn("line 1, column 10", self.refuse('{"a": 1} x'))
        self.assertIn("from character 161 on", self.refuse('{"a":' * 3000 + "1" + "}" * 3000))

    def test_notSendable(self) -> None:
        """What no event can carry is refused before anything starts, by the name of the field."""
        deep = "[" * 33 + "]" * 33
        for value in ("1e999", "1" * 30, '"\\ud800"', deep, f'"{"x" * 2_000_000}"'):
            self.refuse(f'{{"a": {value}}}')
        self.refuse("\udcff")  # how Python reads a byte that is no UTF-8
        self.refuse('{"_delivery_mode": "some"}')

    @given(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.floats() | st.text(max_size=5), max_size=3))
    @settings(max_examples=100, deadline=None)
    def test_anyObject(self, fields: dict[str, object]) -> None:
        """Whatever object is given can be sent, or is refused in one line."""
        try:
            makeMessage(json.dumps(fields))
        except BadSettings as error:
            self.assertNotIn("\n", str(error))


class RefusalTests(CommandCase):
    """Before anything runs."""

    def test_usage(self) -> None:
        """An option that there is not, or that cannot have this value, is one line with exit code 2."""
        self.refuses(2, "--bogus", *DISPATCHER, "--bogus")
        self.refuses(2, "$NODESET_LOGLEVEL", *NODE, "-n", NODESET_LOGLEVEL="loud")
        self.refusesEach(
            (2, "--max-nodes", [*DISPATCHER, "-n", "--max-nodes", "many"]),
            (2, "nosuch", [*DISPATCHER, "-n", "--reactor", "nosuch"]),
            (2, "--listen", [*TWISTD, "-n", "--pidfile=", "nodeset-dispatcher", "--listen", FURL]),
            (2, "--event", [*NODE, "-n", "publisher", "--event", "a//b"]),
            (2, "--event", [*NODE, "-n", "publisher", "--event", "a.*"]),
            (2, "--payload", [*NODE, "-n", "publisher", "--once", "--payload", '{"a": 1e999}']),
            (2, "--payload", [*TWISTD, "-n", "--pidfile=", "nodeset-node", "publisher", "--payload", "{"]),
            (2, "--payload is empty", [*NODE, "-n", "publisher", "--payload", ""]),
            (2, "0.0.0.0:1 with --advertise", [*DISPATCHER, "-n", "--listen", "192.0.2.1:1"]),
            (2, "--furlfile", [*DISPATCHER, "-n", "--listen", "localhost:0", "--furlfile", "/nowhere/to/be/found"]),
        )

    def test_near(self) -> None:
        """What is like something that there is says so; what means another thing here than for people too; -h is help."""
        self.refuses(2, "did you mean '--listen'?", *DISPATCHER, "--lsiten", "x")
        self.refuses(2, "did you mean 'subscriber'?", *NODE, "subscribr")
        self.refuses(2, "say --dispatcher-url", *NODE, "-d", "@guest.furl")
        code, out, err = self.ask(*NODE, "-h")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("Example:", out)
        self.assertNotRegex(out, r"\w  +sending")

    def test_unwritable(self) -> None:
        """Help, or settings, that cannot be written are a failure, with its line."""
        for words in (["--help"], ["--print-config"]):
            with open("/dev/full", "wb") as full:  # noqa: PTH123
                done = subprocess.run(
                    [sys.executable, *NODE, *words],
                    cwd=self.home,
                    env=self.env,
                    stdout=full,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=60,
                    check=False,
                )
            told = (done.returncode, done.stderr)
            self.assertEqual(told, (1, "nodeset-node: cannot write its output: No space left on device\n"))

    def test_twistds(self) -> None:
        """What twistd could not do is said with its option, by a daemon too, without a traceback."""
        (self.home / "none.pid").write_text("many")
        listen = ["--listen", "localhost:0"]
        wrong = (["--pidfile", "/nowhere/x.pid"], ["--rundir", "/nowhere"], ["--umask", "9"], ["--uid", "who ever"])
        self.refusesEach(
            *((2, words[0], [*DISPATCHER, *front, *listen, *words]) for words in wrong for front in ([], ["-n"])),
            (2, "--pidfile", [*TWISTD, "-n", "--pidfile=/nowhere/x.pid", "nodeset-dispatcher", *listen]),
            (2, "--pidfile", [*DISPATCHER, *listen, "--pidfile", "none.pid"]),
        )

    def test_nobodyReads(self) -> None:
        """A daemon has nobody who could read what a subscriber or publisher prints; a log file will do."""
        self.refuses(2, "subscriber prints its events: give -n", *NODE, "subscriber")
        self.refuses(2, "publisher prints its receipt: give -n", *NODE, "publisher", "--once")

    def test_portTaken(self) -> None:
        """A port that somebody has is one line with exit code 1, under twistd too; a node's default gives way."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            where = f"localhost:{taken.getsockname()[1]}"
            twistd = [*TWISTD, "-n", "--pidfile=", "nodeset-dispatcher"]
            commands = ([*DISPATCHER, "-n"], twistd, [*NODE, "-n"])
            self.refusesEach(*((1, "is taken", [*command, "--listen", where]) for command in commands))

    def test_stateUnusable(self) -> None:
        """A state directory that cannot be used, or that another dispatcher has, is one line with exit code 1."""
        self.refusesEach(
            (1, "not a directory", [*DISPATCHER, "-n", "--state-dir", "/dev/null"]),
            (1, "--state-dir: /proc/nodeset cannot be used", [*DISPATCHER, "-n", "--state-dir", "/proc/nodeset"]),
            (1, "--identity: /proc/nodeset cannot", [*NODE, "-n", "--identity", "/proc/nodeset"]),
            (1, "cannot be written", [*DISPATCHER, "-n", "--listen", "localhost:0", "--logfile", "/proc/nodeset.log"]),
        )
        self.refuses(1, "$NODESET_HOME: /proc/nodeset cannot", *DISPATCHER, "-n", NODESET_HOME="/proc/nodeset")
        first = self.startDispatcher()
        self.refuses(1, f"pid {first.pid}", *DISPATCHER, "-n", "--listen", "localhost:0")

    def test_badFurls(self) -> None:
        """A FURL that is none, wherever it is given, is one line with exit code 1."""
        cases = {"": "empty", "pb://abcdefgh": "cut off", "http://x/y": "http", FURL[:45]: "FURL", FURL + "\u00e9": "FURL"}
        cases |= {"pb://" + "x" * 100_000: "characters"}
        say = "say pbu://localhost:5333/dispatcher"
        cases |= {"localhost:5333": say, "localhost:5333/thesecret": say, "@large.furl": "large.furl"}
        (self.home / "large.furl").write_text("pb://" + "x" * 1024 * 1024)
        self.refusesEach(*((1, part, [*NODE, "-n", "--dispatcher-url", furl]) for furl, part in cases.items()))
        self.refuses(1, "$NODESET_DISPATCHER", *NODE, "-n", NODESET_DISPATCHER="pb://abcdefgh")
