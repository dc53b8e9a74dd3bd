"""What every supervisor is made to do, one function for each work; each returns the figures or raises `Wrong`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Final

import attrs

from benchmarks.supervision.center import readLog, runCenter
from benchmarks.supervision.looking import findMarked, readWords
from benchmarks.supervision.scene import Supervision, makePlace, waitUntil
from benchmarks.supervision.systems import System
from benchmarks.supervision.task import MARK, Place, Task, Wrong

__all__ = ["Sizes", "doFail", "doFlood", "doMany", "doOutput", "pipeByCat"]

_PATIENCE: Final = 60.0
_BLOCK: Final = 64 * 2**20
#: Seconds in which a supervisor of failing programs must stop.
_STOPPING: Final = 15.0
#: Seconds in which what a start has set off may settle, before one is idle.
_SETTLING: Final = 3.0


@attrs.frozen
class Sizes:
    """How much of each.

    :ivar seconds: that failing, idle programs are looked at.
    :ivar flood_seconds: that floods are.
    :ivar output: bytes of output, in blocks of 64 MiB.
    """

    failing: int
    programs: int
    seconds: float
    flood_seconds: float
    output: int


def doFail(system: System, sizes: Sizes, is_hasty: bool) -> dict[str, float]:
    """Programs that fail at once, each start of which adds a byte to a file. A peer need not stop well."""
    with makePlace() as place:
        counter = place.path / "starts"
        counter.touch()
        # A shell's own echo: one process for each start, no more.
        task = Task(command=("/bin/sh", "-c", f"echo >> {counter}; exit 1"), count=sizes.failing, fails=True, is_hasty=is_hasty)
        with Supervision(system, place, task) as run:
            waitUntil("a program starts", lambda: counter.stat().st_size > 0, _PATIENCE)
            before, start, starts = run.use(), time.monotonic(), 0
            time.sleep(sizes.seconds)
            after, starts, took = run.use(), counter.stat().st_size, time.monotonic() - start
            run.check()
            if starts < sizes.failing:
                raise Wrong(f"{starts} starts of {sizes.failing} programs")
            try:
                stop = run.stop(_STOPPING)
            except Wrong:
                if not system.PYTHON:  # ours
                    raise
                stop = inf
    own, forked = after.cpu - before.cpu, after.children - before.children
    return {
        "cpu": own / took * 100,
        "starts": starts / took,
        "each": own / starts * 1000,
        "forked": (own + forked) / starts * 1000,
        "stop": stop,
    }


def doMany(system: System, sizes: Sizes, is_linked: bool, stats: bool) -> dict[str, float]:
    """Programs that only sleep."""
    with _linked(is_linked) as center, makePlace(center) as place:
        # A duration of its own, by which they are found.
        task = Task(command=("sleep", f"99999.{int(place.mark[:8], 16)}"), count=sizes.programs, stats=stats)
        with Supervision(system, place, task) as run:
            waitUntil(f"{task.count} programs run", lambda: run.countPrograms() >= task.count, _PATIENCE)
            all_run = time.monotonic() - run.started
            waitUntil("it says so", run.saysRunning, _PATIENCE)
            said = time.monotonic() - run.started
            run.verifyPrograms(task.count)
            time.sleep(_SETTLING)
            before, start = run.use(), time.monotonic()
            time.sleep(sizes.seconds)
            after, took = run.use(), time.monotonic() - start
            run.verifyPrograms(task.count)
            stop = run.stop()
    return {
        "run": all_run,
        "said": said,
        "stop": stop,
        "idle": (after.cpu - before.cpu) / took * 100,
        "resident": after.resident,
        "share": after.share,
    }


@contextmanager
def _linked(is_linked: bool, log_bytes: int = 100 * 2**30, log_files: int = 1) -> Iterator[Path | None]:
    if not is_linked:
        yield None
        return
    with runCenter(log_bytes, log_files) as center:
        yield center


def _makeBlock(place: Place) -> Path:
    # Lines of 64 bytes, no two alike in a block.
    path = place.path / "block"
    with path.open("wb") as file:
        for number in range(_BLOCK // 2**20):
            file.write(b"".join(b"%010d %s\n" % (number * 2**14 + line, b"x" * 52) for line in range(2**14)))
    return path


def _warm(place: Place, size: int) -> None:
    # The first touch of memory that a virtual machine was not given yet costs more than all that is measured.
    path = place.path / "warm"
    with path.open("wb") as file:
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
    path.unlink()


def _digestOf(block: Path, times: int) -> str:
    content, digest = block.read_bytes(), sha256()
    for _ in range(times):
        digest.update(content)
    return digest.hexdigest()


def _digestFile(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while data := file.read(2**20):
            digest.update(data)
    return digest.hexdigest()


def doOutput(system: System, size: int, is_linked: bool) -> dict[str, float]:
    """One program that writes as fast as it may, into a log file."""
    with _linked(is_linked) as center, makePlace(center) as place:
        block, times = _makeBlock(place), size // _BLOCK
        _warm(place, size)
        log, total = place.log(1), times * _BLOCK
        # It waits for the word, so that no start is measured.
        go = place.path / "go"
        os.mkfifo(go)
        script = f"read x < {go}; cat {' '.join([str(block)] * times)}; exec sleep 99999"
        with Supervision(system, place, Task(command=("/bin/sh", "-c", script))) as run:
            waitUntil("it says that the program runs", run.saysRunning, _PATIENCE)
            before, start = run.use(), time.monotonic()
            with go.open("w") as word:
                word.write("go\n")
            waitUntil("all is in the log", lambda: log.stat().st_size >= total, 4 * _PATIENCE, 0.005)
            took, after = time.monotonic() - start, run.use()
            figures = {
                "rate": total / took / 1e6,
                "cpu": (after.cpu - before.cpu) / total * 1e9,
                "peak": after.peak,
            }
            if center is not None:
                settled = _Settled(center / "nerve.log")
                waitUntil("the center has logged all", settled, 4 * _PATIENCE, 0.2)
                figures["shipped"] = total / (settled.since - start) / 1e6
            run.stop()
        wanted = _digestOf(block, times)
        if log.stat().st_size != total or _digestFile(log) != wanted:
            raise Wrong(f"{log.stat().st_size} bytes of {total} are in the log, or others")
        if center is not None and readLog(center) != (total, wanted):
            raise Wrong(f"{readLog(center)[0]} bytes of {total} are in the center's log, or others")
    return figures


class _Settled:
    """Whether a file has not grown for two seconds; `since` when."""

    def __init__(self, path: Path) -> None:
        self._path, self._size, self.since = path, -1, time.monotonic()

    def __call__(self) -> bool:
        size = self._path.stat().st_size
        if size != self._size:
            self._size, self.since = size, time.monotonic()
        return time.monotonic() - self.since > 2


def pipeByCat(size: int) -> dict[str, float]:
    """What a pipe into a file takes without any supervisor."""
    with makePlace() as place:
        block, times = _makeBlock(place), size // _BLOCK
        _warm(place, size)
        start = time.monotonic()
        subprocess.run(["/bin/sh", "-c", f"cat {' '.join([str(block)] * times)} | cat > {place.log(1)}"], check=True)
        took = time.monotonic() - start
        if _digestFile(place.log(1)) != _digestOf(block, times):
            raise Wrong("cat wrote something else")
    return {"rate": times * _BLOCK / took / 1e6}


def doFlood(system: System, sizes: Sizes, is_linked: bool) -> dict[str, float]:
    """Twenty programs that write without end, into logs that are rotated."""
    line = "y" * 63
    with _linked(is_linked, 16 * 2**20) as center, makePlace(center) as place:
        task = Task(command=("yes", line), count=20, log_bytes=16 * 2**20)
        with Supervision(system, place, task) as run:
            waitUntil("20 programs run", lambda: run.countPrograms() >= task.count, _PATIENCE)
            # With a peak of its own: what it had at its start is no flood's.
            before, start = _written(place.mark, task), time.monotonic()
            time.sleep(sizes.flood_seconds)
            took, after = time.monotonic() - start, _written(place.mark, task)
            run.verifyPrograms(task.count)
            peak = run.use().peak
            run.stop()
        lines = {
            line for path in place.path.glob("out-*.log*") for line in path.open(errors="replace").read(2**20).split("\n")[1:-1]
        }
        if lines != {line}:
            raise Wrong(f"the logs have other lines than {line!r}")
    return {"peak": peak, "rate": (after - before) / took / 1e6}


def _written(mark: str, task: Task) -> int:
    total = 0
    for pid in findMarked(mark, MARK):
        if readWords(pid) == list(task.command):
            fields = Path(f"/proc/{pid}/io").read_text().split()
            total += int(fields[fields.index("wchar:") + 1])
    return total
