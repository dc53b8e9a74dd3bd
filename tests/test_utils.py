"""The seed's shortcuts: the decorator that marks handlers, the options with the voice that they bring."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from nodeset import settings
from nodeset.core.message import NodeMessage
from nodeset.core.utils import Caught, catch, catches, setDefaultOptions
from nodeset.errors import BadMessage, InvalidAddressing

if TYPE_CHECKING:
    from nodeset.core.message import RawMessage as OnlyForTypeCheckers


class Order(NodeMessage):
    number: int = 0


class Base:
    @catch("first")
    def one(self, msg: Any) -> None: ...

    @catch("second", Order)
    @catch("orders.*")
    def two(self, msg: Any) -> None: ...


def named(cls: type) -> list[tuple[str, str]]:
    return [(each.event, each.method) for each in catches(cls)]


class CatchTests(SynchronousTestCase):
    def test_order(self) -> None:
        """A class catches in the order in which it is written, several per method, several methods per event."""

        class Node(Base):
            @catch("first")
            def again(self, msg: Any) -> None: ...

        self.assertEqual(named(Node), [("first", "one"), ("second", "two"), ("orders.*", "two"), ("first", "again")])

    def test_inherited(self) -> None:
        """A method that overrides a handler is the handler, with or without a @catch of its own."""

        class Plain(Base):
            def one(self, msg: Order) -> None: ...

        class Marked(Base):
            @catch("third")
            def one(self, msg: Any) -> None: ...

        off = type("Off", (Base,), {"two": None})
        self.assertEqual(catches(Plain)[0], Caught("first", "one", Order))
        self.assertEqual(named(Marked)[0], ("third", "one"))
        self.assertNotIn("first", [event for event, _ in named(Marked)])
        self.assertEqual(named(off), [("first", "one")])
        self.assertEqual(named(Base)[0], ("first", "one"))

    def test_diamond(self) -> None:
        """With two bases, the one that Python calls is the one that counts, once."""

        class Left(Base):
            @catch("left")
            def one(self, msg: Any) -> None: ...

        class Right(Base):
            @catch("right")
            def one(self, msg: Any) -> None: ...

        class Both(Left, Right):
            pass

        self.assertEqual([event for event, name in named(Both) if name == "one"], ["left"])

    def test_messageClass(self) -> None:
        """The message class is what @catch was given, else what the handler's first argument is annotated with."""

        class Node:
            @catch("a")
            async def annotated(self, msg: Order) -> None: ...

            @catch("b", Order)
            def given(self, msg: Any) -> None: ...

            neither = catch("c")(lambda self, msg: None)

            @catch("d")
            def unknown(self, msg: OnlyForTypeCheckers) -> None: ...

            @catch("e")
            def other(self, msg: int) -> None: ...

            @catch("f")
            @staticmethod
            def loose(msg: Order) -> None: ...

        self.assertEqual([each.msgClass for each in catches(Node)], [Order, Order, None, None, None, Order])

    def test_wrapped(self) -> None:
        """Another decorator around a handler neither hides its mark nor changes that of the handler inside."""

        def loud(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any) -> Any:
                return function(*args)

            return wrapper

        @catch("inner")
        def inner(self: Any, msg: Any) -> None: ...

        class Outer:
            method = catch("outer")(loud(inner))

        class Inner:
            method = inner

        self.assertEqual(named(Outer), [("outer", "method"), ("inner", "method")])
        self.assertEqual(named(Inner), [("inner", "method")])

    def test_badNames(self) -> None:
        """A bad event name is refused where it is written."""
        for name in ("", "a//b", "a b", "a..b", "*x", ">.a", "x" * 300, "a\n"):
            self.assertRaises(InvalidAddressing, catch, name)
        self.assertRaises(BadMessage, catch, "a", int)
        self.assertRaises(BadMessage, catch, "a", "Order")

    def test_unchanged(self) -> None:
        """A marked function is the function itself."""

        def function(self: Any, msg: Any) -> int:
            return 3

        self.assertIs(catch("a")(function), function)


class DefaultOptionsTests(SynchronousTestCase):
    def test_reset(self) -> None:
        """The seed's setDefaultOptions() takes the defaults with the environment."""
        self.addCleanup(settings.use, None)
        settings.use(settings.Settings(site="elsewhere", loglevel="crit"))
        self.patch(os, "environ", {"NODESET_SITE": "here"})
        setDefaultOptions()
        self.assertEqual((settings.current().site, settings.current().loglevel), ("here", "info"))


class VoiceTests(SynchronousTestCase):
    """What a program without a log shows: each in a process of its own, since this one logs."""

    def run_(self, before: str = "", running: str = "", prepare: str = "utils.setDefaultOptions()") -> tuple[str, str]:
        """What such a program puts on stdout, stderr; `running` is what it does once the reactor runs."""
        program = f"""
import sys
from twisted.internet import reactor
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from nodeset.core import utils
own = Logger(namespace="own")
def begin():
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
{prepare}
own.warn("early {{x}}", x=1)
{before}
def run():
    {running or "pass"}
    own.info("small talk")
    own.warn("late pb://abcdefghijklmnopqrstuvwxyz234567@tcp:h:1/thesecret and pb://abcd\\u2026@tcp:h:1/\\u2026")
    own.error("bad")
    own.critical("worst")
    reactor.stop()
reactor.callWhenRunning(run)
reactor.run()
"""
        root = str(Path(__file__).resolve().parent.parent)
        environ = {**os.environ, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout, done.stderr

    def test_shown(self) -> None:
        """Warnings with errors are on stderr, each once, in order, without the secret of a FURL; nothing below them is."""
        out, err = self.run_()
        late = "[warning] late pb://… and pb://abcd…@tcp:h:1/…"
        self.assertEqual((out, err.splitlines()), ("", ["[warning] early 1", late, "[error] bad", "worst"]))

    def test_twice(self) -> None:
        """Asking twice shows nothing twice."""
        self.assertEqual(self.run_(prepare="utils.setDefaultOptions(); utils.setDefaultOptions()")[1].count("early"), 1)

    def test_logsBefore(self) -> None:
        """A program that began logging has its log, and nothing beside it."""
        out, err = self.run_(prepare="begin(); utils.setDefaultOptions()")
        self.assertEqual((err, out.count("early"), out.count("bad"), out.count("small talk")), ("", 1, 1, 1))

    def test_logsLater(self) -> None:
        """A program that begins logging after the options were set has its whole log, and nothing beside it."""
        out, err = self.run_(before="begin()")
        self.assertEqual((err, out.count("early"), out.count("bad"), out.count("small talk")), ("", 1, 1, 1))

    def test_logsWhileRunning(self) -> None:
        """So has one that begins while the reactor runs: what was shown by then is in its log too, no complaint is."""
        out, err = self.run_(running="begin()")
        self.assertEqual((err, out.count("early"), out.count("bad")), ("[warning] early 1\n", 1, 1))
        self.assertNotIn("twice", out)

    def test_silentHere(self) -> None:
        """Under trial, which logs, nothing is added."""
        self.addCleanup(settings.use, None)
        before = list(vars(globalLogPublisher)["_observers"])
        setDefaultOptions()
        self.assertEqual(vars(globalLogPublisher)["_observers"], before)

    def test_waiting(self) -> None:
        """A program whose dispatcher is not there is told so."""
        home = str(Path(self.mktemp()).absolute())
        program = (
            "from nodeset.core import node, utils\n"
            "from twisted.internet import reactor\n"
            "utils.setDefaultOptions()\n"
            "node.Node(name='nodeAbc').startService()\n"
            "reactor.callLater(0, reactor.stop)\n"
            "reactor.run()\n"
        )
        root = str(Path(__file__).resolve().parent.parent)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("NODESET_")} | {
            "PYTHONPATH": root,
            "NODESET_HOME": home,
        }
        done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("nodeAbc is not linked, keeps trying", done.stderr)
        self.assertIn("start the dispatcher", done.stderr)
