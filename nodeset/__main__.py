"""What `python -m nodeset` runs: the command `nodeset`."""

from __future__ import annotations

from nodeset.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
