"""A supervisor started, looked at, stopped, with nothing left of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

from benchmarks.peers import ROOT
from benchmarks.supervision.looking import Used, findMarked, isRunning, listIds, measureUse, readWords
from benchmarks.supervision.systems import System
from benchmarks.supervision.task import MARK, Place, Task, Wrong

__all__ = ["Supervision", "makePlace", "waitUntil"]

#: Seconds that stopping may take.
_PATIENCE: Final = 60.0
#: The largest that a file system in memory must have free to be used.
_ROOM: Final = 6 * 2**30


@contextmanager
def makePlace(center: Path | None = None) -> Iterator[Place]:
    """A directory of its own, in memory where there is much: no disk shall be measured. What is left running is killed."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(prefix="bench-", dir=memory if in_memory else None) as directory:
        mark = uuid4().hex
        try:
            yield Place(Path(directory), mark, Path(sys.executable).parent, center)
        finally:
            sweep(mark)


def sweep(mark: str) -> int:
    """Kill all that has this mark; returns how many there were."""
    count = 0
    while found := findMarked(mark, MARK):
        count += len(found)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    return count


def waitUntil(what: str, holds: Callable[[], bool], patience: float, pause: float = 0.02) -> float:
    """Seconds until it holds. Raises `Wrong` if that takes longer than `patience`."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > patience:
            raise Wrong(f"not within {patience:g} s: {what}")
        time.sleep(pause)
    return time.monotonic() - start


class Supervision:
    """A supervisor at its task. With `with` it is started, then killed with all that it started, unless it was stopped."""

    def __init__(self, system: System, place: Place, task: Task) -> None:
        self._system, self.place, self._task = system, place, task
        command = system.command(place, task)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NODESET_")}
        environ = {**kept, **place.environ, "PYTHONPATH": str(ROOT)}
        with place.said.open("wb") as said:
            self.started = time.monotonic()
            self._process = subprocess.Popen(
                command,
                cwd=place.path,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self._seen: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        sweep(self.place.mark)
        self._process.wait()

    @property
    def own(self) -> list[int]:
        """The supervisor with its guardian, if it has one."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        guardians = [int(pid) for pid in children if any(word.endswith("guardian.py") for word in readWords(int(pid)))]
        return [self._process.pid, *guardians]

    def use(self) -> Used:
        """What it has used so far."""
        return measureUse(self.own)

    def countPrograms(self) -> int:
        """How many processes run the task's command. One that was seen to do so is only looked for again."""
        wanted = list(self._task.command)
        names = listIds()
        self._seen &= names
        self._seen |= {pid for pid in names - self._seen if readWords(pid) == wanted}
        return len(self._seen)

    def verifyPrograms(self, count: int) -> None:
        """Raise `Wrong` unless exactly so many run, none of them a zombie."""
        wanted = list(self._task.command)
        found = sum(readWords(pid) == wanted and isRunning(pid) for pid in findMarked(self.place.mark, MARK))
        if found != count:
            raise Wrong(f"{found} of {count} programs run")

    def saysRunning(self) -> bool:
        """Whether it says of all programs that they run."""
        return self._system.saysRunning(self.place.said.read_text("utf-8", "replace")) >= self._task.count

    def check(self) -> None:
        """Raise `Wrong` if it has ended."""
        if self._process.poll() is not None:
            raise Wrong(f"it ended with {self._process.returncode}: {self._lastWords()}")

    def stop(self, patience: float = _PATIENCE) -> float:
        """Tell it to stop. Returns the seconds until it has ended. Raises `Wrong` if that is not within `patience`, or if
        anything is left.
        """
        self.check()
        start = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Wrong(f"it did not stop within {patience:g} s: {self._lastWords()}") from None
        took = time.monotonic() - start
        # A guardian ends a moment after whom it serves.
        deadline = time.monotonic() + 1
        while (left := findMarked(self.place.mark, MARK)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left:
            raise Wrong(f"{len(left)} processes are left, such as {' '.join(readWords(left[0]))[:80]!r}")
        return took

    def _lastWords(self) -> str:
        return " / ".join(self.place.said.read_text("utf-8", "replace").splitlines()[-3:])[:300]
