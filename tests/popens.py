"""Examples that run with subprocess as with ours."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from nodeset import processes

__all__ = ["Example", "Library", "PopenCase", "entered", "got", "linesOf", "refused"]

#: `subprocess`, or `nodeset.processes`.
Library: TypeAlias = Any
Example: TypeAlias = Callable[[Library], Awaitable[Any]]


async def got(result: Any) -> Any:
    """What one of the two returns at once, the other by a Deferred."""
    return await result if isinstance(result, Deferred) else result


async def linesOf(file: Any) -> list[Any]:
    """What iterating over a file yields."""
    return [line async for line in file] if hasattr(file, "__aiter__") else list(file)


@contextlib.asynccontextmanager
async def entered(process: Any) -> AsyncIterator[Any]:
    """`with` for one, `async with` for the other."""
    if hasattr(process, "__aenter__"):
        async with process:
            yield process
    else:
        with process:
            yield process


class PopenCase(TestCase):
    """Ends the guardian after each test, by which all it started is gone."""

    timeout = 30.0

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

        self.addCleanup(processes.stopWarden)

    async def both(self, *examples: Example) -> None:
        """Each of these comes to the same with both."""
        for example in examples:
            expected, found = [await self.outcomeOf(example, library) for library in (subprocess, processes)]
            self.assertEqual(found, expected, example.__name__)

    async def late(self, waited: Deferred[Any]) -> subprocess.TimeoutExpired:
        """The error of a wait that was too long."""
        try:
            await waited
        except subprocess.TimeoutExpired as error:
            return error
        self.fail("it was not late")

    async def outcomeOf(self, example: Example, library: Library) -> Any:
        try:
            return await example(library)
        except Exception as error:
            about = [
                getattr(error, name, None) for name in ("errno", "filename", "returncode", "cmd", "output", "stderr", "timeout")
            ]
            # What either says of an error of the system is the system's, but else ours may say more.
            return type(error), about


def refused(*args: Any, **kwargs: Any) -> Example:
    """Popen with these is an error, the same with both."""

    async def construct(lib: Library) -> Any:
        process = lib.Popen(*args, **kwargs)
        return await got(process.communicate())

    construct.__name__ = f"{args} {kwargs}"
    return construct
