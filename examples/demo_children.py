"""The processes of the demo, with what they tell; where that is shown."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Child", "Children", "DemoFailed", "Screen"]

ROOT = Path(__file__).resolve().parent.parent
#: Seconds for a process to end.
GRACE = 5.0


class DemoFailed(Exception):
    """The demo could not run to its end."""


@dataclass
class Child:
    """One process of the demo, with what it told so far."""

    name: str
    process: Process
    tell: Callable[[str, str], None]
    told: dict[str, asyncio.Event] = field(default_factory=dict)
    last: list[str] = field(default_factory=list)
    #: Where it serves HTTP, once it said so.
    address: str = ""

    async def listen(self) -> None:
        """Take its lines until it ends."""
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            self.last = [*self.last[-9:], line]
            word, _blank, rest = line.partition(" ")
            if word in ("ready", "done"):
                self.event(word).set()
            elif " is served at " in line:  # what nodeset-web logs
                self.address = line.rpartition(" ")[2]
                self.event("served").set()
            elif word in ("count", "event", "error"):
                self.tell(word, rest)

    def event(self, word: str) -> asyncio.Event:
        """What is set when it says this word."""
        return self.told.setdefault(word, asyncio.Event())

    async def wait(self, word: str) -> None:
        """Wait for a word; DemoFailed if it ends without."""
        waiting = {asyncio.ensure_future(self.event(word).wait()), asyncio.ensure_future(self.process.wait())}
        _done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()
        if not self.event(word).is_set():
            said = "\n  ".join(self.last)
            raise DemoFailed(f"{self.name} ended with {self.process.returncode} before it said {word!r}:\n  {said}")


class Screen:
    """Shows events with how far everything is: a bar on a terminal, lines anywhere else."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.counts: dict[str, int] = {}
        self.errors = 0
        self._shown = 0
        self._bar: Any = None
        self._task: Any = None
        if sys.stdout.isatty():
            try:
                progress: Any = importlib.import_module("rich.progress")
            except ImportError:
                return
            self._bar = progress.Progress()
            self._task = self._bar.add_task("deliveries", total=total)
            self._bar.start()

    def say(self, line: str) -> None:
        """Show a line."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)

    def tell(self, name: str, word: str, rest: str) -> None:
        """A process told something."""
        if word == "count":
            self.counts[name] = int(rest)
            self._progress(sum(self.counts.values()))
        else:
            self.errors += word == "error"
            self.say(f"{name}: {rest}")

    def _progress(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=count)
        elif count - self._shown >= self.total // 5:
            self._shown = count
            self.say(f"{count} of {self.total} deliveries")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class Children:
    """All processes of one run, in a directory of their own."""

    def __init__(self, directory: Path, screen: Screen) -> None:
        self.directory, self.screen = directory, screen
        self.children: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NODESET_")}
        path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
        self.home = directory / "state"
        self._environ = {**kept, "NODESET_HOME": str(self.home), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    async def spawn(self, name: str, *command: str) -> Child:
        """Start `python -m command...`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *command,
            cwd=self.directory,
            env=self._environ,
            stdin=PIPE,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for us alone: we end them
        )
        child = Child(name, process, lambda word, rest: self.screen.tell(name, word, rest))
        self.children.append(child)
        self._tasks.append(asyncio.create_task(child.listen()))
        return child

    async def end(self) -> None:
        """End every process, the first one last, since all others need it; with KILL if one does not go."""
        await asyncio.gather(*(self._end(child) for child in self.children[1:]))
        for child in self.children[:1]:
            await self._end(child)
        await asyncio.gather(*self._tasks)

    async def _end(self, child: Child) -> None:
        if child.process.returncode is None:
            child.process.terminate()
        try:
            await asyncio.wait_for(child.process.wait(), GRACE)
        except TimeoutError:
            child.process.kill()
            await child.process.wait()
