"""Calls from node to node, over the in-memory wire."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from nodeset import Node, NodeCollection, expose
from nodeset.core import batch
from nodeset.core.calls import caller
from nodeset.core.session import Session
from nodeset.errors import (
    BadArguments,
    InvalidAddressing,
    LocalError,
    MessageTooLarge,
    NotRunning,
    Overloaded,
    Refused,
    RemoteError,
    TimedOut,
    UnknownMethod,
    UnknownNode,
)
from tests.sites import Boom, SiteCase


class Calc(Node):
    """Exposes a few methods; notes what ran."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ran: list[Any] = []
        self.held: list[Deferred[Any]] = []

    @expose
    def add(self, a: int, b: int = 1) -> int:
        self.ran.append((a, b))
        return a + b

    @expose
    def echo(self, value: Any) -> Any:
        return value

    @expose("hold")
    def keep(self) -> Deferred[Any]:
        held: Deferred[Any] = Deferred(lambda cancelled: self.ran.append("cancelled"))
        self.held.append(held)
        return held

    @expose
    async def pause(self, seconds: float) -> str:
        done: Deferred[None] = Deferred()
        self._findClock().callLater(seconds, done.callback, None)
        await done
        return "rested"

    @expose
    def fail(self) -> None:
        raise Boom("it went wrong")

    @expose(traceback=True)
    def tell(self) -> None:
        raise Boom("it went wrong, openly")

    @expose
    def leave(self, kind: str) -> None:
        raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "generator": GeneratorExit}[kind]("no more")

    @expose
    async def leaveLater(self, kind: str) -> None:
        self.leave(kind)

    @expose
    def strange(self) -> Any:
        return object()

    def hidden(self) -> None:
        self.ran.append("hidden")


class CallCase(SiteCase):
    """A site with a `calc`, and with somebody who calls it."""

    def setUp(self) -> None:
        super().setUp()
        self.calc = self.site.node(Calc, name="calc")
        self.me = self.site.node(Node, name="me")

    def calls(self, *args: Any, **options: Any) -> Any:
        """What a call returns."""
        return self.site.wait(self.me.call(*args, **options))


class CallTests(CallCase):
    def test_value(self) -> None:
        """A call fires with what the method returned, whether it is plain, returns a Deferred, or is `async def`."""
        self.assertEqual(self.calls("calc", "add", 1, 2), 3)
        self.assertEqual(self.calls("calc", "add", a=4), 5)
        self.assertEqual(self.calls("calc@localhost", "pause", 0.5), "rested")
        waiting = self.me.call("calc", "hold")
        self.site.flush()
        self.calc.held[0].callback([1, None, {"a": 2.5}])
        self.assertEqual(self.site.wait(waiting), [1, None, {"a": 2.5}])

    def test_itself(self) -> None:
        """Where the method itself is given, its arguments are checked before anything is sent."""
        self.assertEqual(self.calls("calc", Calc.add, 1, b=2), 3)
        with self.assertRaisesRegex(BadArguments, "add: b: Expected `int`, got `str`"):
            self.me.call("calc", Calc.add, 1, "two")
        with self.assertRaisesRegex(BadArguments, "missing a required argument: 'a'"):
            self.me.call("calc", Calc.add)
        with self.assertRaisesRegex(BadArguments, "not exposed"):
            self.me.call("calc", Calc.hidden)
        self.assertEqual(self.calc.ran, [(1, 2)])

    def test_nobody(self) -> None:
        """An unknown node, method, argument fails at once, and says which."""
        for error, args in (
            (UnknownNode, ("nobody", "add")),
            (UnknownNode, ("calc@elsewhere", "add")),
            (UnknownMethod, ("calc", "hidden")),
            (UnknownMethod, ("", "nothing")),
            (BadArguments, ("calc", "add")),
            (BadArguments, ("calc", "add", "one")),
            (BadArguments, ("calc", "add", 1, 2, 3)),
        ):
            before = self.site.clock.seconds()
            self.failing(error, self.me.call(*args))
            self.assertLess(self.site.clock.seconds() - before, 0.2, args)
        self.assertEqual(self.calc.ran, [])

    def test_remoteError(self) -> None:
        """What the method raises arrives with its class's name and its message; the callee's log has it once."""
        error = self.failing(RemoteError, self.me.call("calc", "fail"))
        self.assertEqual((error.type, str(error), error.traceback), ("Boom", "it went wrong", ""))
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_traceback(self) -> None:
        """The traceback comes only where the callee allows it, without the directories of its machine."""
        error = self.failing(RemoteError, self.me.call("calc", "tell"))
        self.assertIn('File "test_calls.py"', error.traceback)
        self.assertNotIn("/", error.traceback)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_baseException(self) -> None:
        """SystemExit, KeyboardInterrupt, GeneratorExit of a method end the call, not the node."""
        for kind, error in (("exit", SystemExit), ("interrupt", KeyboardInterrupt), ("generator", GeneratorExit)):
            for method in ("leave", "leaveLater"):
                told = self.failing(RemoteError, self.me.call("calc", method, kind))
                self.assertEqual(told.type, error.__name__)
                self.assertEqual(len(self.flushLoggedErrors(error)), 1)
        self.assertEqual(self.calls("calc", "add", 1), 2)

    def test_badResult(self) -> None:
        """What cannot be sent back is the callee's error."""
        error = self.failing(RemoteError, self.me.call("calc", "strange"))
        self.assertEqual(error.type, "BadMessage")
        self.assertIn("what strange returned is of the type object", str(error))
        self.flushLoggedErrors(ValueError)

    def test_badArguments(self) -> None:
        """What cannot be sent is an error at the caller, at once, that names it: nobody else is disturbed."""
        cyclic: list[Any] = []
        cyclic.append(cyclic)
        deep: list[Any] = []
        for _ in range(40):
            deep = [deep]
        for value, words in (
            (print, "builtin_function_or_method"),
            (lambda: 1, "function"),
            (cyclic, "nested deeper"),
            (deep, "nested deeper"),
            (object(), "object"),
            (float("nan"), "nan"),
            ([float("inf")], "inf"),
            ({1: 2}, "the key 1"),
            (1 << 64, "64 bits"),
            ([1 << 64], "64 bits"),
            ("\ud800", "surrogate"),
            (Node, "type"),
        ):
            with self.assertRaisesRegex(BadArguments, f"argument 1.*{words}"):
                self.me.call("calc", "echo", value)
            with self.assertRaisesRegex(BadArguments, f"^value.*{words}"):
                self.me.call("calc", "echo", value=value)
        with self.assertRaises(MessageTooLarge):
            self.me.call("calc", "echo", "x" * (1 << 20))
        targets: list[Any] = ["a b", "a/b", "a@b@c", "*", None, 3, "a@"]
        for target in targets:
            with self.assertRaises((InvalidAddressing, BadArguments)):
                self.me.call(target, "echo", 1)
        for options in ({"timeout": 0}, {"timeout": -1}, {"timeout": "1"}, {"mode": "both"}):
            with self.assertRaises(LocalError):
                self.me.call("calc", "echo", 1, **options)
        self.assertEqual(self.calls("calc", "echo", 1), 1)

    def test_reserved(self) -> None:
        """Parameters that bear the name of an argument of `call` go by `kwargs`."""

        class Odd(Node):
            @expose
            def odd(self, timeout: int, mode: str) -> list[Any]:
                return [timeout, mode]

        self.site.node(Odd, name="odd")
        self.assertEqual(self.calls("odd", "odd", kwargs={"timeout": 1, "mode": "x"}), [1, "x"])
        strange: list[Any] = [{"a": 1}, {1: 2}, 7]
        for kwargs in strange:
            with self.assertRaisesRegex(BadArguments, "kwargs is"):
                self.me.call("calc", "add", a=1, kwargs=kwargs)

    def test_timeOut(self) -> None:
        """A method that takes too long is cancelled; the caller is told at its time by its own clock."""
        before = self.site.clock.seconds()
        error = self.failing(TimedOut, self.me.call("calc", "hold", timeout=0.5))
        self.assertLess(self.site.clock.seconds() - before, 0.6)
        self.assertIn("hold of calc", str(error))
        self.assertEqual(self.calc.ran, ["cancelled"])

    def test_cancel(self) -> None:
        """Cancelling the Deferred cancels the callee's."""
        waiting = self.me.call("calc", "hold")
        self.site.flush()
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        self.site.flush()
        self.assertEqual(self.calc.ran, ["cancelled"])

    def test_desk(self) -> None:
        """The empty target is the dispatcher itself, which answers at once."""
        assert self.site.dispatcher is not None

        def greet(session: Session, word: str) -> list[str]:
            if word == "no":
                raise Refused("not to you")
            return [word, session.name]

        self.site.dispatcher.desk.offer("greet", greet)
        self.assertEqual(self.calls("", "greet", "hello"), ["hello", "me"])
        self.failing(Refused, self.me.call("", "greet", "no"))
        self.failing(BadArguments, self.me.call("", "greet"))
        self.site.dispatcher.desk.offer("broken", lambda session: 1 // 0)
        self.failing(RemoteError, self.me.call("", "broken"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_notRunning(self) -> None:
        """A node that does not run calls nobody; one that stops fails what it waits for."""
        idle = self.site.node(Node, name="idle", start=False)
        self.failureResultOf(idle.call("calc", "add", 1), NotRunning)

    def test_overloaded(self) -> None:
        """What a node may wait for is bounded."""
        self.patch(caller, "MAX_CALLS", 5)
        waiting = [self.me.call("calc", "hold").addErrback(lambda failure: None) for _ in range(5)]
        self.failing(Overloaded, self.me.call("calc", "hold"))
        waiting[0].cancel()
        self.patch(caller, "MAX_CALL_BYTES", 300)
        self.assertEqual(self.calls("calc", "add", 1), 2)
        large = self.me.call("calc", "echo", "x" * 200)
        self.failing(Overloaded, self.me.call("calc", "echo", "x" * 200))
        self.assertEqual(self.site.wait(large), "x" * 200)

    def test_olderDispatcher(self) -> None:
        """A dispatcher that knows nothing of calls is no reason to wait: they are refused at once."""
        self.patch(batch, "FEATURES", batch.FEATURES - {"calls"})
        self.site.wire.cut("tub2")
        self.site.advance(2)
        self.failing(Refused, self.me.call("calc", "add", 1))

    def test_member(self) -> None:
        """Calling a member of a collection reaches that member."""
        house = self.site.node(NodeCollection, start=False)
        ones = [Calc(name=f"room{index}", clock=self.site.clock) for index in range(2)]
        adapters = [house.adapt(one) for one in ones]
        house.startService()
        self.site.flush()
        self.assertEqual(self.calls("room1", "add", 1), 2)
        self.assertEqual(([one.ran for one in ones]), [[], [(1, 1)]])
        self.assertEqual(self.site.wait(adapters[0].call("room1", "add", 2)), 3)
        self.assertEqual(self.site.wait(adapters[0].call("calc", "add", 2)), 3)
