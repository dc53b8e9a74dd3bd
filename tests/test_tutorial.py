"""The tutorial is true to the letter: all that it has typed is typed, in real terminals, and gives what it shows."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.documents import ROOT
from tests.terminals import Terminal

TUTORIAL = ROOT / "docs" / "tutorial.md"
_STEP = re.compile(r"(?:<!-- (?P<mark>[^>]+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)


@attrs.frozen
class Step:
    """A block of the tutorial: for a terminal by number, a file by name, a look at one, or not for us (`install`)."""

    mark: str
    kind: str
    text: str


def steps(text: str) -> Iterator[Step]:
    """The blocks in their order."""
    for match in _STEP.finditer(text):
        yield Step(match["mark"] or "", match["kind"], match["text"])


def patternOf(shown: list[str]) -> re.Pattern[str]:
    """What shown lines stand for: `...` is anything, by itself any lines; a number with a point is any such number.

    >>> bool(patternOf(["2 passed in 0.05s", "...", "bye"]).fullmatch("2 passed in 1.20s\\nand\\nso on\\nbye\\n"))
    True
    """
    return re.compile("".join(r"(?:.*\n)*" if line.strip() == "..." else rf"{_lineOf(line)}\n" for line in shown))


def _lineOf(shown: str) -> str:
    parts = re.split(r"( *\.{3} *|\d+\.\d+)", shown.rstrip())
    wild = {True: ".*", False: r"\d+(?:\.\d+)?"}
    return "".join(wild["..." in part] if number % 2 else re.escape(part) for number, part in enumerate(parts))


class TutorialTests(SynchronousTestCase):
    """docs/tutorial.md."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(mode=0o700)
        self.terminals: dict[str, Terminal] = {}
        self.addCleanup(self.closeAll)

    def closeAll(self) -> None:
        """Close all windows."""
        for terminal in self.terminals.values():
            terminal.close()

    def terminal(self, number: str) -> Terminal:
        """The terminal of this number, in which the environment is active; any port will do for the dispatcher."""
        if number not in self.terminals:
            env = {name: value for name, value in os.environ.items() if not name.startswith(("NODESET_", "PYTHON", "COLUMNS"))}
            env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
            env |= {"HOME": str(self.home), "NODESET_HOME": str(self.home / "state"), "NODESET_LISTEN": "localhost:0"}
            self.terminals[number] = Terminal(self.directory, env)
        return self.terminals[number]

    @property
    def directory(self) -> Path:
        """Where a new terminal is opened: in the project once there is one."""
        project = self.home / "kitchen"
        return project if project.is_dir() else self.home

    def follow(self, step: Step) -> None:
        """Type the lines of a block, each with what it shows.

        `stays` means that the last one does not end yet, `fails` that each ends with another exit code than 0.
        """
        number, _, manner = step.mark.removeprefix("terminal ").partition(", ")
        terminal = self.terminal(number)
        runs: list[tuple[str, list[str]]] = [("", [])]
        for line in step.text.splitlines():
            if line.startswith("$ ") or line == "^C":
                runs.append((line, []))
            else:
                runs[-1][1].append(line)
        for place, (typed, shown) in enumerate(runs):
            if typed == "^C":
                terminal.interrupt()
            elif typed:
                if terminal.is_busy:
                    terminal.awaitEnd()
                terminal.type(typed[2:])
            if not typed or (manner == "stays" and place == len(runs) - 1):
                for line in shown:
                    terminal.awaitLine(re.compile(_lineOf(line) + r"\s*"))
            else:
                self.compare(typed, shown, *terminal.awaitEnd(), fails=manner == "fails")

    def compare(self, typed: str, shown: list[str], code: int, printed: list[str], fails: bool) -> None:
        """What a line printed is what is shown; its exit code is what it should be."""
        said = "".join(f"{line.rstrip()}\n" for line in printed if line.strip() not in ("", "^C"))
        if not patternOf([line for line in shown if line.strip()]).fullmatch(said):
            self.fail(f"{typed}\nshown:\n" + "\n".join(shown) + f"\nprinted:\n{said}")
        if typed != "^C":
            self.assertEqual(code != 0, fails, f"{typed} ended with {code}\n{said}")

    def look(self, text: str, shown: str) -> None:
        """Every line that the tutorial shows of a file is in it, but for the remarks."""
        lines = {line.strip() for line in text.splitlines()}
        for line in shown.splitlines():
            self.assertIn(line.partition("  # ")[0].strip(), lines | {""})

    def test_letter(self) -> None:
        """Whoever types what stands there, in the terminals where it stands, sees what stands there."""
        followed = 0
        for step in steps(TUTORIAL.read_text("utf-8")):
            if step.mark.startswith("terminal "):
                self.follow(step)
                followed += 1
            elif step.mark.startswith("file: "):
                (self.directory / step.mark.removeprefix("file: ")).write_text(step.text)
            elif step.mark.startswith("look: "):
                self.look((self.directory / step.mark.removeprefix("look: ")).read_text(), step.text)
            else:
                self.assertEqual(step.mark, "install", f"nobody follows this block:\n{step.text}")
        self.assertGreater(followed, 5)
