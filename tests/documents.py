"""The code in the documents: which blocks there are, which commands stand in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

__all__ = ["DOCUMENTS", "ROOT", "blocks", "commandsIn", "consoleLines"]

ROOT = Path(__file__).resolve().parent.parent
_SITE = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *_SITE]

_BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<code>.*?)```", re.DOTALL)
_OPERATORS = frozenset("();<>|&")


def blocks(document: Path, kind: str) -> list[tuple[str | None, str]]:
    """The code blocks of one kind in a document: the file that a comment names for it, or None, with the code."""
    return [(match["file"], match["code"]) for match in _BLOCK.finditer(document.read_text("utf-8")) if match["kind"] == kind]


def consoleLines(document: Path) -> Iterator[str]:
    """What is typed in the console blocks, a line each; one that ends with a backslash goes on."""
    for _file, code in blocks(document, "console"):
        for line in code.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line[2:]


def commandsIn(line: str) -> list[list[str]]:
    """The simple commands of a shell line, each as its words, without its variables and redirections.

    >>> commandsIn("A=1 seq 3 | nodeset pub x > out & nodeset sub x # look")
    [['seq', '3'], ['nodeset', 'pub', 'x'], ['nodeset', 'sub', 'x']]
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    is_file = False
    for word in lexer:
        if set(word) <= _OPERATORS:
            is_file = word[0] in "<>"
            if not is_file:
                found.append([])
        elif is_file:
            is_file = False
        elif found[-1] or not re.match(r"\w+=", word):
            found[-1].append(word)
    return [words for words in found if words]
