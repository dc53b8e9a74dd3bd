"""nodeset-open: the program runs as it would without us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.opening import words
from tests.commands import PATIENCE, CommandCase

OPEN = ["-c", "from nodeset.cli.open import main; main()"]
CENTER = ["-c", "from nodeset.cli.center import main; main()"]

#: Everything that a program can see of how it was started.
DUMP = """
import json, os, resource, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
files = sorted(os.listdir("/proc/self/fd"), key=int)[:-1]
print(json.dumps({
    "status": {k: status[k] for k in ("SigIgn", "SigBlk", "SigCgt", "Umask", "Groups", "CapEff", "NoNewPrivs")},
    "files": files,
    "third": os.read(3, 9).decode() if "3" in files else None,
    "environ": open("/proc/self/environ", "rb").read().decode("latin-1"),
    "argv": sys.argv,
    "cwd": os.getcwd(),
    "limits": [resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")],
    "nice": os.nice(0),
    "affinity": sorted(os.sched_getaffinity(0)),
    "oom": open("/proc/self/oom_score_adj").read(),
    "session": os.getsid(0) == os.getsid(int(sys.argv[1])),
    "group": os.getpgrp() == os.getpgid(int(sys.argv[1])),
}), file=open(sys.argv[2], "w"))
"""


class WordTests(SynchronousTestCase):
    """What the words of a call mean."""

    def test_optionsEnd(self) -> None:
        """The first word that is no option is the program; what follows is its own, as it is what follows `--`."""
        call = words.read(["-i", "me", "-p", "1", "ls", "-e", "--tty"])
        self.assertEqual((call.command, call.identity, call.chosen), (["ls", "-e", "--tty"], "me", {"ping-interval": "1"}))
        self.assertEqual(words.read(["--keep", "--", "-x", "--"]).command, ["-x", "--"])

    def test_sent(self) -> None:
        """What is sent is out with err, unless one of -I, -O, -E is given: then only those; -A is all."""
        sent = {"": (True, True), "-O": (True, False), "-E": (False, True), "-I": (False, False), "-OE": (True, True)}
        sent |= {"-A": (True, True), "-IA": (True, True)}
        for option, expected in sent.items():
            call = words.read([*([option] if option else []), "true"])
            self.assertEqual((call.out, call.err), expected, option)

    def test_bad(self) -> None:
        """What cannot be is said in one line that says what to do."""
        cases = {
            (): "a command is missing",
            ("-c",): "Must provide a config file following -c or --config option.",
            ("--endpont", "x", "ls"): "did you mean --endpoint?",
            ("-i", "a b", "ls"): "'a b' cannot name a program: use 1 to 64 of A-Z",
            ("-l", "soon", "ls"): "--poll-interval: 'soon' is no time",
        }
        for given, part in cases.items():
            error = self.assertRaises(words.BadWords, words.read, given)
            self.assertIn(part, str(error))
            self.assertNotIn("\n", str(error))

    def test_plain(self) -> None:
        """The program is started at once only if what was chosen needs no other look."""
        plain = [[], ["-e", "ipc://nerve.sock"], ["-e", "tcp://localhost:4444"], ["-p", "0.5", "--restart", "always"]]
        odd = [["-e", "nerve.sock"], ["-p", "soon"], ["-s", "-1"], ["--restart", "often"], ["-c", "x.toml"], ["-w", "inf"]]
        odd += [["--dispatcher-url", "pbu://x:1/y"], ["--furl", "x"], ["-e", "tcp://[::1]:4444"]]
        for given in plain:
            self.assertTrue(words.isPlain(words.read([*given, "ls"]), {"NODESET_HOME": "x"}), given)
        for given in odd:
            self.assertFalse(words.isPlain(words.read([*given, "ls"]), {}), given)
        self.assertFalse(words.isPlain(words.read(["ls"]), {"NODESET_LINGER": "9"}))

    def test_help(self) -> None:
        """--help names every option, and fits a terminal."""
        text = words.HELP.format(called="nodeset-open")
        for short, long, _ in words._OPTIONS:
            self.assertIn(f"--{long}", text)
            self.assertIn(f"-{short}", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 128)


class OpenCase(CommandCase):
    """Runs programs by nodeset-open."""

    def begin(self, *words: str, via: str = "", **more: Any) -> subprocess.Popen[bytes]:
        """Start `nodeset-open words...`, or it in the shell commands `via` instead of `"$@"`; it is gone after the test."""
        command = [sys.executable, *OPEN, *words]
        if via:
            command = ["bash", "-c", via, "bash", *command]
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        child = subprocess.Popen(command, cwd=self.home, env=self.env, **given)

        def end() -> None:
            child.kill()
            child.communicate()

        self.addCleanup(end)
        return child

    def awaitFile(self, name: str) -> str:
        """What is in this file of the directory, once there is something."""
        path, deadline = self.home / name, time.monotonic() + PATIENCE
        while not path.exists() or not path.read_text():
            self.assertLess(time.monotonic(), deadline, f"{name} never came")
            time.sleep(0.01)
        return path.read_text()


class TransparencyTests(OpenCase):
    """The program cannot tell."""

    def test_sees(self) -> None:
        """Environment, files, working directory, signals, limits, umask, group: all as without us, however we were started."""
        (self.home / "three").write_text("3rd")
        cases = [
            'exec "$@"',
            'umask 027; ulimit -n 300; ulimit -c 0; trap "" INT HUP USR1; exec "$@" 3<three 7>seven',
            'exec env -i PATH="$PATH" B= PYTHONPATH="$PYTHONPATH" NODESET_HOME="$NODESET_HOME" nice -n 3 "$@" <&- 2>/dev/null',
            'exec "$@" >&- 2>&-',
        ]
        script = [sys.executable, "-I", "-S", "-c", DUMP]
        running = []
        for number, via in enumerate(cases):
            for kind, opened in (("bare", []), ("watched", [sys.executable, *OPEN, "-g", "0", "-i", "x"])):
                # The script learns who its supervisor is, whose session and group should be its own.
                line = via.replace('"$@"', f'"$@" $$ {kind}{number}')
                command = ["bash", "-c", line, "bash", *opened, *script]
                running.append(subprocess.Popen(command, cwd=self.home, env=self.env, stdin=subprocess.DEVNULL))
        for child in running:
            self.addCleanup(child.wait, PATIENCE)
        self.assertEqual([child.wait(PATIENCE) for child in running], [0] * len(running))
        for number, via in enumerate(cases):
            bare, watched = (json.loads((self.home / f"{kind}{number}").read_text()) for kind in ("bare", "watched"))
            bare["argv"][1:] = watched["argv"][1:] = []
            self.assertEqual(watched, bare, via)
        self.assertEqual(bare["files"], ["0"])

    def test_ends(self) -> None:
        """Its exit code is ours, 128 and the number of the signal that ended it; 127 or 126 is what cannot be run."""
        (self.home / "plain").write_text("no program")
        cases = {
            ("sh", "-c", "exit 7"): (7, ""),
            ("sh", "-c", "kill -9 $$"): (137, ""),
            ("nosuch-program",): (127, "nodeset-open: 'nosuch-program' was not found: no directory in PATH has a program"),
            ("no such",): (127, "nodeset-open: 'no such' was not found: no directory in PATH has a program of this name; are"),
            ("/etc",): (126, "nodeset-open: '/etc' cannot be run: it is a directory"),
            ("./plain",): (126, "nodeset-open: './plain' cannot be run: permission denied; is it an executable file"),
        }
        children = [self.begin("-g", "0", *command) for command in cases]
        nowhere = self.begin("-g", "0", "true", via='mkdir x; cd x; rmdir ../x; env -u HOME -u NODESET_HOME "$@"; echo $?')
        piped = self.begin("-g", "0", "yes", via='"$@" | head -n 1; echo ${PIPESTATUS[@]}')
        for child, (command, (code, said)) in zip(children, cases.items(), strict=True):
            out, err = child.communicate(timeout=PATIENCE)
            self.assertEqual((child.returncode, out), (code, b""), command)
            self.assertEqual(err.decode()[: len(said) or None], said)
        self.assertEqual(piped.communicate(timeout=PATIENCE), (b"y\n141 0\n", b""))
        self.assertEqual(nowhere.communicate(timeout=PATIENCE), (b"0\n", b""))

    def test_streams(self) -> None:
        """Bytes go both ways as they are, at once, stdout and stderr apart; the end of the input is the program's too."""
        talk = "printf 'who? '; read name; printf \"no $name\" >&2; exec cat"
        child = self.begin("-g", "0", "sh", "-c", talk, stdin=subprocess.PIPE)
        assert child.stdin is not None and child.stdout is not None
        self.assertEqual(os.read(child.stdout.fileno(), 100), b"who? ")
        data = os.urandom(300_000)
        out, err = child.communicate(b"body\n" + data, timeout=PATIENCE)
        self.assertEqual((out == data, err, child.returncode), (True, b"no body", 0))

    def test_order(self) -> None:
        """Who has stdout and stderr in one place sees them in the order in which they were written."""
        talk = "for i in 1 2 3 4 5 6 7 8 9; do echo out; echo err >&2; done"
        child = self.begin("-g", "0", "sh", "-c", talk, stderr=subprocess.STDOUT)
        self.assertEqual(child.communicate(timeout=PATIENCE)[0], b"out\nerr\n" * 9)

    def test_ourEnds(self) -> None:
        """When the program closes its stdout, whoever reads ours is told so at once; so is who writes to our stdin."""
        child = self.begin("sh", "-c", "exec <&- >&-; echo gone >gone; exec sleep 60", stdin=subprocess.PIPE)
        assert child.stdin is not None and child.stdout is not None
        self.assertEqual(child.stdout.read(), b"")
        self.awaitFile("gone")
        deadline = time.monotonic() + PATIENCE
        with self.assertRaises(BrokenPipeError):
            while time.monotonic() < deadline:
                os.write(child.stdin.fileno(), b"x")
                time.sleep(0.01)
        self.assertIs(child.poll(), None)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(PATIENCE), 143)

    def test_fullDisk(self) -> None:
        """When our stdout takes no more, the program is told as by a pipe, and we say why."""
        child = self.begin("-g", "0", "yes", stdout=os.open("/dev/full", os.O_WRONLY))
        _, err = child.communicate(timeout=PATIENCE)
        self.assertEqual((child.returncode, err), (141, b"nodeset-open: stdout takes no more: No space left on device\n"))


class SignalTests(OpenCase):
    """Who signals us means the program."""

    def test_passed(self) -> None:
        """A signal comes to it once, as it is; with -w inf it alone decides what that means."""
        listen = "trap 'echo usr1' USR1; trap 'echo int; exit 4' INT; echo ready >up; while :; do sleep 0.05; done"
        child = self.begin("-g", "0", "-w", "inf", "bash", "-c", listen)
        self.awaitFile("up")
        for number in (signal.SIGUSR1, signal.SIGINT):
            child.send_signal(number)
            if number == signal.SIGUSR1:
                assert child.stdout is not None
                self.assertEqual(os.read(child.stdout.fileno(), 100), b"usr1\n")
        self.assertEqual(child.communicate(timeout=PATIENCE), (b"int\n", b""))
        self.assertEqual(child.returncode, 4)

    def test_stubborn(self) -> None:
        """Who does not mind is asked again each second, then killed with all that it started, after -w seconds."""
        stubborn = "trap 'echo again' TERM; trap '' INT; sleep 100 & echo $! >up; while :; do sleep 0.05; done"
        child = self.begin("-g", "0", "-w", "1.3", "bash", "-c", stubborn)
        pid = int(self.awaitFile("up"))
        begun = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=PATIENCE)
        self.assertEqual((child.returncode, out.count(b"again") >= 1), (137, True))
        self.assertGreater(time.monotonic() - begun, 1.2)
        self.assertFalse(Path(f"/proc/{pid}").exists())

    def test_stuck(self) -> None:
        """Who reads our stdout may have stopped to: we end all the same when we are asked to."""
        child = self.begin("-g", "0", "-w", "0.1", "sh", "-c", "echo up >up; exec yes")
        self.awaitFile("up")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(PATIENCE), 143)

    def test_killed(self) -> None:
        """When we are killed, so are the program and what it started; with --keep they live on, undisturbed."""
        talks = "(setsid sleep 100 & echo $! >{0}2); echo $$ >{0}; while :; do echo x; sleep 0.01; done"
        child = self.begin("sh", "-c", talks.format("a"))
        kept = self.begin("--keep", "sh", "-c", talks.format("b"))
        pids = [int(self.awaitFile(name)) for name in ("a", "a2", "b", "b2")]
        for each in (child, kept):
            each.kill()
            each.wait()
        deadline = time.monotonic() + PATIENCE
        while any(Path(f"/proc/{pid}").exists() for pid in pids[:2]):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        try:
            self.assertTrue(all(Path(f"/proc/{pid}").exists() for pid in pids[2:]))
        finally:
            for pid in pids[2:]:
                os.kill(pid, signal.SIGKILL)


class CenterTests(OpenCase):
    """A center is told."""

    def test_late(self) -> None:
        """What was written before there was a center is told when one comes: all, in order, any byte."""
        script = "printf 'a\\210'; echo no >&2; until test -e go; do sleep 0.02; done; echo b; kill -9 $$"
        child = self.begin("-g", "20", "-i", "hibob", "sh", "-c", script)
        assert child.stderr is not None
        self.assertEqual(os.read(child.stderr.fileno(), 10), b"no\n")
        self.spawn(*CENTER)
        self.awaitFile("nerve.log")
        (self.home / "go").touch()
        out, _ = child.communicate(timeout=PATIENCE)
        self.assertEqual((child.returncode, out), (137, b"a\x88b\n"))
        lines = (self.home / "nerve.log").read_text().splitlines()
        self.assertEqual(sorted(lines[1:3]), ["['hibob', 'err', 'no\\n']", "['hibob', 'out', 'a\\x88']"])
        self.assertRegex(lines[0], r"\A\['hibob', 'start', \d+\]\Z")
        self.assertEqual(lines[3:], ["['hibob', 'out', 'b\\n']", "['hibob', 'signal', -9]"])
