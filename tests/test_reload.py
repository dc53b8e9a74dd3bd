"""Services with a file of settings, as real processes: SIGHUP, --print-config, what twistd is told."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.commands import DISPATCHER, FURL, NODE, PATIENCE, TWISTD, CommandCase, kill


class ReloadTests(CommandCase):
    """kill -HUP."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.home / "x.toml"

    def hang(self, child: subprocess.Popen[str], text: str, part: str) -> str:
        """Write the file, send SIGHUP; the line with this part."""
        self.file.write_text(text)
        child.send_signal(signal.SIGHUP)
        return self.awaitLine(child, part)

    def test_reload(self) -> None:
        """A broken file changes nothing, a good one what can be changed; the rest is said to want a restart."""
        self.file.write_text("loglevel = 'warn'\n[dispatcher]\nmax-nodes = 5\n")
        child = self.spawn(*DISPATCHER, "-n", "--listen", "localhost:0", "--config", "x.toml")
        # At level warn it does not say that it listens.
        self.awaitFile(self.home / "state" / "localhost_5333_dispatcher.furl")
        line = self.hang(child, "loglevel = 'debug'\nmax-nodes = \n", "[ERROR]")
        self.assertIn(f"the settings stay as they were: {self.file}:2: this is no TOML", line)
        line = self.hang(child, "loglevel = 'debug'\nmax-nodes = 0\n", "[ERROR]")
        self.assertIn(f"{self.file}:2: max-nodes: 0 is no number", line)
        self.file.unlink()
        child.send_signal(signal.SIGHUP)
        self.assertIn(f"{self.file} cannot be read (No such file or directory)", self.awaitLine(child, "[ERROR]"))
        line = self.hang(child, "loglevel = 'debug'\nmax-nodes = 7\nsite = 'x'\nlisten = 'y'", "loglevel")
        self.assertIn("loglevel is 'debug' now, it was 'warn'", line)
        self.awaitLine(child, "max-nodes is 7 now, it was 5")
        self.awaitLine(child, "site stays 'localhost' until a restart, which will make it 'x'")
        # Now it logs at level debug; an option wins over the file, so nothing is said of listen.
        line = self.hang(child, "loglevel = 'debug'\nmax-nodes = 7", "no setting changed")
        self.assertEqual(self.stop(child), 0)

    def test_whoNamedIt(self) -> None:
        """A file that cannot be read any more is blamed on who named it: the variable, whose path was from where we started."""
        (self.home / "elsewhere").mkdir()
        self.file.write_text("rundir = 'elsewhere'\n")
        child = self.spawn(*DISPATCHER, "-n", "--listen", "localhost:0", NODESET_CONFIG="x.toml")
        self.awaitLine(child, "listening on")
        self.hang(child, "rundir = 'elsewhere'\nmax-nodes = 7\n", "max-nodes is 7 now")
        self.file.unlink()
        child.send_signal(signal.SIGHUP)
        self.assertIn(f"$NODESET_CONFIG: {self.file} cannot be read", self.awaitLine(child, "[ERROR]"))
        self.assertEqual(self.stop(child), 0)

    def test_rotated(self) -> None:
        """A daemon whose log was moved away, as logrotate does, goes on in a new one after SIGHUP."""
        self.file.write_text("logfile = 'bus.log'\npidfile = 'bus.pid'\n")
        code, out, err = self.ask(*DISPATCHER, "--listen", "localhost:0", "--config", "x.toml")
        self.assertEqual((code, err), (0, ""), out)
        log = self.home / "bus.log"
        self.awaitFile(self.home / "bus.pid")
        pid = int((self.home / "bus.pid").read_text())
        self.addCleanup(kill, pid)
        self.awaitText(log, "listening on")
        log.rename(self.home / "bus.log.1")
        os.kill(pid, signal.SIGHUP)
        self.awaitText(log, "was read again: no setting changed")
        self.file.write_text("logfile = 'bus.log'\npidfile = 'bus.pid'\nloglevel = 'loud'\n")
        os.kill(pid, signal.SIGHUP)
        self.awaitText(log, f"the settings stay as they were: {self.file}:3: loglevel: 'loud'")
        os.kill(pid, signal.SIGTERM)
        self.awaitText(log, "stopped")
        self.assertNotIn("received SIGTERM", (self.home / "bus.log.1").read_text())

    def test_terminal(self) -> None:
        """A service in the foreground reads its file again at SIGHUP, and ends when its terminal is closed."""
        program = (
            "import os, sys; os.setsid(); os.close(os.open(sys.argv[1], os.O_RDWR)); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        )
        ours, theirs = os.openpty()
        self.file.write_text("[dispatcher]\nlisten = 'localhost:0'\n")
        child = self.spawn("-c", program, os.ttyname(theirs), *DISPATCHER, "-n", "--config", "x.toml")
        os.close(theirs)
        self.awaitLine(child, "listening on")
        child.send_signal(signal.SIGHUP)
        self.awaitLine(child, "no setting changed")
        os.close(ours)
        self.awaitLine(child, "received SIGHUP, stopping")
        self.assertEqual(child.wait(PATIENCE), 0)

    def test_noFile(self) -> None:
        """Without a file SIGHUP opens the log anew, which it says, and ends nothing."""
        child = self.startDispatcher()
        child.send_signal(signal.SIGHUP)
        self.awaitLine(child, "the log is opened anew; there is no file of settings")
        self.assertEqual(self.stop(child), 0)

    def test_node(self) -> None:
        """A node takes its time-outs from the file, also at SIGHUP."""
        self.file.write_text("[node]\nlisten = 'localhost:0'\npublish-timeout = 5\n")
        child = self.spawn(*NODE, "-n", "--config", str(self.file))
        self.awaitLine(child, "localhost_5333_dispatcher.furl is not there yet")
        self.hang(child, "[node]\npublish-timeout = 0.5\nname = 'x'\n", "publish-timeout is 0.5 now, it was 5.0")
        self.assertIn("name stays as by default", self.awaitLine(child, "name"))
        self.assertEqual(self.stop(child), 0)

    def awaitFile(self, path: Path) -> None:
        """Until it is there, with something in it."""
        self.awaitText(path, "")

    def awaitText(self, path: Path, part: str) -> None:
        """Until the file has this part."""
        deadline = time.monotonic() + PATIENCE
        while not (path.exists() and path.stat().st_size and part in path.read_text()):
            self.assertLess(time.monotonic(), deadline, f"{path.name} has no {part!r}")
            time.sleep(0.02)


class PrintTests(CommandCase):
    """--print-config, with what else a start does with a file."""

    def test_print(self) -> None:
        """What is printed is a file by which the same is printed; nothing is started."""
        (self.home / "x.toml").write_text("[dispatcher]\nmax-nodes = 5\nadvertise = 'a:1, b:2'\n[node]\nname = 'me'")
        (self.home / "state").mkdir()
        words = [*DISPATCHER, "--print-config", "--config"]
        code, first, err = self.ask(*words, "x.toml", "--drain-timeout", "3")
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"max-nodes = 5  # {self.home}/x.toml:2".replace(" ", ""), first.replace(" ", ""))
        (self.home / "y.toml").write_text(first)
        code, second, err = self.ask(*words, "y.toml")
        self.assertEqual((code, err), (0, ""))
        meant = [
            [line.partition("  #")[0] for line in text.splitlines() if not line.startswith("#")] for text in (first, second)
        ]
        self.assertEqual(meant[0], meant[1])
        self.assertEqual(list((self.home / "state").iterdir()), [])

    def test_underTwistd(self) -> None:
        """Under twistd it is the same, save what twistd has options for itself: that has no effect, which it says."""
        (self.home / "x.toml").write_text("max-nodes = 5\nnodaemon = true\n")
        env = {"NODESET_CONFIG": "x.toml", "NODESET_DISPATCHER": FURL}
        code, out, err = self.ask(*TWISTD, "-n", "nodeset-dispatcher", "--print-config", **env)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("max-nodes = 5", out)
        code, out, err = self.ask(*TWISTD, "-n", "nodeset-node", "--print-config", **env)
        self.assertIn('# dispatcher-url = "pb://…"', out)
        self.assertNotIn("thesecret", out + err)
        child = self.spawn(*TWISTD, "-n", "nodeset-dispatcher", "--listen", "localhost:0", **env)
        self.assertIn("x.toml:2: nodaemon has no effect under twistd", self.awaitLine(child, "no effect"))
        self.awaitLine(child, "listening on")
        self.assertEqual(self.stop(child), 0)

    def test_wrong(self) -> None:
        """A file that is wrong ends either way to start a service with one line; so does a value that twistd cannot take."""
        (self.home / "x.toml").write_text("\nlisen = 'x'\n")
        for words in ([*DISPATCHER, "-n"], [*TWISTD, "-n", "nodeset-dispatcher"]):
            self.refuses(2, "x.toml:2: there is no setting 'lisen': did you mean 'listen'?", *words, NODESET_CONFIG="x.toml")
        (self.home / "x.toml").write_text("\numask = '9'\n")
        self.refuses(2, "x.toml:2: --umask '9' is no file mode mask", *DISPATCHER, "-n", "--config", "x.toml")
        self.refuses(2, "$NODESET_UID: --uid 'nobody knows' is no user", *DISPATCHER, "-n", NODESET_UID="nobody knows")
        self.refuses(2, "y.toml cannot be read", "-m", "nodeset", "nodes", NODESET_CONFIG="y.toml")
