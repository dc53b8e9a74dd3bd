"""What is typed at the prompt of a shell is run, what comes of it is shown."""

from __future__ import annotations

import sys
import threading
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import NotThere
from nodeset.shell.interpreter import Interpreter
from nodeset.shell.plain import columns, plain
from nodeset.shell.session import runOnce
from nodeset.shell.shell import MOST_SESSIONS, Shell


class PlainTests(SynchronousTestCase):
    def test_control(self) -> None:
        """No character that moves the cursor, changes colours or hides what follows it reaches a terminal."""
        for evil in ("\x1b[2J", "\x9b2J", "\x07", "\b\b", "\r", "\x1b]0;title\x07", "\u202e", "\u2028", "\x00", "\ud800"):
            shown = plain(f"before{evil}after\n", 100)
            self.assertTrue(shown[:-1].isprintable(), repr(shown))
            self.assertTrue(shown.startswith("before\\") and shown.endswith("after\n"), repr(shown))

    def test_kept(self) -> None:
        """Letters of all scripts, line breaks, backslashes stay as they are; a tab is blanks."""
        self.assertEqual(plain("ü字 \\n\n\tx\r\n", 100), "ü字 \\n\n        x\n")

    def test_columns(self) -> None:
        """A wide character takes two columns, one that is put onto another none."""
        self.assertEqual([columns(text) for text in ("abc", "字x", "e\u0301")], [3, 3, 1])


class InterpreterTests(SynchronousTestCase):
    """Lines as they are typed."""

    def setUp(self) -> None:
        self.said: list[str] = []
        self.left: list[bool] = []
        self.names: dict[str, Any] = {"Deferred": Deferred}
        self.interpreter = Interpreter(self.names, self.show, lambda: self.left.append(True), 1000)
        self.names["print"] = self.interpreter.print

    def show(self, text: str, unasked: bool) -> None:
        self.said.append(f"!{text}" if unasked else text)

    def run_(self, source: str) -> str:
        """What running it shows at once."""
        self.said.clear()
        done = self.interpreter.run(source)
        if done is None:
            return "more"
        done.addErrback(lambda failure: self.fail(str(failure)))
        return "".join(self.said)

    def test_values(self) -> None:
        """The value of a line is shown, unless it is None; it is `_` then."""
        self.assertEqual(self.run_("1 + 1"), "2\n")
        self.assertEqual(self.run_("_ * 2; None"), "4\n")
        self.assertEqual(self.run_("None"), "")
        self.assertEqual(self.run_("for i in 1, 2:"), "more")
        self.assertEqual(self.run_("for i in 1, 2:\n  i\n"), "1\n2\n")

    def test_errors(self) -> None:
        """An exception shows its traceback from what was typed on; one of ours its line; bad syntax is said."""
        shown = self.run_("1 / 0")
        self.assertIn('File "<shell>", line 1', shown)
        self.assertIn("ZeroDivisionError: division by zero\n", shown)
        self.assertNotIn("interpreter.py", shown)
        self.assertIn("SyntaxError", self.run_("1 +* 2"))
        self.names["NotThere"] = NotThere
        self.assertEqual(self.run_("raise NotThere('start it')"), "NotThere: start it\n")
        self.assertIn("KeyboardInterrupt", self.run_("raise KeyboardInterrupt"))
        self.assertLess(len(self.run_("def f(): f()\nf()") + self.run_("def f(): f()\n") + self.run_("f()")), 20_000)

    def test_await(self) -> None:
        """An await at the prompt waits; what is printed before and after it is shown, the process's own stdout sees nothing."""
        waiting: Deferred[int] = Deferred()
        self.names["waiting"] = waiting
        before = sys.stdout
        self.assertEqual(
            self.run_("import sys; sys.stdout.write('a\\n'); x = await waiting; sys.stdout.write('b\\n'); x"), "a\n2\n"
        )
        self.assertIs(sys.stdout, before)
        self.said.clear()
        waiting.callback(5)
        self.assertEqual("".join(self.said), "b\n2\n5\n")
        self.assertEqual(self.run_("x"), "5\n")
        self.assertIs(sys.stdout, before)

    def test_awaitFails(self) -> None:
        """What is awaited may fail; what is cancelled says so, and is cancelled itself."""
        cancelled: list[object] = []
        waiting: Deferred[None] = Deferred(cancelled.append)
        self.names["waiting"] = waiting
        self.run_("await waiting")
        waiting.errback(ValueError("no"))
        self.assertIn("ValueError: no", "".join(self.said))
        self.names["waiting"] = waiting = Deferred(cancelled.append)
        running = self.interpreter.run("await waiting")
        assert running is not None
        running.cancel()
        self.assertEqual((self.said[-1], cancelled), ("KeyboardInterrupt\n", [waiting]))
        self.assertFalse(self.successResultOf(running))

    def test_deferred(self) -> None:
        """A Deferred that is the value of a line is shown when it fires, once; when it fails, that is handled."""
        d: Deferred[Any] = Deferred()
        e: Deferred[Any] = Deferred()
        self.names |= {"d": d, "e": e}
        self.assertEqual(self.run_("d") + self.run_("d") + self.run_("e"), "<Deferred #1>\n" * 2 + "<Deferred #2>\n")
        self.said.clear()
        d.callback([1])
        e.errback(ValueError("no"))
        self.assertEqual(self.said, ["!Deferred #1 fired: [1]\n", "!Deferred #2 failed: ValueError: no\n"])

    def test_printLater(self) -> None:
        """`print` in a callback is shown at the prompt that it was typed at."""
        d: Deferred[str] = Deferred()
        self.names["d"] = d
        self.run_("x = d.addCallback(print)")
        self.said.clear()
        d.callback("came")
        self.assertEqual(self.said, ["!came\n"])

    def test_thread(self) -> None:
        """What another thread prints is shown by the thread that everything else runs in."""
        later: list[tuple[Any, ...]] = []
        interpreter = Interpreter({}, self.show, lambda: None, 1000, lambda *call: later.append(call))
        thread = threading.Thread(target=interpreter.print, args=("from afar",))
        thread.start()
        thread.join()
        self.assertEqual(self.said, [])
        ((function, *args),) = later
        function(*args)
        self.assertEqual(self.said, ["!from afar\n"])

    def test_input(self) -> None:
        """Nobody types into the service itself: `input()` ends at once."""
        self.assertIn("EOFError", self.run_("input()"))

    def test_exit(self) -> None:
        """`exit()` leaves the session, not the process."""
        self.assertEqual((self.run_("exit()"), self.left), ("", [True]))
        self.assertEqual((self.run_("raise SystemExit(3)"), self.left), ("", [True, True]))

    def test_tooMuch(self) -> None:
        """Output without end is cut; how much is missing is said."""
        shown = self.run_("for i in range(1000): print('x' * 99)\n")
        self.assertLess(len(shown), 1100)
        self.assertIn("99000 more characters", shown)

    def test_badRepr(self) -> None:
        """A value that cannot be shown is named."""
        self.run_("class Bad:\n  def __repr__(self): raise ValueError('no')\n")
        self.assertEqual(self.run_("Bad()"), "<Bad, whose repr raises ValueError>\n")


class ShellTests(SynchronousTestCase):
    """What sessions share."""

    def setUp(self) -> None:
        self.shell = Shell("test", {"answer": 42}, Clock())

    def test_names(self) -> None:
        """A name put into a shell is known in sessions that are open; what one session defines is its own."""
        session = self.shell.enter("someone", lambda why: None)
        other = self.shell.enter("someone else", lambda why: None)
        assert session is not None and other is not None
        session.namespace["mine"] = 1
        self.shell.put("new", 1)
        self.assertEqual((session.namespace["new"], session.namespace["answer"]), (1, 42))
        self.assertNotIn("mine", other.namespace)
        self.shell.drop("new")
        self.shell.drop("new")
        self.assertNotIn("new", session.namespace)

    def test_bounded(self) -> None:
        """There is room for a few sessions at a time; all can be closed."""
        closed: list[str] = []
        sessions = [self.shell.enter("someone", closed.append) for _ in range(MOST_SESSIONS)]
        self.assertIsNone(self.shell.enter("one too many", closed.append))
        self.assertIsNone(runOnce(self.shell, "one too many", "1", closed.append))
        self.assertEqual(self.shell.refused, {"full": 2})
        assert sessions[0] is not None
        self.shell.leave(sessions[0])
        self.assertIsNotNone(self.shell.enter("next", closed.append))
        self.shell.closeAll("the end")
        self.assertEqual((closed, self.shell.sessions), (["the end"] * MOST_SESSIONS, []))

    def test_once(self) -> None:
        """One piece of Python says whether it went well; it is a session while it runs."""
        said: list[str] = []
        for source, well, shown in (
            ("answer", True, "42\n"),
            ("1/0", False, "ZeroDivisionError"),
            ("if 1:", False, "SyntaxError"),
        ):
            said.clear()
            done = runOnce(self.shell, "someone", source, said.append)
            assert done is not None
            self.assertEqual(self.successResultOf(done), well)
            self.assertIn(shown, "".join(said))
        self.shell.put("waiting", Deferred())
        done = runOnce(self.shell, "someone", "x = 1\nawait waiting", said.append)
        assert done is not None
        self.assertEqual(len(self.shell.sessions), 1)
        self.shell.closeAll("the end")
        self.assertFalse(self.successResultOf(done))
        self.assertEqual(self.shell.sessions, [])
