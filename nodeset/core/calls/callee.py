"""The calls that a node answers."""

from __future__ import annotations

import re
import traceback
from collections import Counter, deque
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core import tracing
from nodeset.core.batch import unpackHeaders
from nodeset.core.calls.callframes import Answer, Ask, Call, Cancel, Ending, Item, More
from nodeset.core.calls.expose import Exposed
from nodeset.core.calls.outflow import Outflow, isStream
from nodeset.core.calls.parcel import packError, packValue, unpackArguments
from nodeset.core.calls.punctual import Punctual
from nodeset.core.calls.recollection import Recollection
from nodeset.core.calls.signature import compileSignature
from nodeset.core.calls.within import Within, within
from nodeset.core.headers import traceparentOf
from nodeset.core.patience import cancel, deferredOf
from nodeset.core.tracing import Visit
from nodeset.errors import BadArguments, ProtocolError

__all__ = ["FIGURES", "MAX_STUCK", "Callee"]

#: Calls that a node has at a time, those included that were cancelled and run on; the dispatcher sends it fewer.
MAX_STUCK: Final = 2_000
#: What every node answers: what it measures of itself.
FIGURES: Final = "nodeset.figures"
_PLAIN: Final = frozenset({type(None), bool, int, float, str, list, dict, tuple})
_FURL = re.compile(r"pb://[^\s'\"]*")
#: Frames of a traceback that are told.
_MOST_FRAMES = 20

Key = tuple[str, int]


@attrs.define(eq=False)
class _Method:
    exposed: Exposed
    function: Callable[..., Any]


def _nothing() -> None:
    """What takes no arguments."""


_TELLING: Final = Exposed(FIGURES, FIGURES, compileSignature(_nothing, FIGURES, bound=False))


@attrs.define(eq=False)
class _Running:
    """A call that takes its time; `left` is 0 when it is answered."""

    key: Key
    method: _Method
    mode: int
    deadline: float | None
    inside: Within
    deferred: Deferred[Any] | None = None
    outflow: Outflow | None = None
    left: int = 1


class Callee:
    """Answers calls by the methods of `owner`, all that `exposed` names.

    :param put: takes an answer, or items, to be sent.
    :param poke: called when there are calls to `work` on.
    """

    log = Logger()

    def __init__(
        self,
        owner: Any,
        exposed: dict[str, Exposed],
        clock: IReactorTime,
        put: Callable[[Answer | Item], None],
        counters: Counter[str],
    ) -> None:
        self._name: str = owner.name
        self._clock, self._put, self._counters = clock, put, counters
        self._methods = {name: _Method(one, getattr(owner, one.method)) for name, one in exposed.items()}
        self.exposed = list(exposed)
        #: What is told of this node to who calls `FIGURES`.
        self.figures: Callable[[], dict[str, Any]] = dict
        self._waiting: deque[tuple[Call, float]] = deque()
        self._running: dict[Key, _Running] = {}
        self._stuck = 0
        self._past = Recollection()
        self._deadlines: Punctual[_Running] = Punctual(clock, self._expire)

    def offer(self, name: str, function: Callable[..., Any]) -> None:
        """Answer calls of `name` by `function` too; it is not told among the methods that the node exposes."""
        exposed = Exposed(name, name, compileSignature(function, name, bound=False))
        self._methods[name] = _Method(exposed, function)

    # -- calls

    def call(self, call: Call, now: float) -> None:
        """A call came; it is run by `work`."""
        key = call.caller, call.id
        self._past.heard(call.caller, call.low)
        if call.again and not self._isNew(key, call.low):
            return
        if len(self._running) + self._stuck + len(self._waiting) >= MAX_STUCK:
            self._answer(key, Ending.BUSY, f"{self._name} runs {MAX_STUCK} calls already".encode())
            return
        self._waiting.append((call, now))

    def _isNew(self, key: Key, low: int) -> bool:
        """Whether a call that was perhaps sent before never came; what it was answered goes out again."""
        if key in self._running or any((call.caller, call.id) == key for call, _then in self._waiting):
            return False
        answer = self._past.find(key)
        if answer is not None:
            self._put(answer)
            return False
        return key[1] >= self._past.low(key[0])

    @property
    def busy(self) -> bool:
        """Whether calls wait to be run."""
        return bool(self._waiting)

    def work(self, more: Callable[[], bool]) -> None:
        """Run the calls that wait, as long as there may be `more`."""
        waiting = self._waiting
        count = 0
        while waiting:
            call, then = waiting.popleft()
            self._run(call, then)
            count += 1
            if not count & 7 and not more():
                return

    def _run(self, call: Call, then: float) -> None:
        key = call.caller, call.id
        method = self._methods.get(call.method)
        if method is None and call.method == FIGURES:
            method = _Method(_TELLING, self.figures)
        if method is None:
            self._answer(key, Ending.NO_METHOD, f"{self._name} exposes no method {call.method[:100]!r}".encode())
            return
        try:
            args, kwargs = unpackArguments(call.payload)
            args, kwargs = method.exposed.signature.bind(args, kwargs)
        except BadArguments as error:
            self._answer(key, Ending.BAD_ARGUMENTS, str(error)[:1000].encode("utf-8", "replace"))
            return
        deadline = None
        if call.timeout:
            deadline = then + call.timeout / 1000
            if self._clock.seconds() >= deadline:
                self._answer(key, Ending.TIMED_OUT, b"its time was over before it could be run")
                return
        inside = Within(call, deadline)
        token = within.set(inside)
        try:
            if len(call.headers) == 1:  # nil: no headers
                self._begin(call, method, args, kwargs, inside, None)
            else:
                with tracing.entered(_traceOf(call), f"{self._name}/{call.method}", "SERVER") as visit:
                    self._begin(call, method, args, kwargs, inside, visit)
        finally:
            within.reset(token)

    def _begin(
        self, call: Call, method: _Method, args: list[Any], kwargs: dict[str, Any], inside: Within, visit: Visit | None
    ) -> None:
        key = call.caller, call.id
        try:
            result = method.function(*args, **kwargs)
            if type(result) not in _PLAIN:
                deferred = deferredOf(result)
                if deferred is not None:
                    if visit is not None:
                        visit.until(deferred)
                    self._await(_Running(key, method, call.mode, inside.deadline, inside, deferred))
                    return
                if isStream(result):
                    inside.over = True
                    self._stream(_Running(key, method, call.mode, inside.deadline, inside), result)
                    return
            inside.over = True
            self._answer(key, Ending.VALUE, packValue(result, f"what {method.exposed.name} returned"))
        except BaseException as error:  # whatever user code raises ends the call, not the node
            inside.over = True
            if visit is not None:
                visit.failed(type(error).__name__)
            self._fail(key, method, Failure())

    def _await(self, running: _Running) -> None:
        deferred = running.deferred
        assert deferred is not None
        here: list[Any] = []
        deferred.addBoth(here.append)
        if here:
            self._settle(running, here[0])
            return
        self._running[running.key] = running
        self._deadlines.add(running, len(self._running))
        deferred.addCallback(lambda none: self._ended(running, here[0]))

    def _ended(self, running: _Running, result: Any) -> None:
        """Its Deferred has fired, perhaps too late."""
        running.deferred = None
        if running.left:
            self._forget(running)
            self._settle(running, result)
        else:
            self._stuck -= 1
            if isStream(result) and not isinstance(result, Failure):
                Outflow(result, *running.key, self._put, lambda failure: None, self._clock).close()

    def _settle(self, running: _Running, result: Any) -> None:
        running.inside.over = True
        if isinstance(result, Failure):
            self._fail(running.key, running.method, result)
            return
        try:
            if type(result) not in _PLAIN and isStream(result):
                self._stream(running, result)
                return
            payload = packValue(result, f"what {running.method.exposed.name} returned")
        except BaseException:
            self._fail(running.key, running.method, Failure())
        else:
            self._answer(running.key, Ending.VALUE, payload)

    def _stream(self, running: _Running, items: Any) -> None:
        key = running.key

        def over(failure: Failure | None) -> None:
            self._forget(running)
            if failure is None:
                self._answer(key, Ending.END)
            else:
                self._fail(key, running.method, failure)

        running.left = 1
        running.deadline = None
        running.outflow = Outflow(items, *key, self._put, over, self._clock)
        if running.mode == 0:
            running.outflow.close()
            several = "it returns an iterator, and a call of all nodes gathers values: call one node"
            self._answer(key, Ending.ERROR, packError("TypeError", several))
            return
        self._running[key] = running
        self._put(Answer(*key, Ending.STREAM))
        running.outflow.pull()

    def _forget(self, running: _Running) -> None:
        running.left = 0
        self._running.pop(running.key, None)

    # -- ends

    def _answer(self, key: Key, ending: Ending, payload: bytes = b"") -> None:
        answer = Answer(key[0], key[1], ending, payload)
        self._counters["answered"] += 1
        self._past.keep(key, answer)
        self._put(answer)

    def _fail(self, key: Key, method: _Method, failure: Failure) -> None:
        """Say once, here, that a method failed; tell the caller as much as it may know."""
        error = failure.value
        name = method.exposed.name
        if isinstance(error, CancelledError):
            self._answer(key, Ending.CANCELLED)
            return
        self._counters["calls_failed"] += 1
        self.log.failure("{node}.{method} failed", failure, node=self._name, method=name)
        try:
            text = str(error)
        except BaseException:
            text = "its message cannot be told"
        told = _describe(failure) if method.exposed.traceback else ""
        kind = type(error).__name__
        self._answer(key, Ending.ERROR, packError(kind, _FURL.sub("pb://…", text), _FURL.sub("pb://…", told)))

    def _expire(self, running: _Running) -> None:
        if running.outflow is not None:
            return  # it answers already, as long as somebody reads
        self._counters["calls_expired"] += 1
        self.log.info("{node}.{method} took longer than its caller waits", node=self._name, method=running.method.exposed.name)
        self._stop(running, Ending.TIMED_OUT, b"it took longer than the caller waits")

    def _stop(self, running: _Running, ending: Ending, reason: bytes = b"") -> None:
        """Stop what runs, as far as it can be stopped; who called is told this."""
        self._forget(running)
        self._answer(running.key, ending, reason)
        if running.outflow is not None:
            running.outflow.close()
        elif running.deferred is not None:
            self._stuck += 1
            cancel(running.deferred)

    # -- what else is said of calls

    def cancel(self, frame: Cancel) -> None:
        """Nobody waits for this call any more."""
        key = frame.caller, frame.id
        running = self._running.get(key)
        if running is not None:
            self._counters["calls_cancelled"] += 1
            self._stop(running, Ending.CANCELLED)
        else:
            for index, (call, _then) in enumerate(self._waiting):
                if (call.caller, call.id) == key:
                    del self._waiting[index]
                    self._answer(key, Ending.CANCELLED)
                    return

    def ask(self, ask: Ask) -> None:
        """What became of these calls? Those that run are answered when they end."""
        waiting = {(call.caller, call.id) for call, _then in self._waiting}
        for first, last in ask.ranges:
            for number in range(first, min(last, first + MAX_STUCK) + 1):
                key = ask.caller, number
                if key in self._running or key in waiting:
                    continue
                answer = self._past.find(key) or Answer(*key, Ending.UNKNOWN, f"{self._name} knows nothing of it".encode())
                if answer.ending is Ending.CANCELLED:  # not by who asks: the dispatcher had given him up
                    answer = Answer(*key, Ending.LOST, b"it was cancelled when the link of its caller was lost")
                self._put(answer)

    def more(self, more: More) -> None:
        """Items of a stream were read."""
        running = self._running.get((more.caller, more.id))
        if running is not None and running.outflow is not None:
            running.outflow.more(more.count)

    def holds(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """The calls that are run, will be, or have an answer that is known still: each caller's stream, ranges of ids."""
        keys = [*self._running, *((call.caller, call.id) for call, _then in self._waiting)]
        return self._past.holds(keys)

    # -- links

    def linkLost(self) -> None:
        """The link is lost: streams with it."""
        for running in [one for one in self._running.values() if one.outflow is not None]:
            self._stop(running, Ending.LOST, b"a link was lost while it was streaming")

    def forgetAll(self) -> None:
        """The dispatcher has given us up: whoever called was told."""
        self._waiting.clear()
        for running in list(self._running.values()):
            self._stop(running, Ending.CANCELLED)
        self._past.clear()

    def stop(self) -> None:
        """Answer nothing more; what runs is cancelled."""
        self.forgetAll()
        self._deadlines.stop()


def _traceOf(call: Call) -> str | None:
    try:
        return traceparentOf(unpackHeaders(call.headers))
    except ProtocolError:
        return None  # nobody else needs them


def _describe(failure: Failure) -> str:
    """The traceback without the directories of this machine, without our own part of it."""
    own = PurePath(__file__).name
    frames: list[str] = []
    for frame in traceback.extract_tb(failure.getTracebackObject()):
        name = PurePath(frame.filename).name
        if name != own or frames:
            frames.append(f'  File "{name}", line {frame.lineno}, in {frame.name}\n    {frame.line}')
    if not frames:
        return ""
    return "\n".join(["Traceback (most recent call last):", *frames[-_MOST_FRAMES:]])
