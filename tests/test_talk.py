"""The commands pub, sub, call with real processes."""

from __future__ import annotations

import atexit
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.commands import DISPATCHER, NODESET, PATIENCE, ROOT, CommandCase

#: Time enough to find the dispatcher on a machine that has much else to do.
PATIENTLY = ["--timeout", str(PATIENCE)]
PUB, SUB = [*NODESET, "pub", *PATIENTLY], [*NODESET, "sub", *PATIENTLY]
CALC = """
from twisted.internet import reactor
from nodeset import Node, expose

class Calc(Node):
    @expose
    def add(self, a, b):
        return a + b

    @expose
    def fail(self):
        raise KeyError("no \\x1b[31msuch thing")

    @expose
    def cheat(self):
        raise ValueError("see \\x1b]0;title\\x07")

    @expose
    async def count(self, n):
        for i in range(n):
            yield {"i": i}

node = Calc(name="calc")
node.startService()
node.start().addCallback(lambda node: print("here", flush=True))
reactor.run()
"""

WAITER = """
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from nodeset import Node

class Waiter(Node):
    def onEvent(self, event, msg):
        if msg.payload == "2":
            print("slow", flush=True)
            return Deferred()

node = Waiter(name="waiter")
node.startService()
node.subscribe("x").addCallback(lambda active: print("here", flush=True))
reactor.run()
"""


class TalkCase(CommandCase):
    """Without a terminal."""

    def shell(self, line: str, **env: str) -> tuple[int, str, str]:
        """Run a line of bash, in which `nodeset` is our command, with pipefail."""
        text = f'nodeset() {{ "{sys.executable}" -m nodeset "$@" {" ".join(PATIENTLY)}; }}; set -o pipefail; {line}'
        child = subprocess.Popen(
            ["bash", "-c", text],
            cwd=self.home,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(timeout=PATIENCE)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
        self.assertNotIn("Traceback", out + err)
        return child.returncode, out, err


@cache
def sharedState() -> str:
    """The state directory of a dispatcher that is there until trial ends, which knows no fixtures of a class."""
    state = tempfile.TemporaryDirectory()
    env = {name: value for name, value in os.environ.items() if not name.startswith("NODESET_")}
    env |= {"NODESET_HOME": state.name, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, *DISPATCHER, "-n", "--listen", "localhost:0"]
    child = subprocess.Popen(words, cwd=state.name, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def end() -> None:
        child.kill()
        child.wait()
        state.cleanup()

    atexit.register(end)
    return state.name


class SharedCase(TalkCase):
    """With one dispatcher for all tests, which leave no node behind there: one that is killed stays for a while."""

    def setUp(self) -> None:
        super().setUp()
        self.env["NODESET_HOME"] = sharedState()


class PubSubTests(SharedCase):
    """Events."""

    def test_one(self) -> None:
        """One event is published with its receipt, is printed with its fields, as JSON with what is known of it."""
        line = (
            """nodeset sub 'orders.*' --json --count 1 > got & nodeset pub orders.created '{"id": 1}' --wait-for 1; wait $!"""
        )
        self.assertEqual(self.shell(line), (0, "orders.created: matched 1, delivered 1, dropped 0\n", ""))
        told = json.loads((self.home / "got").read_text())
        self.assertEqual((told["event"], told["payload"]), ("orders.created", {"id": 1}))
        self.assertEqual(told.keys() & {"time", "id", "publisher"}, {"time", "id", "publisher"})

    def test_lines(self) -> None:
        """Each line of a pipe is an event, in order, and comes out of `sub --raw` as it went in; of a file as well."""
        line = "nodeset sub x --raw --count 5000 > got & seq 5000 | nodeset pub x --wait-for 1; wait $!"
        self.assertEqual(self.shell(line), (0, "x: 5000 events, matched 5000, delivered 5000, dropped 0\n", ""))
        self.assertEqual((self.home / "got").read_text(), "".join(f"{n}\n" for n in range(1, 5001)))
        told = self.runCases(
            [
                {"words": ["pub", *PATIENTLY, "x"], "stdin": "a\nb"},
                {"words": ["pub", *PATIENTLY, "x", "-", "-q"], "stdin": "a\n"},
                {"words": ["pub", *PATIENTLY, "x", "--json"], "stdin": '{"a": 1}\n\n{"a": 2}\n'},
                {"words": ["pub", *PATIENTLY, "y", "n {{n}}", "--count", "3"]},
            ]
        )
        self.assertEqual([(code, err) for code, _out, err in told], [(0, "")] * 4)
        self.assertIn("x: 2 events,", told[0][1])
        self.assertEqual(told[1][1], "")
        self.assertEqual(json.loads(told[2][1]), {"event": "x", "events": 2, "matched": 0, "delivered": 0, "dropped": 0})
        self.assertIn("y: 3 events,", told[3][1])

    def test_badLine(self) -> None:
        """A line that is no event is named by its number; what was before it is confirmed; exit code 2."""
        cases = [
            ({"words": ["pub", *PATIENTLY, "x", "--json"], "stdin": '{"a": 1}\n{"a": 1}\n{"a":\n'}, '"events":2', "line 3: "),
            ({"words": ["pub", *PATIENTLY, "x", "--json"], "stdin": '{"a": 1}\n7\n'}, '"events":1', "'7' is no JSON object"),
            ({"words": ["pub", *PATIENTLY, "x"], "stdin": "a\n\udcff\n"}, "x: 1 event,", "line 2: not UTF-8"),
            (
                {"words": ["pub", *PATIENTLY, "x", "--raw"], "stdin": "x" * 1100000},
                "x: 0 events,",
                "line 1 has more than 1048576 bytes",
            ),
        ]
        for (_case, said, why), (code, out, err) in zip(cases, self.runCases([case for case, *_ in cases]), strict=True):
            self.assertEqual((code, err.count("\n")), (2, 1), err)
            self.assertIn(said, out)
            self.assertIn(why, err)

    def test_bounds(self) -> None:
        """`sub` ends after so many events or so long: exit code 6 when fewer came in time; `pub --wait-for` waits so long."""
        words = ["sub x --for 0.1", "sub x --for 0.1 --count 2", "pub z y --wait-for 1 --publish-timeout 0.1"]
        quiet, few, nobody = self.runCases([{"words": [*each.split(), *PATIENTLY]} for each in words])
        self.assertEqual(quiet, (0, "", ""))
        self.assertEqual(few, (6, "", "nodeset sub: 0 of 2 events came in 0.1 s\n"))
        self.assertEqual(nobody[:2], (6, ""))
        self.assertIn("0 of 1 nodes subscribe", nobody[2])

    def test_interrupted(self) -> None:
        """Ctrl-C is the ordinary end of `sub`; what it heard is written. While `pub` reads it is exit code 130."""
        child = self.spawn(*SUB, "x")
        self.assertEqual(self.ask(*PUB, "x", "1", "--wait-for", "1", "-q"), (0, "", ""))
        child.send_signal(signal.SIGINT)
        self.assertEqual((*child.communicate(timeout=PATIENCE), child.returncode), ('x {"payload": "1"}\n', "", 0))

    def test_interruptedWhileItIsRead(self) -> None:
        """What `sub` has heard before Ctrl-C is written, however much it is, as long as it is read within two seconds."""
        child = self.spawn(*SUB, "x", "--raw")
        (self.home / "long").write_text(1000 * f"{'y' * 999}\n")
        self.assertEqual(self.shell("nodeset pub x --wait-for 1 -q --timeout 60 < long"), (0, "", ""))
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertEqual((child.returncode, len(out), err), (0, 1_000_000, ""))

    def test_terminal(self) -> None:
        """On a terminal an event is readable, and what it carries cannot steer the terminal."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        child = subprocess.Popen(
            [sys.executable, *SUB, "x", "--count", "2"], cwd=self.home, env=self.env, stdout=theirs, stdin=theirs
        )
        os.close(theirs)
        self.addCleanup(child.kill)
        self.ask(*PUB, "x", json.dumps({"who": "Ren\u00e9e\u202e", "a\x1b]0;b": "\x1b[31m"}), "--wait-for", "1")
        self.ask(*PUB, "x", "\x1b[2J", "--raw")
        self.assertEqual(child.wait(PATIENCE), 0)
        seen = os.read(ours, 65536).decode()
        self.assertIn("Ren\u00e9e\\u202e", seen)
        for wild in ("\u202e", "\x1b]", "\x1b[2J", "\x1b[31m"):
            self.assertNotIn(wild, seen)


class AwayTests(TalkCase):
    """Events, with nodes that are away or gone after it."""

    def setUp(self) -> None:
        super().setUp()
        self.dispatcher = self.startDispatcher()

    def test_closedPipe(self) -> None:
        """A reader that closes its pipe ends `sub` at once, with exit code 141; a full disk with 1: one line each."""
        line = "(nodeset sub x | head -c 1; echo $? > code) & (nodeset sub x --count 1 > /dev/full; echo $?) & "
        _code, out, err = self.shell(f"{line} yes | head -5 | nodeset pub x --wait-for 2 -q; wait")
        self.assertEqual((sorted(out), (self.home / "code").read_text()), (["\n", "1", "x"], "141\n"), err)
        closed, full = "whoever read its output has closed it", "cannot write its output: No space left on device"
        self.assertEqual(set(err.splitlines()), {f"nodeset sub: {closed}", f"nodeset sub: {full}"})
        cases = [{"words": ["sub", *PATIENTLY, "x"], "stdout": "closed"}, {"words": ["pub", *PATIENTLY, "x"], "stdout": "full"}]
        self.assertEqual(self.runCases(cases), [(141, "", f"nodeset sub: {closed}\n"), (1, "", f"nodeset pub: {full}\n")])

    def test_interruptedForGood(self) -> None:
        """What was not confirmed when the time after Ctrl-C is over is told as such, beside what was."""
        waiter = self.spawn("-c", WAITER)
        self.awaitLine(waiter, "here")
        child = self.spawn(*PUB, "x", "{{n}}", "--count", "2", "--level", "handled")
        self.awaitLine(waiter, "slow")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertEqual(
            (child.returncode, out, err), (130, "x: 2 events, matched 1, delivered 1, dropped 0, unconfirmed 1\n", "")
        )

    def test_restart(self) -> None:
        """`sub` outlives its dispatcher, and says so."""
        child = self.spawn(*SUB, "x", "--count", "2")
        assert child.stderr is not None
        self.assertEqual(self.ask(*PUB, "x", "1", "--wait-for", "1", "-q"), (0, "", ""))
        self.stop(self.dispatcher, signal.SIGKILL)
        self.assertIn("lost the dispatcher", child.stderr.readline())
        self.dispatcher = self.startDispatcher()
        self.assertIn("is back", child.stderr.readline())
        self.assertEqual(self.ask(*PUB, "x", "1", "--wait-for", "1", "-q")[0], 0)
        self.assertEqual((*child.communicate(timeout=PATIENCE), child.returncode), (2 * 'x {"payload": "1"}\n', "", 0))


class CallTests(SharedCase):
    """Calls."""

    def test_call(self) -> None:
        """A method is called with JSON or texts, by place or name; its answer is JSON, or a line for each item."""
        calc = self.spawn("-c", CALC)
        self.awaitLine(calc, "here")
        wrong = """'no \\x1b[31msuch thing'"""
        cases: list[tuple[list[str], int, str, str]] = [
            (["calc", "add", "1", "2"], 0, "3\n", ""),
            (["calc", "add", "ham", "b=let"], 0, '"hamlet"\n', ""),
            (["calc", "add", "--args", '{"a": [1], "b": [2]}'], 0, "[1, 2]\n", ""),
            (["calc", "add", "--", "-1", "-2"], 0, "-3\n", ""),
            (["calc", "count", "2"], 0, '{"i": 0}\n{"i": 1}\n', ""),
            (["calc", "add", "1", "2", "--all"], 0, '{"node": "calc@localhost", "result": 3}\n', ""),
            (["calc", "fail"], 1, "", f"KeyError: {wrong}"),
            (["calc", "add", "1"], 2, "", "missing"),
            (["calk", "add"], 5, "", "did you mean 'calc'?"),
            (["calc", "counts"], 5, "", "did you mean 'count'?"),
            (["a b", "add"], 2, "", "space"),
        ]
        more = [
            ["call", *PATIENTLY, "calc", "fail", "--all"],
            ["nodes", *PATIENTLY, "clac"],
            ["call", *PATIENTLY, "calc", "fail", "--debug"],
            ["call", *PATIENTLY, "calc", "cheat", "--debug"],
        ]
        both = [*(["call", *PATIENTLY, *words] for words, *_rest in cases), *more]
        told = self.runCases([{"words": words} for words in both])
        (code, out, why), (nodes, _out, err), (debugged, _out, traceback), (cheat, _out, cheated) = told[len(cases) :]
        self.assertEqual((code, nodes, debugged), (1, 5, 1), why)
        self.assertEqual(json.loads(out)["error"], f"KeyError: {wrong}", why)
        self.assertIn("did you mean 'calc'?", err)
        self.assertIn("Traceback", traceback)
        self.assertEqual((cheat, cheated.replace("\n", "").replace("\t", "").isprintable()), (1, True), repr(cheated))
        self.assertIn("see \\u001b]0;title\\u0007", cheated)
        for (words, *expected, part), (code, out, err) in zip(cases, told[: len(cases)], strict=True):
            self.assertEqual([code, out], expected, f"{words}: {err}")
            self.assertIn(part, err)
            self.assertEqual(err.count("\n"), 1 if code else 0, err)
        self.assertEqual(self.shell("nodeset call calc count 10000 | head -1")[:2], (141, '{"i": 0}\n'))

    def test_callUnwritable(self) -> None:
        """An answer that cannot be written is a failure, with its line."""
        words = [["call", "", "stats"], ["call", "", "stats", "--json"]]
        full = "nodeset call: cannot write its output: No space left on device\n"
        self.assertEqual(self.runCases([{"words": each, "stdout": "full"} for each in words]), [(1, "", full)] * 2)


class LineTests(CommandCase):
    """What is typed, and what the shell adds to it."""

    def test_badWords(self) -> None:
        """What cannot be published, or subscribed to, is exit code 2 before a dispatcher is asked."""
        cases = {
            "pattern": ["pub", "a.*", "x"],
            "PAYLOAD": ["pub", "a", "{"],
            "--count": ["pub", "a", "-", "--count", "2"],
            "empty part": ["sub", "a..b"],
            "--raw": ["sub", "a", "--raw", "--json"],
            "--args": ["call", "calc", "add", "--args", "{"],
            "by name": ["call", "calc", "add", "a=1", "2"],
        }
        for part, (code, out, err) in zip(cases, self.runCases([{"words": words} for words in cases.values()]), strict=True):
            self.assertEqual((code, out, err.count("\n")), (2, "", 1), err)
            self.assertIn(part, err)

    def test_bash(self) -> None:
        """bash completes commands, their options, the options of the services."""
        script = Path(self.mktemp())
        code, out, err = self.ask(*NODESET, "completion", "bash")
        self.assertEqual((code, err), (0, ""))
        script.write_text(out)
        shim = self.home / "nodeset"
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nodeset "$@"\n')
        shim.chmod(0o700)
        cases: list[tuple[str, list[str]]] = [
            ("no", ["node", "nodes"]),
            ("pub --wa", ["--wait-for"]),
            ("dispatcher --l", ["--listen", "--loglevel"]),
            ("node su", ["subscriber"]),
        ]
        for line, expected in cases:
            words = ["nodeset", *line.split(" ")]
            text = (
                f'source "{script.absolute()}"; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; '
                f'_nodeset_completion nodeset; printf "%s\\n" "${{COMPREPLY[@]}}"'
            )
            env = {**self.env, "PATH": f"{self.home}:{os.environ['PATH']}"}
            done = subprocess.run(["bash", "-c", text], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
            self.assertEqual(done.stdout.split(), expected, done.stderr)

    def test_guess(self) -> None:
        """The shell is told from $SHELL; one that is unknown is named."""
        self.assertIn("#compdef", self.ask(*NODESET, "completion", SHELL="/bin/zsh")[1])
        self.refuses(2, "'tcsh'", *NODESET, "completion", SHELL="/bin/tcsh")
