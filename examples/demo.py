"""What `make demo` runs: a dispatcher, two subscribers with a publisher, all of them processes, then their ledgers compared.

The last line sums up; the exit code is 1 if any event was lost, came twice, out of order or from nowhere. No process and no
file stays behind. `python examples/demo.py 1000` publishes so many.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EVENTS = 10_000
SUBSCRIBERS = 2
#: Seconds for all of it; for a process to end; for the last deliveries after the last receipt.
PATIENCE, GRACE, LATE = 60.0, 5.0, 5.0


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

    async def listen(self) -> None:
        """Take its lines until it ends."""
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            self.last = [*self.last[-9:], line]
            word, _blank, rest = line.partition(" ")
            if word in ("ready", "done"):
                self.event(word).set()
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


class Demo:
    """All processes of one run, in a directory of their own."""

    def __init__(self, directory: Path, events: int, screen: Screen) -> None:
        self.directory, self.events, self.screen = directory, events, screen
        self.children: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NODESET_")}
        path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
        self._environ = {**kept, "NODESET_HOME": str(directory / "state"), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

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

    def ledger(self, name: str) -> Path:
        """Where a process writes down what it published or got."""
        return self.directory / f"{name}.ledger"

    async def run(self) -> float:
        """Publish everything, see it arrive. Returns the seconds that it took."""
        await self.spawn("dispatcher", "nodeset", "dispatcher", "-n", "--listen", "localhost:0")
        total = str(self.events)
        subscribers = [
            await self.spawn(name, "examples.demo_subscriber", str(self.ledger(name)), total) for name in self.subscribers()
        ]
        publisher = await self.spawn("publisher", "examples.demo_publisher", str(self.ledger("publisher")), total)
        await asyncio.gather(*(child.wait("ready") for child in [publisher, *subscribers]))
        self.screen.say(f"dispatcher, {len(subscribers)} subscribers and a publisher are running")
        start = time.monotonic()
        assert publisher.process.stdin is not None
        publisher.process.stdin.write(b"go\n")
        await publisher.wait("done")
        try:
            await asyncio.wait_for(asyncio.gather(*(child.wait("done") for child in subscribers)), LATE)
        except TimeoutError:
            pass  # the ledgers will tell
        return time.monotonic() - start

    def subscribers(self) -> list[str]:
        """Their names."""
        return [f"subscriber {number + 1}" for number in range(SUBSCRIBERS)]

    async def end(self) -> None:
        """End every process, last started first, with KILL if it does not go."""
        for child in reversed(self.children):
            if child.process.returncode is None:
                child.process.terminate()
            try:
                await asyncio.wait_for(child.process.wait(), GRACE)
            except TimeoutError:
                child.process.kill()
                await child.process.wait()
        await asyncio.gather(*self._tasks)


def readLedger(path: Path) -> list[int]:
    """The numbers in it, in order; none if it was never begun."""
    return [int(line) for line in path.read_text("ascii").split()] if path.exists() else []


def compare(published: list[int], got: list[int]) -> dict[str, int]:
    """What is wrong with what one subscriber got: all zero if nothing is.

    >>> compare([1, 2, 3], [2, 1, 1, 9])
    {'lost': 1, 'duplicates': 1, 'reordered': 1, 'unknown': 1}
    """
    first = list(dict.fromkeys(got))
    return {
        "lost": len(set(published) - set(got)),
        "duplicates": len(got) - len(first),
        "reordered": sum(later < earlier for earlier, later in pairwise(first)),
        "unknown": len(set(got) - set(published)),
    }


async def runDemo(directory: Path, events: int, screen: Screen) -> int:
    """Run, compare, sum up. Returns the exit code."""
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    assert running is not None
    loop.add_signal_handler(signal.SIGTERM, running.cancel)
    demo = Demo(directory, events, screen)
    try:
        spent = await asyncio.wait_for(demo.run(), PATIENCE)
    finally:
        await demo.end()
    published = readLedger(demo.ledger("publisher"))
    ledgers = [readLedger(demo.ledger(name)) for name in demo.subscribers()]
    wrong = dict.fromkeys(compare([], []), 0)
    for got in ledgers:
        for kind, count in compare(published, got).items():
            wrong[kind] += count
    unpublished = events - len(set(published))
    screen.close()
    extra = "".join(
        f", {count} {kind}" for kind, count in [("unknown", wrong["unknown"]), ("unconfirmed", unpublished)] if count
    )
    print(
        f"{len(published)} events published, {len(ledgers)} subscribers, {sum(map(len, ledgers))} deliveries, "
        f"{wrong['lost']} lost, {wrong['duplicates']} duplicates, {wrong['reordered']} reordered{extra} in {spent:.2f} s",
        flush=True,
    )
    return 1 if any(wrong.values()) or unpublished or screen.errors else 0


def main() -> int:
    """Run the demo. Returns the exit code: 0 only if every event arrived once, in order."""
    events = int(sys.argv[1]) if sys.argv[1:] else EVENTS
    screen = Screen(events * SUBSCRIBERS)
    try:
        with tempfile.TemporaryDirectory(prefix="nodeset-demo-") as directory:
            return asyncio.run(runDemo(Path(directory), events, screen))
    except DemoFailed as error:
        print(f"demo: {error}", file=sys.stderr)
    except TimeoutError:
        print(f"demo: not done after {PATIENCE:.0f} s, given up", file=sys.stderr)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("demo: interrupted", file=sys.stderr)
    finally:
        screen.close()
    return 1


if __name__ == "__main__":
    sys.exit(main())
