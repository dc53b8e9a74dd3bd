"""The entry of the command `nodeset`, which names the extra that it needs."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["main"]

#: What is set while a shell asks what to complete a line with.
_COMPLETING = "_NODESET_COMPLETE"


def main() -> NoReturn:
    """Run the sub-command that sys.argv names; ends the process.

    `dispatcher` with `node` go without the extra: their options are Twisted's.
    """
    word = sys.argv[1] if len(sys.argv) > 1 and _COMPLETING not in os.environ else ""
    if word in ("dispatcher", "node"):
        from nodeset.cli import dispatch, node

        del sys.argv[1]
        (dispatch if word == "dispatcher" else node).main(in_front=True)
        raise SystemExit(0)
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.stderr.write(f"nodeset: {error.name} is not installed: pip install 'nodeset[cli]'\n")
        raise SystemExit(2) from None
    from nodeset.cli.group import run

    run()
