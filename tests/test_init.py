"""`nodeset init`: what it writes runs."""

from __future__ import annotations

import keyword
import shlex
import subprocess
import sys
from pathlib import Path

from nodeset.cli.begin.project import filesOf, nameFor, nodeClass, write
from nodeset.errors import StateUnusable
from tests.commands import NODESET, PATIENCE, ROOT, CommandCase
from tests.inside import InsideCase

FILES = ["README.md", "kitchen.py", "pyproject.toml", "test_kitchen.py"]


class NameTests(InsideCase):
    """Names that are guessed."""

    def test_names(self) -> None:
        """Whatever a directory is called, its node has a name that Python can import, and that hides no other module."""
        expected = {
            "kitchen": "kitchen",
            "My Kitchen": "my_kitchen",
            "café-2": "cafe_2",
            "3d": "node_3d",
            "class": "class_node",
            "match": "match_node",
            "json": "json_node",
            "nodeset": "nodeset_node",
            "": "project",
            "日本": "project",
            "..": "project",
            "x" * 300: "x" * 24,
            "a\x1b[2J": "a_2j",
        }
        for directory, name in expected.items():
            self.assertEqual(nameFor(directory), name)
            self.assertTrue(name.isidentifier() and not keyword.iskeyword(name))
            self.assertTrue(nodeClass(name).isidentifier())

    def test_classes(self) -> None:
        """The class of the node says that it is one, once."""
        self.assertEqual(nodeClass("kitchen"), "KitchenNode")
        self.assertEqual(nodeClass("my_node"), "MyNode")

    def test_compiles(self) -> None:
        """What comes out is Python under every name."""
        for name in ("kitchen", "order", "note", "node", "x" * 24):
            for file, text in filesOf(name).items():
                self.assertNotIn("$name", text)
                if file.endswith(".py"):
                    compile(text, file, "exec")


class WriteTests(InsideCase):
    """All of it, or nothing."""

    def names(self, directory: Path) -> list[str]:
        return sorted(each.name for each in directory.iterdir())

    def test_written(self) -> None:
        """A directory that was not there, or this one; what to type next is printed."""
        out = self.told("init", "parent/kitchen")
        self.assertEqual(self.names(self.home / "parent" / "kitchen"), FILES)
        self.assertIn("cd parent/kitchen", out)
        self.assertIn("nodeset pub kitchen.noted", out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        there = self.home / "my bakery"
        there.mkdir()
        out = self.told("init", str(there))
        self.assertIn("cd '", out)
        self.assertIn("my_bakery.py", self.names(there))

    def test_neverOverwrites(self) -> None:
        """One file that is there already: it is named, nothing is written."""
        there = self.home / "kitchen"
        there.mkdir()
        (there / "README.md").write_text("mine")
        self.refuses(1, "kitchen/README.md", "init", "kitchen")
        self.assertEqual((self.names(there), (there / "README.md").read_text()), (["README.md"], "mine"))
        (there / "README.md").unlink()
        (there / "kitchen.py").symlink_to("nowhere")
        self.refuses(1, "kitchen.py", "init", "kitchen")
        self.assertEqual(self.names(there), ["kitchen.py"])

    def test_noDirectory(self) -> None:
        """A file in the place of the directory, or of one above it, no name at all: one line."""
        (self.home / "kitchen").write_text("")
        self.refuses(1, "kitchen", "init", "kitchen")
        self.refuses(1, "kitchen", "init", "kitchen/below")
        self.refuses(2, "empty", "init", "")
        self.refuses(1, "too long", "init", "x" * 300)
        self.assertEqual(self.names(self.home), ["kitchen"])

    def test_halfWay(self) -> None:
        """What fails half way leaves nothing, the directories that were made for it included."""
        files = {"a.py": "", "b/c.py": ""}
        with self.assertRaises(StateUnusable):
            write(self.home / "x" / "y", files)
        self.assertEqual(self.names(self.home), [])


class RunTests(CommandCase):
    """As its user runs it."""

    def run_(self, directory: Path, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=directory,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_project(self) -> None:
        """Its test passes under trial and pytest, ruff and mypy say nothing; its node works with the grant of its README."""
        self.ask(*NODESET, "init", "kitchen")
        there = self.home / "kitchen"
        self.run_(there, "-m", "twisted.trial", "test_kitchen")
        self.run_(there, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        self.run_(there, "-m", "ruff", "check", "--no-cache", ".")
        self.run_(there, "-m", "ruff", "format", "--check", "--no-cache", ".")
        self.env["MYPYPATH"] = f"{ROOT}:{ROOT / 'stubs'}"
        self.run_(there, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(ROOT / ".mypy_cache" / "project"), ".")
        self.startDispatcher()
        (granted,) = (line for line in (there / "README.md").read_text().splitlines() if line.startswith("`nodeset grant"))
        self.ask(*NODESET, *shlex.split(granted.split("`")[1])[1:])
        node = self.spawn(str(there / "kitchen.py"), NODESET_DISPATCHER=str(self.home / "kitchen.furl"))
        self.awaitLine(node, "linked")
        published = ["pub", "kitchen.noted", '{"text": "hello", "stars": 3}']
        code, out, err = self.ask(*NODESET, *published)
        self.assertEqual(code, 0, out + err)
        self.awaitLine(node, "noted: hello")
        code, out, err = self.ask(*NODESET, "call", "kitchen", "count", "stars=1")
        self.assertEqual((code, out.strip()), (0, "1"), err)
        self.assertEqual(self.stop(node), 0)

    def test_fullDisk(self) -> None:
        """A full disk is one line, and nothing is left behind; a limit on the size of files stands in for it."""
        limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable, *NODESET, "init", "kitchen"]
        done = subprocess.run(
            limited, cwd=self.home, env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        self.assertEqual(list(self.home.iterdir()), [])
