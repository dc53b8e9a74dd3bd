"""Runs our commands many times, each in a fork of a process that has most of it imported already.

Reads a JSON list of cases from stdin: `words` for the command `nodeset`, or those for `python` where they begin with `-c`;
`env` to add, `stdin` (text of a file), `stdout` (`pipe`, `full`, `closed`). Writes the list of `[exit code, stdout, stderr]`.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

#: Forks at a time, unless the command line says otherwise.
ABREAST = 4


def services() -> list[str]:
    """The rooms of what runs under twistd."""
    return ["twisted.scripts.twistd", *(f"nodeset.cli.{name}" for name in ("dispatch", "node", "roles", "runner", "web"))]


def people() -> list[str]:
    """The rooms of the command for people."""
    from nodeset.cli.group import COMMANDS

    rooms = ["rich.console", "nodeset.cli.visit", "nodeset.cli.talk.sending", "nodeset.cli.talk.listening"]
    return rooms + [f"nodeset.cli.people.{name}" for names in COMMANDS.values() for name in names]


def warmUp(cases: list[dict[str, Any]]) -> None:
    """Import what these need and what installs no reactor."""
    from importlib import import_module

    for name in (
        # What the reactor, then foolscap, import, which themselves must wait.
        "foolscap.connections.tcp",
        "foolscap.crypto",
        "foolscap.info",
        "nodeset.core.dispatcher",
        "nodeset.transport.inlet",
        "nodeset.transport.outlet",
        "nodeset.transport.rendezvous",
        "nodeset.transport.unixsocket",
        "nodeset.transport.wire",
        "twisted.internet.default",
        "twisted.internet.endpoints",
        "twisted.internet.ssl",
        *(services() if any(case["words"][:1] == ["-c"] for case in cases) else people()),
    ):
        import_module(name)
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
    words = case["words"]
    try:
        if words[:1] == ["-c"]:
            sys.argv = ["-c", *words[2:]]
            exec(words[1], {"__name__": "__main__"})
        else:
            sys.argv = ["nodeset", *words]
            from nodeset.cli.main import main

            main()
        end(0)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            sys.stderr.write(f"{stop.code}\n")
        end(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(99)


def end(code: int) -> NoReturn:
    """End this fork as Python ends a process; what is to be done at exit may choose another code."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    """Run them all."""
    cases = json.load(sys.stdin)
    warmUp(cases)
    abreast = int(sys.argv[1]) if sys.argv[1:] else ABREAST
    folder = Path(tempfile.mkdtemp(dir="."))
    running: dict[int, int] = {}
    codes: dict[int, int] = {}

    def await_one() -> None:
        pid, status = os.wait()
        codes[running.pop(pid)] = os.waitstatus_to_exitcode(status)

    for number, case in enumerate(cases):
        while len(running) >= abreast:
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
