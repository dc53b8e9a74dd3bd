"""`nodeset-processes` runs the programs of a file, as a process with children of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.commands import CommandCase

PROCESSES = ["-c", "from nodeset.cli.processes import main; main()"]

#: A chain, a loop of failures, one that takes its time to stop, one that is not there.
FILE = """\
[process.db]
command = "sh -c 'echo up; read line <fifo; echo serving; exec sleep 1000'"
ready = { log = "^serving$" }
start_seconds = 0.0
log = "db.log"

[process.migrate]
command = "sh -c 'test $WHERE = here'"
env = { WHERE = "here" }
depends_on = ["db"]

[process.web]
command = "sleep 1000"
depends_on = { db = "ready", migrate = "completed" }
numprocs = 2
start_seconds = 0.0

[process.fails]
command = "sh -c 'exit 3'"
backoff = 0.1
retries = 1

[process.slow]
command = ["PYTHON", "-c", \"\"\"
import signal, time
def end(number, frame):
    print('bye', flush=True)
    raise SystemExit(0)
signal.signal(signal.SIGTERM, end)
while True: time.sleep(60)\"\"\"]
log = "slow.log"
start_seconds = 0.0

[process.missing]
command = "no-such-program"

[process.never]
command = "sleep 1000"
depends_on = ["missing"]
"""


class RunTests(CommandCase):
    def write(self, text: str) -> Path:
        """The program file."""
        path = self.home / "nodeset.toml"
        path.write_text(text.replace("PYTHON", sys.executable), "utf-8")
        return path

    def awaitLines(self, child: subprocess.Popen[str], *parts: str) -> list[str]:
        """Wait for lines with all these parts, in whatever order; returns them in order."""
        assert child.stdout is not None
        missing, seen = list(parts), list[str]()
        for line in child.stdout:
            seen.append(line)
            missing = [part for part in missing if part not in line]
            if not missing:
                return seen
        self.fail(f"it ended before it said {missing}: {''.join(seen)}{child.stderr.read() if child.stderr else ''}")

    def test_run(self) -> None:
        """No dispatcher is there: each starts after what it needs; failures hurt nobody else; all stop in reverse order."""
        subprocess.run(["mkfifo", self.home / "fifo"], check=True)
        path = self.write(FILE)
        child = self.spawn(*PROCESSES, "-n", "nodeset.toml", "--loglevel", "debug")
        failed = "fails is FATAL: exit code 3; gave up"
        early = self.awaitLines(
            child, failed, "missing is FATAL: 'no-such-program' was not found", "never is WAITING", "slow is RUNNING"
        )
        self.assertEqual([line for line in early if "web-1 is STARTING" in line or "migrate is STARTING" in line], [])
        (self.home / "fifo").write_text("go\n")
        late = self.awaitLines(child, "web-1 is RUNNING", "web-2 is RUNNING")
        order = [line.split("] ")[-1].strip() for line in late if " is RUNNING" in line or "migrate is EXITED" in line]
        self.assertLess(order.index("db is RUNNING"), order.index("migrate is EXITED: exit code 0"))
        self.assertLess(order.index("migrate is EXITED: exit code 0"), order.index("web-1 is RUNNING"))

        path.write_text(path.read_text() + "\n[process.wrong]\ncomand = 'sleep 1'\n")
        child.send_signal(signal.SIGHUP)
        line = self.awaitLine(child, "the programs stay as they were")
        self.assertIn(f"nodeset.toml:{path.read_text().count(chr(10))}: [process.wrong] has no key 'comand'", line)
        self.assertIn("did you mean 'command'?", line)
        self.write(FILE.replace("sleep 1000", "sleep 2000", 1) + "\n[process.new]\ncommand = 'sleep 1000'\nstart_seconds = 0\n")
        child.send_signal(signal.SIGHUP)
        self.awaitLines(child, "added new; restarted db", "new is RUNNING", "db is STARTING")
        (self.home / "fifo").write_text("go\n")
        self.awaitLine(child, "db is RUNNING")

        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
        self.assertEqual((child.returncode, err), (0, ""), out)
        ended = [line.split("] ")[-1].split(" is ")[0] for line in out.splitlines() if " is STOPPED" in line]
        self.assertEqual(sorted(ended), ["db", "never", "new", "slow", "web-1", "web-2"], out)
        self.assertGreater(ended.index("db"), max(ended.index("web-1"), ended.index("web-2")))
        self.assertIn("all programs are stopped", out)
        self.assertEqual((self.home / "db.log").read_text(), "up\nserving\n" * 2)
        self.assertEqual((self.home / "slow.log").read_text(), "bye\n")

    def test_hurry(self) -> None:
        """Who will not stop is waited for; a second SIGTERM kills it."""
        stubborn = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
        )
        self.write(
            f"[process.deaf]\ncommand = ['PYTHON', '-c', \"{stubborn}\"]\nready = {{ log = 'deaf' }}\nstop_timeout = 1000"
        )
        child = self.spawn(*PROCESSES, "-n", "nodeset.toml")
        self.awaitLine(child, "1 program, 1 running")
        child.send_signal(signal.SIGTERM)
        self.awaitLine(child, "received SIGTERM, stopping")
        self.assertEqual(self.stop(child), 0)

    def test_check(self) -> None:
        """`--check` says what is wrong with the file, else with this machine, else that nothing is; it starts nothing."""
        self.write(
            "[process.a]\ncommand = 'sleep 1'\n[process.b]\ncommand = 'no-such-program'\ncwd = 'gone'\nlog = 'no/log'\n"
            "depends_on = ['a']"
        )
        code, out, err = self.ask(*PROCESSES, "--check", "nodeset.toml")
        self.assertEqual((code, err, out.count("\n")), (1, "", 4))
        self.assertIn("b: there is no directory", out)
        self.assertIn("b: 'no-such-program' was not found", out)
        self.assertIn(f"b: there is no directory '{self.home / 'no'}' for its log", out)
        self.assertIn("2 programs, 3 wrong", out)
        found = json.loads(self.ask(*PROCESSES, "--check", "--json", "nodeset.toml")[1])
        self.assertEqual((found["wrong"], [each["name"] for each in found["programs"]]), (3, ["a", "b"]))
        self.write("[process.a]\ncommand = 'sleep 1'\n")
        self.assertEqual(self.ask(*PROCESSES, "nodeset.toml", "--check"), (0, "1 program, nothing wrong\n", ""))
        self.write("[process.a]\ncommand = 'sleep 1'\ndepends_on = ['b']\n[process.b]\ncommand = 'sleep 1'\ndepends_on = ['a']")
        for words in (["--check"], ["-n"]):
            self.refuses(2, "a -> b -> a is a circle", *PROCESSES, *words, "nodeset.toml")
        self.refuses(2, "FILE is missing", *PROCESSES, "-n")
        for words in (["--check"], ["-n"]):
            self.refuses(2, "FILE: ", *PROCESSES, *words, "nowhere.toml")
        (self.home / "b.toml").touch()
        self.refuses(2, "'b.toml' is one FILE too many", *PROCESSES, "-n", "a.toml", "b.toml")
