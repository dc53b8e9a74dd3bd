"""The entry of the command `nodeset`, which names the extra that it needs."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

__all__ = ["main"]

#: What is set while a shell asks what to complete a line with.
_COMPLETING = "_NODESET_COMPLETE"
#: Sub-commands that are services, with their rooms.
_SERVICES = {
    "dispatcher": "nodeset.cli.dispatch",
    "node": "nodeset.cli.node",
    "monitor": "nodeset.cli.monitor",
    "web": "nodeset.cli.web",
    "center": "nodeset.cli.center",
    "processes": "nodeset.cli.processes",
    "open": "nodeset.cli.open",
}


def main() -> NoReturn:
    """Run the sub-command that sys.argv names; ends the process.

    `dispatcher`, `node`, `monitor`, `web`, `center`, `processes`, `open` go without the extra: their options are Twisted's.
    """
    _occupy()
    # Until somebody knows better: an import that is broken off would show where.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    word = sys.argv[1] if len(sys.argv) > 1 and _COMPLETING not in os.environ else ""
    if word in _SERVICES:
        del sys.argv[1]
        import_module(_SERVICES[word]).main(in_front=True)
        raise SystemExit(0)
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.stderr.write(f"nodeset: {error.name} is not installed: pip install 'nodeset[cli]'\n")
        raise SystemExit(2) from None
    from nodeset.cli.group import run

    run()


def _occupy() -> None:
    """Let no connection of ours take the place of a standard stream that is closed: what is printed would go into it."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
