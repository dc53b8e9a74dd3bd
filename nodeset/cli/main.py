"""The entry of the command `nodeset`, which names the extra that it needs."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the sub-command that sys.argv names; ends the process."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.stderr.write(f"nodeset: {error.name} is not installed: pip install 'nodeset[cli]'\n")
        raise SystemExit(2) from None
    from nodeset.cli.group import run

    run()
