"""What `make test-browser` runs: gets what is lacking, then the tests that need a browser, within a minute or two.

As for `make test` the last line is trial's counts; no process, no file may be left behind.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.run import ROOT, Outcome, Part, adoptOrphans, countBad, environment, readCounts, readTree, report, runParts

MODULES = ("tests.browser.page", "tests.browser.forms", "tests.browser.loss")
PACKAGES = ("playwright", "axe_playwright_python")


def getBrowser() -> None:
    """Debian's Chromium, by apt-get where we may. Raises SystemExit."""
    if shutil.which("chromium") is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit("make test-browser: there is no chromium here: install it first (Debian: apt-get install chromium)")
    print("installing chromium ...", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"]):
        done = subprocess.run(["apt-get", *words], env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"make test-browser: apt-get {words[0]} failed:\n{done.stdout}{done.stderr}")


def getPackages() -> None:
    """What the extra `browser` names. Raises SystemExit."""
    if all(importlib.util.find_spec(name) for name in PACKAGES):
        return
    print("installing the extra [browser] ...", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-q", "-e", ".[browser]"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"make test-browser: pip failed:\n{done.stdout}{done.stderr}")


def main() -> int:
    """Run them; 0 if every one passed, else 1."""
    os.chdir(ROOT)
    getBrowser()
    getPackages()
    adoptOrphans()
    before = readTree()
    with tempfile.TemporaryDirectory(prefix="nodeset-test-browser-") as name:
        temp = Path(name).resolve()
        command = [sys.executable, "-m", "twisted.trial", "--temp-directory", str(temp / "trial"), *MODULES]
        start = time.monotonic()
        [outcome] = runParts([Part("browser", command, is_trial=True)], temp, environment(temp), set())
        report("browser", time.monotonic() - start, outcome, sys.stdout)
        left = [path.name for path in temp.iterdir() if path.name.startswith("nodeset-browser-")]
    added = Outcome([f"left behind or changed: {line}" for line in (*left, *sorted(readTree() - before))], "")
    report("clean tree", 0.0, added, sys.stdout)
    counts = readCounts(outcome.output)
    print(f"{counts['successes']} passed, {countBad(counts)} failed")
    return 1 if outcome.complaints or added.complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
