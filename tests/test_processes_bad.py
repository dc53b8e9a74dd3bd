"""Bad input and faults, at the commands that watch programs: a clear line each, other programs untouched, no loss unmarked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from tests.commands import NODESET, PATIENCE, CommandCase

#: What `sitecustomize` does in a child: its wall clock is off by so many seconds as the file `jump` says.
JUMPY = """
import time
_time, _time_ns = time.time, time.time_ns

def offset():
    try:
        with open('jump') as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0

time.time = lambda: _time() + offset()
time.time_ns = lambda: _time_ns() + offset() * 10**9
"""
DAY = 86_400


class BadCase(CommandCase):
    """A directory in which the commands run, with programs of its own."""

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.home / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def until(self, condition: Callable[[], object], what: str = "") -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            if time.monotonic() > deadline:
                self.fail(f"waited in vain: {what}")
            time.sleep(0.01)
        return found

    def read(self, name: str) -> str:
        path = self.home / name
        return path.read_text("utf-8") if path.exists() else ""

    def lines(self, name: str) -> list[str]:
        """Those that are whole."""
        return self.read(name).rpartition("\n")[0].splitlines()

    def begin(self, *words: str, log: str, **env: str) -> subprocess.Popen[str]:
        """Start `nodeset words...`, what it says in a file, so that nobody need read it."""
        with (self.home / log).open("ab") as sink:
            child = subprocess.Popen(
                [sys.executable, *NODESET, *words],
                cwd=self.home,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                text=True,
            )

        def end() -> None:
            child.kill()
            child.wait()

        self.addCleanup(end)
        return child


class StartTests(BadCase):
    def test_refused(self) -> None:
        """What cannot be run, or is no sound program file: one line that names the wrong value, the exit code for it."""
        self.write("plain", "no program\n")
        self.write("script", "#!/no/such/interpreter\n", 0o755)
        self.write("signal.toml", '[process.a]\ncommand = "true"\nstop_signal = "FOO"\n')
        self.write("key.toml", '[process.a]\ncommand = "true"\nstop_signl = "TERM"\n')
        self.write(
            "circle.toml", "".join(f'[process.{a}]\ncommand = "true"\ndepends_on = "{b}"\n' for a, b in ("ab", "bc", "ca"))
        )
        self.write(
            "gone.toml", '[process.a]\ncommand = "true"\ncwd = "nowhere"\n[process.b]\ncommand = "nothing-of-this-name"\n'
        )
        cases: list[tuple[int, tuple[str, ...], tuple[str, ...]]] = [
            (127, ("nothing-of-this-name",), ("open", "-g", "0", "nothing-of-this-name")),
            (127, ("interpreter",), ("open", "-g", "0", "./script")),
            (126, ("./plain", "permission"), ("open", "-g", "0", "./plain")),
            (2, ("no endpoint", "ftp://x"), ("open", "-e", "ftp://x", "true")),
            (2, ("signal.toml:3", "'FOO'"), ("processes", "--check", "signal.toml")),
            (2, ("key.toml:3", "'stop_signl'", "did you mean 'stop_signal'"), ("processes", "--check", "key.toml")),
            (2, ("circle.toml:3", "a -> b -> c -> a"), ("processes", "--check", "circle.toml")),
            (2, ("missing.toml",), ("processes", "--check", "missing.toml")),
            (1, ("nowhere/x.log",), ("center", "-l", "nowhere/x.log")),
            (2, ("no endpoint", "nonsense"), ("center", "-e", "nonsense")),
        ]
        answers = self.runCases([{"words": words} for *_, words in cases])
        for (code, parts, words), (found, out, err) in zip(cases, answers, strict=True):
            self.assertEqual((found, out, err.count("\n")), (code, "", 1), (words, err))
            for part in parts:
                self.assertIn(part, err, words)
        [(code, out, err)] = self.runCases([{"words": ["processes", "--check", "gone.toml"]}])
        self.assertEqual((code, len(out.splitlines())), (1, 3), out + err)
        self.assertIn("a: there is no directory", out)
        self.assertIn("b: 'nothing-of-this-name' was not found", out)

    def test_directoryGone(self) -> None:
        """A program runs as it would without us in a directory that is gone, although no center can be found from there."""
        gone = self.home / "gone"
        gone.mkdir()
        script = f'rmdir {gone}; "$@" sh -c "echo on; exit 5"; echo $?'
        command = ["sh", "-c", script, "sh", sys.executable, *NODESET, "open", "-g", "0"]
        done = subprocess.run(command, cwd=gone, env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.stdout, "on\n5\n", done.stderr)


class SupervisorTests(BadCase):
    def test_others(self) -> None:
        """Programs that cannot start, a full disk under a log, a bad file at SIGHUP, a clock that jumps: the others run on."""
        self.write("plain", "no program\n")
        site = self.home / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(JUMPY)
        (self.home / "gone").mkdir()
        (self.home / "gone").rmdir()
        programs = self.write(
            "programs.toml",
            "\n".join(
                [
                    *('[process.missing]\ncommand = "nothing-of-this-name"', '[process.plain]\ncommand = "./plain"'),
                    '[process.away]\ncommand = "true"\ncwd = "gone"',
                    '[process.full]\ncommand = ["sh", "-c", "echo full; echo $$ >> full.pid; exec sleep 600"]',
                    'log = "/dev/full"',
                    '[process.good]\ncommand = ["sh", "-c", "echo $$ >> good.pid; exec sleep 600"]',
                    '[process.often]\ncommand = ["sh", "-c", "date +%s >> often.log"]',
                    'restart = "always"\nstart_seconds = 0\nbackoff = 0.1\nbackoff_max = 0.1\ncrash_limit = 1000',
                ]
            ),
        )
        path = os.pathsep.join((str(site), self.env["PYTHONPATH"]))
        boss = self.begin("processes", "-n", programs.name, log="boss.log", PYTHONPATH=path)
        self.until(lambda: len(self.lines("often.log")) > 1, "the first restart")
        self.until(lambda: self.read("boss.log").count(" is FATAL: ") == 3, "three that are FATAL")
        self.until(lambda: "No space left" in self.read("boss.log"), "a full disk")
        pids = self.until(lambda: self.lines("good.pid"), "good"), self.until(lambda: self.lines("full.pid"), "full")

        sound = programs.read_text()
        programs.write_text(sound + "\nno_such_key = 1\n")
        boss.send_signal(signal.SIGHUP)
        self.until(lambda: "'no_such_key'" in self.read("boss.log"), "the key at SIGHUP")
        for jump in (-DAY, DAY):
            before = len(self.lines("often.log"))
            self.write("jump", str(jump))
            self.until(lambda: len(self.lines("often.log")) > before + 3, f"restarts after a jump by {jump} s")  # noqa: B023

        said = self.read("boss.log")
        for name, why in (("missing", "nothing-of-this-name"), ("plain", "permission denied"), ("away", "gone")):
            [line] = [line for line in said.splitlines() if f"{name} is FATAL" in line]
            self.assertIn(why, line)
        self.assertEqual(said.count("No space left"), 1, said)
        self.assertNotIn("Traceback", said)
        self.assertEqual((self.lines("good.pid"), self.lines("full.pid")), pids)
        boss.send_signal(signal.SIGTERM)
        self.assertEqual(boss.wait(PATIENCE), 0, self.read("boss.log"))
        for [pid] in pids:
            self.assertFalse(Path(f"/proc/{pid}").exists())


class CenterTests(BadCase):
    def center(self, log: str, *words: str) -> subprocess.Popen[str]:
        center = self.begin("center", *words, log=log)
        self.until(lambda: "listening on" in self.read(log) or center.poll() is not None, "a center")
        self.assertIsNone(center.poll(), self.read(log))
        return center

    def events(self, name: str) -> list[list[Any]]:
        return [literal_eval(line) for line in self.lines("nerve.log") if literal_eval(line)[0] == name]

    def test_killed(self) -> None:
        """A dead socket is replaced, a living one refused; a center killed in the midst of a run costs no event of it."""
        stale = socket.socket(socket.AF_UNIX)
        with chdir(self.home):  # a relative name, since trial's directories are too deep for a socket's whole path
            stale.bind("nerve.sock")
        stale.close()
        first = self.center("first.log")
        code, out, err = self.ask(*NODESET, "center")
        self.assertEqual((code, out, err.count("\n")), (1, "", 1), err)
        self.assertIn(str(first.pid), err)

        await_ = "while ! [ -e {} ]; do sleep 0.02; done"
        steps = ("seq 0 49", await_.format("dead"), "seq 50 99; : > gap", await_.format("back"), "seq 100 149; exit 5")
        script = "; ".join(steps)
        job = self.begin("open", "-i", "job", "-g", "20", "sh", "-c", script, log="job.log")
        self.until(lambda: len(self.events("job")) > 1, "the job's first lines")
        first.kill()
        first.wait()
        self.write("dead", "")
        self.until(lambda: (self.home / "gap").exists(), "what it writes to no center")
        self.center("second.log")
        self.write("back", "")
        self.assertEqual(job.wait(PATIENCE), 5)
        lines = [f"{n}\n" for n in range(150)]
        self.assertEqual(self.read("job.log"), "".join(lines))
        events = self.until(lambda: self.events("job")[-1][1] == "return" and self.events("job"), "the job's end")
        self.assertEqual((events[0][1], events[-1][1:]), ("start", ["return", 5]))
        self.assertEqual("".join(data for _, kind, data, *_ in events[1:-1]), "".join(lines))

    def test_fullDisk(self) -> None:
        """A center whose log's disk is full says so once; programs go on, their watchers hear of no error."""
        center = self.center("center.log", "-l", "/dev/full")
        answer = self.ask(*NODESET, "open", "-g", "20", "sh", "-c", "echo on; exit 5")
        self.assertEqual(answer, (5, "on\n", ""))
        self.until(lambda: "No space left" in self.read("center.log"), "what is wrong")
        self.assertEqual(self.read("center.log").count("No space left"), 1)
        self.assertEqual(self.stop(center), 0)
        self.assertIn("are lost", self.read("center.log"))
