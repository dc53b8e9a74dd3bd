"""A center that ours is linked to, with what it has logged."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from benchmarks.peers import ROOT
from benchmarks.supervision.scene import makePlace, waitUntil
from benchmarks.supervision.task import Place, Wrong

__all__ = ["readLog", "runCenter"]


@contextmanager
def runCenter(log_bytes: int, log_files: int) -> Iterator[Path]:
    """The directory of a center that listens there, logging into `nerve.log`."""
    with makePlace() as place:
        center = Place(place.path, place.mark, place.python, place.path)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NODESET_")}
        command = [
            str(place.python / "nodeset-center"),
            "--endpoint",
            center.endpoint,
            "--logfile",
            str(place.path / "nerve.log"),
        ]
        command += [f"--log-bytes={log_bytes}", f"--log-files={log_files}"]
        with place.said.open("wb") as said:
            process = subprocess.Popen(
                command,
                cwd=place.path,
                env={**kept, **center.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            waitUntil("the center listens", (place.path / "nerve.sock").exists, 20)
            yield place.path
            if process.poll() is not None:
                raise Wrong(f"the center ended with {process.returncode}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def readLog(center: Path) -> tuple[int, str]:
    """How many bytes of output it has logged, their SHA-256. Raises `Wrong` if some are marked as lost."""
    count, digest = 0, sha256()
    with (center / "nerve.log").open("rb") as lines:
        for line in lines:
            event = ast.literal_eval(line.decode("ascii"))
            if len(event) > 3:
                raise Wrong(f"the center's log says {event[3]}")
            if event[1] == "out":
                data = event[2].encode("latin-1")
                count += len(data)
                digest.update(data)
    return count, digest.hexdigest()
