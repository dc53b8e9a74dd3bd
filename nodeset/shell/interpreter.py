"""Lines of Python, run inside this process.

What awaits at the prompt is run as a coroutine, its output caught whenever it goes on; a Deferred that is the value of a line
is shown again when it fires.
"""

from __future__ import annotations

import ast
import codeop
import inspect
import io
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import CodeType, FunctionType
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure
from twisted.python.monkey import MonkeyPatcher

from nodeset.errors import NodeSetError

__all__ = ["Interpreter"]

_FILE: Final = "<shell>"
#: Lines of a traceback; a recursion without end has a thousand.
_MOST_FRAMES: Final = 40
#: How many Deferreds are waited for, to be shown when they fire.
_MOST_SHOWN: Final = 1000


class _Catcher(io.TextIOBase):
    """The stdout of what runs here."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Take it."""
        self._take(text)
        return len(text)


class _Stepwise(Awaitable[object]):
    """Awaits a coroutine, calling `step` for each stretch that it runs."""

    def __init__(self, running: Coroutine[Any, Any, object], step: Callable[[Callable[[], Any]], Any]) -> None:
        self._running, self._step = running, step

    def __await__(self) -> Generator[Any, Any, object]:
        running, step = self._running, self._step
        go: Callable[[], Any] = lambda: running.send(None)  # noqa: E731
        while True:
            try:
                awaited = step(go)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield awaited
            except Exception as error:
                go = _throwing(running, error)
            else:
                go = _sending(running, value)


def _sending(running: Coroutine[Any, Any, object], value: object) -> Callable[[], Any]:
    return lambda: running.send(value)


def _throwing(running: Coroutine[Any, Any, object], error: BaseException) -> Callable[[], Any]:
    return lambda: running.throw(error)


class Interpreter:
    """Runs source in a namespace.

    :param show: called with text that is to be shown, and whether it comes unasked, between two lines.
    :param leave: called when `exit()` was typed.
    :param most: characters of output of one stretch that are kept; the rest is counted.
    :param callFromThread: the reactor's, for what is printed in another thread.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        show: Callable[[str, bool], None],
        leave: Callable[[], None],
        most: int = 1_000_000,
        callFromThread: Callable[..., object] | None = None,
    ) -> None:
        self.namespace = namespace
        self._show, self._leave, self._most, self._callFromThread = show, leave, most, callFromThread
        self._thread = threading.get_ident()
        self._compile = codeop.CommandCompiler()
        compiler: Any = self._compile.compiler
        compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._caught: list[str] | None = None
        self._size = 0
        self._shown: dict[int, tuple[int, Deferred[Any]]] = {}
        self._count = 0
        catcher = _Catcher(self.write)
        self._patcher = MonkeyPatcher(
            (sys, "stdout", catcher),
            (sys, "stderr", catcher),
            # Nobody types there: input() shall end, not wait for the terminal of the service.
            (sys, "stdin", io.StringIO()),
            (sys, "displayhook", self._display),
        )

    def write(self, text: str) -> None:
        """Output of what runs; or of what it left behind, such as a callback: that is shown at once."""
        if self._callFromThread is not None and threading.get_ident() != self._thread:
            self._callFromThread(self.write, text)
            return
        if self._caught is None:
            self._show(text, True)
            return
        room = self._most - self._size
        self._size += len(text)
        if room > 0:
            self._caught.append(text[:room])

    def print(
        self, *values: object, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        """`print`, to this shell also when it is called later, by a callback; to `file` when that is given."""
        text = (" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end)
        if file is None:
            self.write(text)
        else:
            file.write(text)

    def run(self, source: str, single: bool = True) -> Deferred[bool] | None:
        """Run it; None if it is the beginning of something longer. Fires with whether it went well; cancel it to interrupt.

        :param single: whether it is one statement, whose value is shown.
        """
        try:
            compiled = self._compile(source, _FILE, "single" if single else "exec")
        except (SyntaxError, ValueError, OverflowError) as error:
            self._show("".join(traceback.format_exception_only(error)), False)
            return succeed(False)
        if compiled is None:
            return None
        return Deferred.fromCoroutine(self._run(compiled))

    async def _run(self, compiled: CodeType) -> bool:
        try:
            result = self._step(FunctionType(compiled, self.namespace))
            if compiled.co_flags & inspect.CO_COROUTINE:
                await _Stepwise(result, self._step)
        except SystemExit:
            self._leave()
        except CancelledError:
            self._show("KeyboardInterrupt\n", False)
            return False
        except GeneratorExit:
            raise
        except BaseException as error:
            self._show(_explain(error), False)
            return False
        return True

    def _step(self, go: Callable[[], Any]) -> Any:
        if self._caught is not None:
            return go()  # a line that makes another one go on
        self._caught, self._size = [], 0
        try:
            with self._patcher:
                return go()
        finally:
            caught, self._caught = "".join(self._caught), None
            if self._size > self._most:
                caught += f"\n[{self._size - self._most} more characters are not shown]\n"
            if caught:
                self._show(caught, False)

    def _display(self, value: object) -> None:
        if value is None:
            return
        self.namespace["_"] = value
        if isinstance(value, Deferred) and not value.called:
            self.write(f"{self._await(value)}\n")
        else:
            self.write(f"{_represent(value)}\n")

    def _await(self, deferred: Deferred[Any]) -> str:
        known = self._shown.get(id(deferred))
        if known is None:
            if len(self._shown) >= _MOST_SHOWN:
                return f"<Deferred, the {_MOST_SHOWN + 1}st that waits: this one will not be shown when it fires>"
            self._count += 1
            known = self._shown[id(deferred)] = self._count, deferred
            deferred.addBoth(self._fired, id(deferred), self._count)
        return f"<Deferred #{known[0]}>"

    def _fired(self, result: Any, key: int, number: int) -> Any:
        del self._shown[key]
        if isinstance(result, Failure):
            self.write(f"Deferred #{number} failed: {type(result.value).__name__}: {result.getErrorMessage()}\n")
            return None  # whoever typed it has seen it: the log need not complain
        self.write(f"Deferred #{number} fired: {_represent(result)}\n")
        return result


def _represent(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def _explain(error: BaseException) -> str:
    """Its traceback, from where the code at the prompt begins; of our own errors, which say what to do, the line."""
    if isinstance(error, NodeSetError):
        return f"{type(error).__name__}: {error}\n"
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != _FILE:
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace, limit=_MOST_FRAMES))
    except Exception:
        return f"{type(error).__name__}, which cannot be shown\n"
