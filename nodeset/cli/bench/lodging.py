"""A dispatcher of our own for a measurement: in a process, on a free port, with a directory that goes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from nodeset.cli.bench.crew import PythonPlace
from nodeset.cli.bench.lines import listen, read, say
from nodeset.cli.outcome import GaveUp

__all__ = ["lodge", "main"]

#: Seconds until it must listen; for its end.
_PATIENCE: Final = 20.0
_FAREWELL: Final = 2.0


def lodge() -> tuple[subprocess.Popen[bytes], str]:
    """Start one; returns the process, which ends with our end of its stdin, and the path of the file with its FURL.

    Raises `GaveUp`. Blocks until it listens.
    """
    place = PythonPlace("nodeset.cli.bench.lodging")
    environ = {name: value for name, value in place.environ.items() if not name.startswith("NODESET_")}
    process = subprocess.Popen(  # noqa: S603  # ourselves
        place.command,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    alarm = threading.Timer(_PATIENCE, _end, [process])
    alarm.start()
    try:
        for line in process.stdout:
            try:
                word, value = read(line.decode())
            except ValueError:
                continue
            if word == "ready":
                return process, str(value)
        why = process.stderr.read(2000).decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise GaveUp(f"the dispatcher of our own did not start: {why or 'it said nothing'}")
    except BaseException:
        _end(process)
        raise
    finally:
        alarm.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, by force only when it does not put its directory away."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()


def main() -> None:
    """Be that dispatcher."""
    from nodeset.cli import dispatch

    home = Path(tempfile.mkdtemp(prefix="nodeset-bench-"))
    listen(lambda word, value: None, lambda: shutil.rmtree(home, ignore_errors=True))
    os.chdir(home)
    furl = home / "bus.furl"

    def announce() -> None:
        while not furl.exists():
            time.sleep(0.02)
        say("ready", str(furl))

    threading.Thread(target=announce, daemon=True).start()
    sys.argv = ["nodeset-dispatcher", "-n", "--listen", "localhost:0", "--state-dir", str(home), "--furlfile", str(furl)]
    sys.argv += ["--loglevel", "crit"]
    dispatch.main()


if __name__ == "__main__":
    main()
