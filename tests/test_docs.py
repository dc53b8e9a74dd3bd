"""The documents tell the truth: their code runs, their links lead somewhere, their options exist."""

from __future__ import annotations

import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<code>.*?)```", re.DOTALL)


def blocks(document: Path, kind: str) -> list[tuple[str | None, str]]:
    """The code blocks of one kind in a document: the file that a comment names for it, or None, with the code."""
    return [(match["file"], match["code"]) for match in _BLOCK.finditer(document.read_text()) if match["kind"] == kind]


class DocumentTests(SynchronousTestCase):
    """README, CONTRIBUTING, CHANGELOG, docs."""

    def test_python(self) -> None:
        """Every Python block that is no file of its own runs, after those before it in the same document."""
        ran = 0
        for document in DOCUMENTS:
            module = ModuleType("document")
            self.patch(sys, "modules", {**sys.modules, "document": module})
            names: dict[str, Any] = module.__dict__
            for file, code in blocks(document, "python"):
                if file is None:
                    with redirect_stdout(io.StringIO()):
                        exec(compile(code, str(document.name), "exec"), names)
                    ran += 1
                else:
                    compile(code, file, "exec")
        self.assertGreater(ran, 2)
        self.flushLoggedErrors(LookupError)  # docs/calls.md shows how a method's exception comes back; it is logged, once

    def test_examples(self) -> None:
        """The README's first program is the one in examples/simple, but for the remarks to our tools."""
        for file, code in blocks(ROOT / "README.md", "python"):
            if file is not None:
                example = (ROOT / "examples" / "simple" / file).read_text()
                for line in code.splitlines():
                    self.assertIn(line.strip(), example.replace("  # type:", "\n"), f"{file}: {line}")

    def test_links(self) -> None:
        """Every link to a file leads to one."""
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
                self.assertTrue((document.parent / target).exists(), f"{document.name} links to {target}")

    def test_files(self) -> None:
        """Every file that docs/design.md names is there."""
        for name in re.findall(r"nodeset/\w+/\w+\.py", (ROOT / "docs" / "design.md").read_text()):
            self.assertTrue((ROOT / name).exists(), name)

    def test_options(self) -> None:
        """Every option that a command line in a document uses is one that its command has."""
        from nodeset.cli import dispatch, node, options

        commands = {"nodeset-dispatcher": dispatch.Options, "nodeset-node": node.Options}
        known = {name: str(options.withTwistd(ours, "x")) for name, ours in commands.items()}
        seen = 0
        for document in DOCUMENTS:
            for _file, code in blocks(document, "console"):
                for line in code.splitlines():
                    for command, text in known.items():
                        if command in line:
                            for option in re.findall(r"--[a-z-]+", line):
                                self.assertIn(option, text, f"{document.name}: {line}")
                                seen += 1
        self.assertGreater(seen, 1)
