"""What `make test-api` runs: schemathesis against a real dispatcher with a real bridge, three minutes at most.

It makes requests of all kinds from openapi.json, right ones and wrong ones, then looks at the answers: never a 5xx for the
client's fault, only what the document says. The exit code is its own, or 1 when an error was logged.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
#: Seconds of trying; until all must be up; until all must be down.
BUDGET, PATIENCE, GRACE = 120, 30.0, 10.0
#: Endless by design, tried elsewhere.
STREAMS = ("subscribe", "socket", "legacySubscribeGet", "legacySubscribePost")

NODE = """
from typing import Any
from twisted.internet import reactor
from nodeset import Node, expose

class Calc(Node):
    @expose
    def count(self, *args: Any, **kwargs: Any) -> int:
        return len(args) + len(kwargs)

calc = Calc(name="calc")
calc.startService()
reactor.addSystemEventTrigger("before", "shutdown", calc.stopService)
reactor.run()
"""


@contextmanager
def running(home: Path, name: str, *words: str) -> Iterator[Path]:
    """A process with its log, which ends with the block."""
    log = home / f"{name}.log"
    env = {key: value for key, value in os.environ.items() if not key.startswith("NODESET_")}
    env |= {"NODESET_HOME": str(home / "state"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        child = subprocess.Popen([sys.executable, *words], cwd=home, env=env, stdout=out, stderr=out)
    try:
        yield log
    finally:
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def find(log: Path, pattern: str) -> str:
    """The first group of `pattern`, once it is in the log."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = re.search(pattern, log.read_text("utf-8", "replace"))
        if found is not None:
            return found[1]
        time.sleep(0.05)
    raise SystemExit(f"test-api: no {pattern!r} within {PATIENCE:g} s in {log.name}:\n{log.read_text()}")


def awaitReady(url: str) -> None:
    """Until the bridge has its dispatcher, that one its node."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with urlopen(Request(f"{url}v1/calls/calc/count", method="POST"), timeout=5):
                return
        except URLError:
            time.sleep(0.1)
    raise SystemExit(f"test-api: calc could not be called within {PATIENCE:g} s")


def main() -> int:
    """Try it; returns the exit code."""
    script = Path(sys.executable).parent / "schemathesis"
    if not script.exists():
        raise SystemExit("test-api: schemathesis is not installed: say pip install -e '.[all,test,fuzz]'")
    with tempfile.TemporaryDirectory(prefix="nodeset-api-") as directory:
        home = Path(directory)
        command = "from nodeset.cli.{} import main; main()"
        with running(home, "dispatcher", "-c", command.format("dispatch"), "-n", "--listen", "127.0.0.1:0") as log:
            furl = find(log, r"address is in (\S+)")
            with (
                running(home, "web", "-c", command.format("web"), "-n", "--port", "0", "--dispatcher-url", furl) as web,
                running(home, "calc", "-c", f"import os; os.environ['NODESET_DISPATCHER'] = {furl!r}\n{NODE}"),
            ):
                url = find(web, r"HTTP is served at (\S+)")
                awaitReady(url)
                words = [f"--exclude-operation-id={name}" for name in STREAMS]
                done = subprocess.run(
                    [
                        str(script),
                        f"--config-file={ROOT / 'tests' / 'schemathesis.toml'}",
                        "run",
                        f"{url}openapi.json",
                        f"--max-time={BUDGET}",
                        "--request-timeout=20",
                        "--continue-on-failure",
                        *words,
                        *sys.argv[1:],
                    ],
                    cwd=home,
                    check=False,
                )
            logged = re.findall(r"(?m)^.*\[(?:ERROR|CRITICAL)\].*$|^.*Traceback.*$", web.read_text("utf-8", "replace"))
    for line in logged[:20]:
        print(f"test-api: the bridge logged: {line}")
    return done.returncode or bool(logged)


if __name__ == "__main__":
    sys.exit(main())
