"""nodeset-node: a subscriber, a publisher, what becomes of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from tests.commands import NODE, PATIENCE, TWISTD, CommandCase, kill


class NodeTests(CommandCase):
    """With a dispatcher, or without."""

    def test_events(self) -> None:
        """A subscriber prints what a publisher sends, with the receipt on the other side; a node may be there first."""
        subscriber = self.spawn(*NODE, "-n", "subscriber", "--event", "a.*", "--count", "2", "--loglevel", "crit")
        self.startDispatcher()
        publish = [*NODE, "-n", "publisher", "--once", "--loglevel", "warn", "--event", "a.b", "--payload"]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            code, out, err = self.ask(*publish, '{"level": 1, "text": "x"}')
            if "matched 1" in out:
                break
            self.assertEqual((code, out, err), (0, "a.b: matched 0, delivered 0, dropped 0\n", ""))
        self.assertEqual(self.ask(*publish, "plain"), (0, "a.b: matched 1, delivered 1, dropped 0\n", ""))
        out, err = subscriber.communicate(timeout=PATIENCE)
        self.assertEqual((subscriber.returncode, err), (0, ""))
        self.assertEqual([json.loads(line) for line in out.splitlines()], [{"level": 1, "text": "x"}, {"payload": "plain"}])

    def test_streams(self) -> None:
        """What a subscriber prints is all that is on its stdout; its log is on stderr."""
        dispatcher = self.startDispatcher()
        subscriber = self.spawn(*NODE, "-n", "subscriber", "--event", "a", "--count", "1")
        while "matched 1" not in self.ask(*NODE, "-n", "publisher", "--once", "--event", "a", "--payload", "x")[1]:
            if subscriber.poll() is not None:
                self.fail(f"the subscriber ended with {subscriber.returncode}: {subscriber.communicate()}")
        out, err = subscriber.communicate(timeout=PATIENCE)
        self.assertEqual(out, '{"payload": "x"}\n')
        self.assertIn("is linked to its dispatcher", err)
        self.assertEqual([line for line in err.splitlines() if "[nodeset." not in line], [])
        self.assertEqual(self.stop(dispatcher), 0)

    def test_daemon(self) -> None:
        """A subscriber that became a daemon puts its events into its log."""
        self.startDispatcher()
        log = self.home / "sub.log"
        self.assertEqual(self.ask(*NODE, "subscriber", "--event", "a", "--logfile", str(log)), (0, "", ""))
        self.addCleanup(kill, int((self.home / "nodeset-node.pid").read_text()))
        deadline = time.monotonic() + PATIENCE
        while "matched 1" not in self.ask(*NODE, "-n", "publisher", "--once", "--event", "a", "--payload", "x")[1]:
            self.assertLess(time.monotonic(), deadline)
        while '{"payload": "x"}' not in log.read_text() and time.monotonic() < deadline:
            os.sched_yield()
        self.assertIn('{"payload": "x"}', log.read_text())

    def test_noDispatcher(self) -> None:
        """`publisher --once` waits for a dispatcher as long as --publish-timeout says, then tells why, with exit code 1."""
        words = [*NODE, "-n", "publisher", "--once", "--event", "a", "--publish-timeout", "0.5"]
        code, out, err = self.ask(*words)
        self.assertEqual((code, out, err.count("\n")), (1, "", 1), err)
        self.assertIn("a was not published in 0.5 s:", err)
        self.assertIn("is not there yet: start the dispatcher", err)

    def writeRefused(self) -> Path:
        """A file with the FURL of a dispatcher that does not know its name."""
        furl = self.home / "refused.furl"
        self.startDispatcher("--furlfile", str(furl))
        furl.write_text(furl.read_text().strip().rpartition("/")[0] + "/nobodyknowsthisname")
        return furl

    def test_failedOnce(self) -> None:
        """`publisher --once` that is not let in ends with the reason in one line, exit code 1, under twistd too."""
        furl = self.writeRefused()
        words = ["publisher", "--once", "--event", "a", "--dispatcher-url", f"@{furl}"]
        commands = ([*NODE, "-n"], [*NODE, "-n", "--loglevel", "warn"], [*TWISTD, "-n", "--pidfile=", "nodeset-node"])
        self.refusesEach(*((1, "does not know this FURL", [*command, *words]) for command in commands))

    def test_refused(self) -> None:
        """Who was given a FURL itself that is not let in, or leads to somebody else, ends; a file may change, so it waits."""
        furl = self.writeRefused()
        refused = furl.read_text()
        other = "pb://" + "a" * 32 + refused[refused.index("@") :]
        roles: tuple[list[str], ...] = ([], ["subscriber"], ["publisher"])
        unknown = [(1, "does not know this FURL", [*NODE, "-n", *role]) for role in roles]
        self.refusesEach(*unknown, NODESET_DISPATCHER=refused)
        self.refuses(1, "tub identity mismatch", *NODE, "-n", NODESET_DISPATCHER=other)
        waiting = self.spawn(*NODE, "-n", "--dispatcher-url", f"@{furl}")
        self.awaitLine(waiting, "does not know this FURL")
        furl.write_text((self.home / "state" / "localhost_5333_dispatcher.furl").read_text())
        self.awaitLine(waiting, "is linked to its dispatcher")
        self.assertEqual(self.stop(waiting), 0)
