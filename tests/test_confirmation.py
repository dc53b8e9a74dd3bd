"""The Deferred of one published event: nobody can tell it from Twisted's."""

from __future__ import annotations

import gc
import importlib.util
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import defer
from twisted.internet.defer import AlreadyCalledError, Deferred, DeferredList, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import confirmation
from nodeset.core.confirmation import Confirmation, makeConfirmation
from nodeset.errors import Receipt, Undelivered

RECEIPT = Receipt(2, 1, 1)

_ENDS = [
    "none",
    "same",
    "receipt",
    "number",
    "raise",
    "failure",
    "fired",
    "failed",
    "unfired",
    "self",
    "pause",
    "cancel",
    "again",
]
_ADDERS = ["addCallback", "addErrback", "addBoth", "addCallbacks", "addCallbacks of one", "addCallbacks with None"]
_ARGUMENTS = st.sampled_from([(), (1,), (1, "b")])


def _adds(ends: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just("add"), st.sampled_from(_ADDERS), ends, ends, _ARGUMENTS, st.booleans())


#: What a callback does: it ends in some way, perhaps after it has added another.
_BEHAVIOURS = st.recursive(st.sampled_from(_ENDS), lambda ends: st.tuples(_adds(ends), st.sampled_from(_ENDS)), max_leaves=4)
_STEPS = st.one_of(
    _adds(_BEHAVIOURS),
    _adds(_BEHAVIOURS),
    st.tuples(st.just("fire"), st.sampled_from(["receipt", "receipt", "receipt", "none", "number", "failure", "error"])),
    st.tuples(st.just("fireInner"), st.sampled_from(["receipt", "number", "failure"])),
    st.sampled_from([("pause",), ("unpause",), ("cancel",), ("await",), ("chain",), ("outer",), ("timeout",), ("advance",)]),
)


class Boom(Exception):
    """What callbacks raise."""


def describe(value: object) -> object:
    """What can be compared of a value between two plays."""
    if isinstance(value, Failure) and value.check(RecursionError):
        return "for ever"
    if isinstance(value, Failure):
        return type(value.value).__name__, str(value.value)
    if isinstance(value, Deferred):
        return "Deferred", value.called, value.paused
    return value


class Play:
    """One story told to one Deferred, with a log of all that was seen."""

    def __init__(self, make: Callable[[], Deferred[Any]]) -> None:
        self.make, self.subject = make, make()
        self.log: list[object] = []
        self.inner: list[Deferred[Any]] = []
        self.others: list[object] = []
        self.clock = Clock()
        self.names = 0
        self.awaited = False

    def tell(self, steps: list[Any]) -> list[object]:
        """Do all of it."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in steps:
                try:
                    self._do(*step)
                except AlreadyCalledError as error:
                    self.log.append(f"{step[0]} is too late: {error}")
                except RecursionError:
                    # So it goes when one that waits for itself is cancelled.
                    self.log.append("for ever")
                self.log.append((step[0], *self._look()))
        return [*self.log, [(str(each.message), each.filename, each.lineno) for each in caught]]

    def _look(self) -> tuple[object, ...]:
        subject = self.subject
        result = getattr(subject, "result", "not yet")
        shown = "itself" if result is subject else describe(result)
        return subject.called, subject.paused, shown, subject._chainedTo is not None

    def _do(self, what: str, *about: Any) -> None:
        if what == "add":
            self._add(*about)
        elif what == "fire":
            if about[0] == "error":
                self.subject.errback(Boom("errback"))
            else:
                self.subject.callback(self._make(about[0]))
        elif what == "fireInner":
            if self.inner:
                self.inner.pop(0).callback(self._make(about[0]))
        elif what in ("pause", "cancel"):
            getattr(self.subject, what)()
        elif what == "unpause":
            if self.subject.paused > 0:
                self.subject.unpause()
        elif what == "await":
            self.awaited = True
            self.others.append(Deferred.fromCoroutine(self._await()))
        elif what == "chain":
            other: Deferred[Any] = Deferred()
            other.addBoth(self._callback("of the chained", "none"))
            self.subject.chainDeferred(other)
        elif what == "outer":
            outer = succeed(None).addCallback(lambda ignored: self.subject)
            outer.addBoth(self._callback("of the outer", "none"))
            self.others.append(outer)
        elif what == "timeout":
            self.subject.addTimeout(1.0, self.clock)
        else:
            self.clock.advance(1.0)

    def _make(self, what: str) -> object:
        return {"receipt": RECEIPT, "number": 7, "none": None, "failure": Failure(Boom("made"))}[what]

    async def _await(self) -> None:
        try:
            self.log.append(("awaited", describe(await self.subject)))
        except Exception as error:
            self.log.append(("awaited in vain", type(error).__name__))

    def _add(self, adder: str, first: Any, second: Any, args: tuple[Any, ...], named: bool) -> None:
        self.names += 1
        one, other = self._callback(f"{self.names}", first), self._callback(f"{self.names}, err", second)
        keywords = {"named": True} if named else {}
        if adder == "addCallbacks":
            added = self.subject.addCallbacks(one, other, args, keywords, args[:1], keywords)
        elif adder == "addCallbacks of one":
            added = self.subject.addCallbacks(one, callbackArgs=args)
        elif adder == "addCallbacks with None":
            nothing: Any = None
            added = self.subject.addCallbacks(one, other, nothing, keywords or nothing, args, nothing)
        else:
            added = getattr(self.subject, adder)(one, *args, **keywords)
        self.log.append(("returned itself", added is self.subject))

    def _callback(self, name: str, behaviour: Any) -> Callable[..., object]:
        def called(result: object, *args: object, **keywords: object) -> object:
            self.log.append((name, describe(result), args, keywords, *self._look()))
            return self._behave(behaviour, result)

        return called

    def _behave(self, behaviour: Any, result: object) -> object:
        if isinstance(behaviour, tuple):
            (_add, *about), behaviour = behaviour
            self._add(*about)
        match behaviour:
            case "same":
                return result
            case "raise":
                raise Boom("raised")
            case "fired":
                return self._finished(None).addCallback(lambda ignored: RECEIPT)
            case "failed":
                return self._finished(Failure(Boom("in a Deferred")))
            case "unfired":
                self.inner.append(self.make())
                return self.inner[-1]
            case "self":
                return self.subject
            case "pause" if self.awaited:
                # Twisted runs a coroutine for ever that awaits what its callback pauses.
                return result
            case "pause" | "cancel":
                getattr(self.subject, behaviour)()
                return result
            case "again":
                self.subject.callback(RECEIPT)
        return self._make(behaviour)

    def _finished(self, result: object) -> Deferred[Any]:
        finished = self.make()
        finished.callback(result)
        return finished


class SameTests(SynchronousTestCase):
    def setUp(self) -> None:
        # Each play ends with a collection, of what is its own.
        gc.collect()
        gc.freeze()
        self.addCleanup(gc.unfreeze)

    def _play(self, make: Callable[[], Deferred[Any]], steps: list[Any]) -> object:
        """All that can be seen of this story, with the errors that are logged when it is over."""
        log = Play(make).tell(steps)
        gc.collect()
        return log, sorted(type(failure.value).__name__ for failure in self.flushLoggedErrors())

    def test_stories(self) -> None:
        """Whatever is done to it in whatever order: calls, results, chains, errors, warnings are those of a Deferred."""

        @settings(max_examples=100, deadline=None)
        @given(st.lists(_STEPS, max_size=9))
        def check(steps: list[Any]) -> None:
            self.assertEqual(self._play(Confirmation, steps), self._play(Deferred, steps))

        check()

    def test_firstCallback(self) -> None:
        """Each way in which the only callback of a receipt can end, each of which could be followed by others."""
        for adder in _ADDERS:
            for end in _ENDS:
                for more in ((), (("add", "addBoth", "none", "none", (), False),)):
                    for behaviour in (end, (("add", "addBoth", "same", "same", (), False), end)):
                        for arguments in (((1,), True), ((), False)):
                            steps = [("add", adder, behaviour, "none", *arguments), *more, ("fire", "receipt"), *more]
                            steps += [("unpause",), ("fireInner", "number"), ("outer",), ("await",)]
                            self.assertEqual(self._play(Confirmation, steps), self._play(Deferred, steps), (adder, end, more))


class UseTests(SynchronousTestCase):
    def test_usual(self) -> None:
        """It is a Deferred that fires once with a receipt, for one callback, for none, for one that comes later."""
        made = makeConfirmation()
        self.assertIsInstance(made, Deferred)
        self.assertNoResult(made)
        made.callback(RECEIPT)
        self.assertRaises(AlreadyCalledError, made.callback, RECEIPT)
        self.assertEqual(self.successResultOf(made), RECEIPT)
        seen: list[object] = []
        made = makeConfirmation()
        made.addCallback(lambda receipt: seen.append(receipt))
        made.callback(RECEIPT)
        self.assertEqual((seen, self.successResultOf(made)), ([RECEIPT], None))

    def test_anyCallable(self) -> None:
        """A callback can be anything that can be called, such as has no module."""
        callables: list[Any] = [RECEIPT.__eq__, [RECEIPT].__contains__, {RECEIPT: 1}.get]
        for one in callables:
            made = makeConfirmation()
            done: Deferred[Any] = made.addCallback(one)
            made.callback(RECEIPT)
            self.assertEqual(self.successResultOf(done), True)

    def test_unhandled(self) -> None:
        """An error that nobody handles is logged once, when nothing refers to it any more."""
        for delivered in (False, True):
            made = makeConfirmation()
            made.addCallback(lambda receipt: 1 // 0)
            made.callback(RECEIPT) if delivered else made.errback(Undelivered("gone", RECEIPT))
            self.assertEqual(self.flushLoggedErrors(), [])
            del made
            gc.collect()
            self.assertEqual(len(self.flushLoggedErrors(Undelivered, ZeroDivisionError)), 1)

    def test_letGo(self) -> None:
        """Fired, it is no part of a circle: it goes with its last reference, its callback with it."""

        class Callback:
            def __call__(self, receipt: Receipt) -> None:
                return None

        callback = Callback()
        made = makeConfirmation()
        made.addCallback(callback)
        refs = weakref.ref(made), weakref.ref(callback)
        made.callback(RECEIPT)
        gc.disable()
        self.addCleanup(gc.enable)
        del callback
        self.assertIsNone(refs[1]())
        del made
        self.assertIsNone(refs[0]())

    def test_together(self) -> None:
        """Twisted's own lists, coroutines, helpers take it for what it is."""
        one, other = makeConfirmation(), makeConfirmation()
        both = DeferredList([one, other, maybeDeferred(lambda: one)], consumeErrors=True)
        one.callback(RECEIPT)
        other.errback(Undelivered("gone", RECEIPT))
        self.assertEqual([found for found, _result in self.successResultOf(both)], [True, False, True])
        waiting = fail(KeyError()).addErrback(lambda failure: makeConfirmation())
        self.assertNoResult(waiting)

    def test_debug(self) -> None:
        """With debugging on it tells who made it, who fired it, as a Deferred does."""
        self.addCleanup(defer.setDebugging, defer.getDebugging())
        defer.setDebugging(True)
        made = makeConfirmation()
        made.callback(RECEIPT)
        text = str(self.assertRaises(AlreadyCalledError, made.callback, RECEIPT))
        self.assertIn("Deferred was created", text)
        self.assertEqual(text.count("in test_debug"), 2)


class FallbackTests(SynchronousTestCase):
    def _load(self) -> Any:
        """The module once more, as it is with the Twisted that is there now."""
        spec = importlib.util.find_spec(confirmation.__name__)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_known(self) -> None:
        """With this Twisted the quick one is taken."""
        self.assertIs(makeConfirmation, Confirmation)
        loaded = self._load()
        self.assertIs(loaded.makeConfirmation, loaded.Confirmation)

    def test_otherwise(self) -> None:
        """Where Twisted keeps or runs its callbacks otherwise, a publish returns Twisted's own Deferred."""

        class Renamed(Deferred[Any]):
            """Keeps its callbacks under another name, runs them itself."""

            def __init__(self) -> None:
                self._calls: list[Any] = []

            def addCallback(self, callback: Any, *args: Any, **keywords: Any) -> Any:
                self._calls.append(callback)
                return self

            def callback(self, result: Any) -> None:
                for call in self._calls:
                    call(result)

        class Unlike(Deferred[Any]):
            """Keeps them in a dictionary."""

            def __init__(self) -> None:
                super().__init__()
                self._callbacks: Any = {}

        class Other(Deferred[Any]):
            """Has no such method."""

            @property
            def _runCallbacks(self) -> Any:
                raise AttributeError("_runCallbacks")

        for other in (Renamed, Unlike, Other):
            self.patch(defer, "Deferred", other)
            self.assertIs(self._load().makeConfirmation, other)
