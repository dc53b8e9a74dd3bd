"""The guardian as a script, which `python -I -S` runs without anything but the standard library."""

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes as long to import as all the rest


def main() -> None:
    """Guard until the supervisor is gone, then until no program is left that outlives it.

    The packages are laid out bare: their `__init__` would import what a guardian has no use for, at each of its starts.
    """
    package = _HERE
    for name in ("nodeset.processes.guard", "nodeset.processes", "nodeset"):
        module = type(sys)(name)
        module.__path__ = [package]
        sys.modules[name] = module
        package = os.path.dirname(package)  # noqa: PTH120
    from nodeset.processes.guard.begin import guard

    guard(sys.argv[1:])


if __name__ == "__main__":
    main()
