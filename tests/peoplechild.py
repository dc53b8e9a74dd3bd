"""Runs the command `nodeset` many times, each in a fork of a process that has most of it imported already.

Reads a JSON list of cases from stdin: `words`, `env` to add, `stdin` (text of a file), `stdout` (`pipe`, `full`,
`closed`). Writes the list of
`[exit code, stdout, stderr]`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

#: Forks at a time.
ABREAST = 4


def warmUp() -> None:
    """Import what installs no reactor."""
    from importlib import import_module

    from nodeset.cli.group import COMMANDS

    for name in ("OpenSSL.SSL", "rich.console", "nodeset.cli.visit", "nodeset.cli.talk.sending", "nodeset.cli.talk.listening"):
        import_module(name)
    for name in (name for names in COMMANDS.values() for name in names):
        import_module(f"nodeset.cli.people.{name}")
    assert "twisted.internet.reactor" not in sys.modules, "forks would share it"


def begin(case: dict[str, Any], out: Path, err: Path) -> int:
    """Start one; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    os.environ.update(case.get("env", {}))
    source = Path(os.devnull)
    if "stdin" in case:
        source = out.with_suffix(".in")
        source.write_bytes(case["stdin"].encode("utf-8", "surrogateescape"))
    os.dup2(os.open(source, os.O_RDONLY), 0)
    match case.get("stdout", "pipe"):
        case "full":
            target = os.open("/dev/full", os.O_WRONLY)
        case "closed":
            reader, target = os.pipe()
            os.close(reader)
        case _:
            target = os.open(out, os.O_WRONLY | os.O_CREAT)
    os.dup2(target, 1)
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT), 2)
    sys.argv = ["nodeset", *case["words"]]
    from nodeset.cli.main import main

    try:
        main()
    except SystemExit as stop:
        sys.stdout.flush()
        os._exit(stop.code if isinstance(stop.code, int) else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(99)


def main() -> None:
    """Run them all."""
    cases = json.load(sys.stdin)
    warmUp()
    folder = Path(tempfile.mkdtemp(dir="."))
    running: dict[int, int] = {}
    codes: dict[int, int] = {}

    def await_one() -> None:
        pid, status = os.wait()
        codes[running.pop(pid)] = os.waitstatus_to_exitcode(status)

    for number, case in enumerate(cases):
        while len(running) >= ABREAST:
            await_one()
        running[begin(case, folder / f"{number}.out", folder / f"{number}.err")] = number
    while running:
        await_one()

    def read(name: str) -> str:
        path = folder / name
        return path.read_text("utf-8", "replace") if path.exists() else ""

    json.dump([[codes[n], read(f"{n}.out"), read(f"{n}.err")] for n in range(len(cases))], sys.stdout)


if __name__ == "__main__":
    main()
