"""What a stranger gets from pip.

Slow, so `make test` runs it as a part of its own. Each way to install goes into a venv of its own that holds a copy of Twisted
with links to the other dependencies of the running environment: nothing is downloaded, yet pip checks every requirement.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.metadata as metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import attrs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.trial.unittest import SynchronousTestCase

from tests import run

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    "nodeset-center",
    "nodeset-dispatcher",
    "nodeset-monitor",
    "nodeset-node",
    "nodeset-processes",
    "nodeset-shell",
    "nodeset-web",
)
#: The design, D15. Versions are asked for where an older one is known not to do.
HARD = {"Twisted[tls]>=25.5", "foolscap>=24.9", "zope.interface", "simplejson", "attrs", "msgspec"}
EXTRAS = {
    "bench",
    "browser",
    "cli",
    "dev",
    "docs",
    "fuzz",
    "metrics",
    "nats",
    "otel",
    "processes",
    "shell",
    "test",
    "web",
    "all",
}
MOST_IGNORES = 20


def runCommand(command: list[str | Path], cwd: Path) -> str:
    """What a command printed; an AssertionError with all of it if it failed."""
    # Nothing of the running environment may help, nor the index; bytecode is written where pip looks for it.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "NODESET_", "VIRTUAL_ENV"))}
    env |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout + done.stderr
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")
    return said


@functools.cache
def scratch() -> Path:
    """A folder for this run, outside the checkout."""
    path = Path(tempfile.mkdtemp(prefix="nodeset-packaging-")).resolve()
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def copyTree() -> Path:
    """A copy of the checkout as git would commit it, so that building leaves nothing in the checkout itself."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    target = Path(tempfile.mkdtemp(prefix="tree-", dir=scratch()))
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).is_file():  # A file may be deleted, the deletion not committed.
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


@functools.cache
def buildWheel() -> Path:
    """The wheel of this checkout."""
    out = scratch() / "wheels"
    runCommand([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, "."], copyTree())
    [wheel] = out.glob("*.whl")
    return wheel


def readWheel() -> Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(buildWheel()) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(wheel.read(name).decode())


def needed(names: list[Requirement]) -> dict[str, metadata.Distribution]:
    """The installed distributions that these requirements lead to, by name."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(name, extra) for name in names for extra in ("", *name.extras)]
    while todo:
        requirement, extra = todo.pop()
        key = canonicalize_name(requirement.name)
        if (key, extra) in seen:
            continue
        seen.add((key, extra))
        found[key] = metadata.distribution(requirement.name)
        for each in map(Requirement, found[key].requires or []):
            if each.marker is None or each.marker.evaluate({"extra": extra}):
                todo += [(each, inner) for inner in ("", *each.extras)]
    return found


@attrs.frozen
class House:
    """A fresh venv in which Twisted is installed."""

    path: Path
    site: Path

    def run(self, program: str, *words: str) -> str:
        """Run a program of the venv from a folder that is not the checkout."""
        return runCommand([self.path / "bin" / program, *words], self.path)

    def pip(self, *words: str | Path) -> str:
        return runCommand([sys.executable, "-m", "pip", "--python", self.path / "bin/python", *words], self.path)

    def digestTwisted(self) -> dict[str, str]:
        """A checksum of every file of Twisted, but for what Python and twistd write there themselves."""
        files = [
            path
            for path in (self.site / "twisted").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache"
        ]
        return {str(path.relative_to(self.site)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def listOurs(self) -> list[str]:
        """Everything in site-packages or bin that has our name on it."""
        return sorted(
            str(path.relative_to(self.path)) for top in (self.site, self.path / "bin") for path in top.rglob("*nodeset*")
        )


def buildHouse() -> House:
    """A venv with Twisted in it, the other hard dependencies of ours in reach, NodeSet not installed."""
    path = Path(tempfile.mkdtemp(prefix="venv-", dir=scratch()))
    venv.create(path, with_pip=False)
    [site] = path.glob("lib/python*/site-packages")
    hard = [Requirement(each) for each in readWheel().get_all("Requires-Dist", [])]
    wanted = needed([each for each in hard if each.marker is None] + [Requirement("setuptools")])
    for name, distribution in wanted.items():
        for top in sorted({file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}):
            source = Path(str(distribution.locate_file(top)))
            if name == "twisted":
                _copyTwisted(source, site / top)
            elif not (site / top).is_symlink():  # zope/ is shared by several.
                (site / top).symlink_to(source)
    _addScripts(wanted["twisted"], path / "bin")
    return House(path, site)


def _copyTwisted(source: Path, target: Path) -> None:
    # The cache of plugins names those of the environment that it comes from.
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("dropin.cache", "test"))


def _addScripts(distribution: metadata.Distribution, bin_path: Path) -> None:
    for point in distribution.entry_points.select(group="console_scripts"):
        script = bin_path / point.name
        script.write_text(
            f"#!{bin_path}/python\nimport sys\nfrom {point.module} import {point.attr}\nsys.exit({point.attr}())\n"
        )
        script.chmod(0o755)


def installWheel() -> House:
    """A fresh venv with the wheel."""
    house = buildHouse()
    house.pip("install", buildWheel())
    return house


def installEditable() -> House:
    """A fresh venv with a copy of the checkout, by `pip install -e`."""
    house = buildHouse()
    house.pip("install", "--no-build-isolation", "--editable", copyTree())
    return house


@functools.cache
def installBoth() -> list[House]:
    """A house of either kind, shared by the tests that only look."""
    return [installWheel(), installEditable()]


class WheelTests(SynchronousTestCase):
    def test_files(self) -> None:
        """The wheel holds all of nodeset, py.typed too, with one file for Twisted's folder: nothing that Twisted has."""
        with zipfile.ZipFile(buildWheel()) as wheel:
            names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        found = (path for path in (ROOT / "nodeset").rglob("*") if path.is_file() and path.suffix != ".pyc")
        ours = {str(path.relative_to(ROOT)) for path in found}
        self.assertEqual(names, ours | {"twisted/plugins/nodeset_plugin.py"})

    def test_metadata(self) -> None:
        """The wheel asks for what NodeSet cannot run without, offers the rest as extras, tells its version and licence."""
        told = readWheel()
        requirements = [Requirement(each) for each in told.get_all("Requires-Dist", [])]
        self.assertEqual({str(each) for each in requirements if each.marker is None}, {str(Requirement(r)) for r in HARD})
        self.assertEqual(set(told.get_all("Provides-Extra", [])), EXTRAS)
        self.assertEqual((told["Name"], told["Requires-Python"]), ("nodeset", ">=3.11"))
        self.assertEqual((told["License-Expression"], told["License-File"]), ("MIT", "LICENSE"))
        self.assertIn(f'"{told["Version"]}"', (ROOT / "nodeset/version.py").read_text("utf-8"))


class InstalledTests(SynchronousTestCase):
    def test_plugins(self) -> None:
        """`twistd --help` lists both services, from a wheel or an editable install."""
        for house in installBoth():
            listing = house.run("twistd", "--help")
            for command in COMMANDS:
                self.assertIn(command, listing)

    def test_commands(self) -> None:
        """Both commands answer --help or --version by themselves, --help under twistd."""
        for house in installBoth():
            for command in COMMANDS:
                self.assertIn("--", house.run(command, "--help"))
                self.assertNotEqual(house.run(command, "--version").strip(), "")
                self.assertIn("--", house.run("twistd", command, "--help"))
                # `nodeset shell` is another: it connects a terminal, which takes what people's commands take.
                if command != "nodeset-shell":
                    self.assertIn("--", house.run("python", "-m", "nodeset", command.removeprefix("nodeset-"), "--help"))

    def test_pytest(self) -> None:
        """pytest is told where our fixture is."""
        program = "from importlib.metadata import entry_points; print(entry_points(group='pytest11')['nodeset'].value)"
        for house in installBoth():
            self.assertEqual(house.run("python", "-c", program).strip(), "nodeset.pytest_plugin")

    def test_typed(self) -> None:
        """A type checker finds py.typed beside the installed package."""
        program = "import nodeset, pathlib; print((pathlib.Path(nodeset.__file__).parent / 'py.typed').exists())"
        for house in installBoth():
            self.assertEqual(house.run("python", "-c", program).strip(), "True")

    def test_uninstall(self) -> None:
        """`pip uninstall` takes all of NodeSet away, its plugins included, with Twisted left as it was."""
        for install in (installWheel, installEditable):
            bare = buildHouse().digestTwisted()
            house = install()
            house.run("twistd", "--help")  # Writes the cache of plugins, which must not outlive them.
            house.pip("uninstall", "--yes", "nodeset")
            house.run("python", "-c", "import twisted; from twisted.internet import reactor")
            listing = house.run("twistd", "--help")
            self.assertIn("ftp", listing)
            self.assertNotIn("nodeset", listing)
            self.assertEqual(house.digestTwisted(), bare)
            self.assertEqual(house.listOurs(), [])


class ModuleCommandTests(SynchronousTestCase):
    def ask(self, *words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "nodeset", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_unknown(self) -> None:
        """`python -m nodeset` with a word that it does not know is one line on stderr with exit code 2."""
        for words in (["dispatch"], ["-x", "--y"], ["two\nlines"], ["x" * 100_000]):
            code, out, err = self.ask(*words)
            self.assertEqual((code, out, err.count("\n")), (2, "", 1))
            self.assertIn("nodeset --help", err)
            self.assertLess(len(err), 200)

    def test_secret(self) -> None:
        """An address given in place of a command is not shown whole: its last part is a secret."""
        _, _, err = self.ask("pb://abcdefgh@tcp:localhost:5333/s3cr3tpart")
        self.assertNotIn("s3cr3tpart", err)


class HonestTypesTests(SynchronousTestCase):
    def test_ignores(self) -> None:
        """Every `type: ignore` names its code with a reason behind it, of which there are at most 20."""
        ignores = [each for top in ("nodeset", "tests", "examples") for each in listIgnores(ROOT / top)]
        self.assertEqual([where for where, comment in ignores if not hasReason(comment)], [])
        self.assertLessEqual(len(ignores), MOST_IGNORES)

    def test_ignoresSeen(self) -> None:
        """An ignore without code or reason is told from one that has both, from text that only speaks of one."""
        ignore = "# type: " + "ignore"
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "a.py").write_text(f"x = '{ignore}'\ny = 1  {ignore}\n", "utf-8")
        self.assertEqual(listIgnores(folder), [("a.py:2", ignore)])
        for bare in ("", "[misc]", "[misc] # ", "[]  # no code given", "  # no code given"):
            self.assertFalse(hasReason(ignore + bare), bare)
        self.assertTrue(hasReason(f"{ignore}[misc, no-any-return]  # zope has no types"))

    def test_noExemptions(self) -> None:
        """mypy checks every module of ours, strictly: no override, exclusion or comment lets one off."""
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
        self.assertIs(settings["strict"], True)
        self.assertLessEqual({"nodeset", "tests", "examples"}, set(settings["packages"]))
        self.assertEqual({"exclude", "ignore_errors", "follow_imports", "files", "modules"} & set(settings), set())
        for override in settings.get("overrides", []):
            modules = override["module"] if isinstance(override["module"], list) else [override["module"]]
            for module in modules:
                self.assertNotIn(module.partition(".")[0], {"nodeset", "tests", "examples", "*"})
        self.assertEqual([name for name in ("mypy.ini", ".mypy.ini", "setup.cfg") if (ROOT / name).exists()], [])
        for top in ("nodeset", "tests", "examples"):
            self.assertEqual([where for where, text in listComments(ROOT / top) if text.startswith("# mypy:")], [])


def listComments(top: Path) -> Iterator[tuple[str, str]]:
    """Every comment in the modules below a folder, with where it stands."""
    for path in sorted(top.rglob("*.py")):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
            if token.type == tokenize.COMMENT:
                yield f"{path.relative_to(top)}:{token.start[0]}", token.string


def listIgnores(top: Path) -> list[tuple[str, str]]:
    return [(where, comment) for where, comment in listComments(top) if re.search(r"#\s*type:\s*ignore", comment)]


def hasReason(comment: str) -> bool:
    return re.search(r"#\s*type:\s*ignore\[[a-z][a-z, -]*\]\s+#\s*\S+\s+\S", comment) is not None


TRIAL_OUTPUT = """\
tests.test_a
  ATests
    test_one ...                                                           [OK]
    test_two ...                                                      [SKIPPED]

===============================================================================
[SKIPPED]
no such kernel

tests.test_a.ATests.test_two
tests.test_a.ATests.test_three
===============================================================================
[TODO]
Reason: 'later'
Traceback (most recent call last):
Failure: builtins.Exception: x

tests.test_a.ATests.test_four
===============================================================================
[FAIL]
Traceback (most recent call last):
Failure: x

tests.test_a.ATests.test_five
-------------------------------------------------------------------------------
Ran 6 tests in 0.092s

FAILED (skips=2, expectedFailures=1, failures=1, successes=2)
"""


class OneCommandTests(SynchronousTestCase):
    part = run.Part("trial", [], is_trial=True)

    def test_counts(self) -> None:
        """The last line of `make test` says what trial counted; a suite that counted nothing failed."""
        counts = run.readCounts(TRIAL_OUTPUT)
        self.assertEqual((counts["successes"], run.countBad(counts)), (2, 1))
        self.assertEqual(run.countBad(run.readCounts("Traceback ...\nPASSED by\n")), 1)
        self.assertEqual(run.readCounts("PASSED (successes=12)\n")["successes"], 12)

    def test_skips(self) -> None:
        """A test that was skipped, or expected to fail, is a failure unless CONTRIBUTING.md lists it with a reason."""
        names = [f"tests.test_a.ATests.test_{number}" for number in ("two", "three", "four")]
        self.assertEqual(run.readPassedOver(TRIAL_OUTPUT), names)
        page = f"## Tests\n- `{names[2]}`: no\n## Skips\n- `{names[0]}`: needs a kernel\n- `{names[1]}`:\n\n## More\n"
        self.assertEqual(run.readListed(page), {names[0]})
        complaints = run.judge(self.part, 0, TRIAL_OUTPUT.replace("failures=1, ", ""), {names[0]})
        self.assertEqual([each.split()[0] for each in complaints], names[1:])

    def test_verdict(self) -> None:
        """A part fails when it exits non-zero, hangs, passes no test, or has a failure that its exit code hides."""
        passed = "PASSED (successes=1)\n"
        self.assertEqual(run.judge(self.part, 0, passed, set()), [])
        self.assertEqual(len(run.judge(self.part, 1, passed, set())), 1)
        self.assertEqual(len(run.judge(self.part, None, "", set())), 1)
        self.assertEqual(run.judge(self.part, 0, "PASSED (skips=0)\n", set()), ["no test passed"])
        self.assertEqual(run.judge(self.part, 0, "PASSED (unexpectedSuccesses=1, successes=1)\n", set()), ["1 failed"])

    def test_leftovers(self) -> None:
        """A process that outlives its part is ended, then named, without the secret in its arguments."""
        self.patch(run, "GRACE", 0.05)
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        program = "import signal; print(flush=True); signal.pause()"
        command = [sys.executable, "-c", program, "pb://tub@tcp:h:1/s3cr3t"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            [named] = run.endLeftovers(folder)
        self.assertIn(str(child.pid), named)
        self.assertNotIn("s3cr3t", named)
