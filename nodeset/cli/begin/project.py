"""A new project on the disk."""

from __future__ import annotations

import keyword
import os
import re
import sys
import unicodedata
from pathlib import Path
from string import Template
from typing import Final

from nodeset.cli.begin.specimen import FILES
from nodeset.errors import StateUnusable
from nodeset.transport.files import blaming, showPath
from nodeset.version import __version__

__all__ = ["filesOf", "nameFor", "nodeClass", "write"]

_LONGEST: Final = 24
#: What the project imports, or what its tools take for theirs.
_TAKEN: Final = frozenset(
    {"nodeset", "twisted", "foolscap", "attr", "attrs", "msgspec", "simplejson", "zope", "click", "rich", "pytest", "setup"}
    | {"conftest", "tests"}
)


def nameFor(directory: str) -> str:
    """The name of the node, its module and its events, for a directory of this name: always one that Python can import.

    >>> nameFor("My Kitchen"), nameFor("3d"), nameFor("json")
    ('my_kitchen', 'node_3d', 'json_node')
    """
    folded = unicodedata.normalize("NFKD", directory).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", folded).strip("_")[:_LONGEST].strip("_") or "project"
    if name[0].isdigit():
        name = f"node_{name}"
    if name in _TAKEN or name in sys.stdlib_module_names or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        name = f"{name}_node"
    return name


def nodeClass(name: str) -> str:
    """The class of its node.

    >>> nodeClass("my_kitchen"), nodeClass("json_node")
    ('MyKitchenNode', 'JsonNode')
    """
    camel = "".join(part.capitalize() for part in name.split("_"))
    return camel if camel.endswith("Node") else f"{camel}Node"


def filesOf(name: str) -> dict[str, str]:
    """The text of each file, by the file's name."""
    node = nodeClass(name)
    words = {
        "name": name,
        "node": node,
        "imported": ", ".join(sorted([node, "Note"])),  # as ruff wants it
        "dashed": name.replace("_", "-"),
        "version": __version__,
    }
    return {Template(file).substitute(words): text.substitute(words) for file, text in FILES.items()}


def write(directory: Path, files: dict[str, str]) -> None:
    """Put all of these files there, or none. Raises `StateUnusable`, which names what is there already or why it failed."""
    there = [file for file in files if os.path.lexists(directory / file)]
    if there:
        is_one = len(there) == 1
        shown = ", ".join(showPath(directory / file) for file in there)
        raise StateUnusable(f"{shown} {'is' if is_one else 'are'} there already, nothing was written: name another directory")
    made: list[Path] = []
    try:
        _makeDirectory(directory, made)
        for file, text in files.items():
            path = directory / file
            with blaming(path), path.open("x", encoding="utf-8") as opened:
                made.append(path)
                opened.write(text)
    except BaseException:
        for path in reversed(made):
            _remove(path)
        raise


def _makeDirectory(directory: Path, made: list[Path]) -> None:
    with blaming(directory):
        if directory.exists() and not directory.is_dir():
            raise StateUnusable(f"{showPath(directory)} is not a directory: name another")
        for path in [*reversed(directory.parents), directory]:
            if not path.exists():
                path.mkdir()
                made.append(path)


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    except OSError:
        pass  # the reason why nothing was written is what matters
