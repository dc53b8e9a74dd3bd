"""What `nodeset-center` makes of its options, without a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.center import Options, _copies, _joins
from nodeset.cli.options import CommonOptions, withTwistd
from nodeset.errors import BadSettings
from nodeset.settings import Settings


class OptionTests(SynchronousTestCase):
    def read(self, *words: str, **environ: str) -> CommonOptions:
        self.patch(os, "environ", environ)
        options = withTwistd(Options, "nodeset-center.pid")
        options.parseOptions(list(words))
        return options

    def settle(self, *words: str, **environ: str) -> Settings:
        return self.read(*words, **environ).settle()

    def test_shorts(self) -> None:
        """The short options are those of the original, not those of twistd."""
        found = self.settle("-e", "tcp://*:44444", "-n", "c1", "-l", "-", "-d", "-v")
        told: list[Any] = [found.endpoint, found.name, found.logfile, found.loglevel, found.verbose]
        self.assertEqual(told, ["tcp://*:44444", "c1", "-", "debug", True])
        options = self.read("-d", "-p", "/x/y.pid", "-E", "--nodetach")
        self.assertEqual((options["debug"], options["rundir"], options["pidfile"]), (0, ".", "/x/y.pid"))

    def test_inFront(self) -> None:
        """It stays in the foreground, whatever a file or the environment says to services."""
        self.assertEqual(self.read(NODESET_NODAEMON="no")["nodaemon"], 1)
        self.assertEqual(self.read()["pidfile"], "")

    def test_elsewhere(self) -> None:
        """What other centers had, and this one has otherwise, is named with what there is instead."""
        for words, part in (
            (["-R", "a,b"], "--ring: centers form none: let them join one dispatcher"),
            (["-c", "ipc://control.sock"], "--controlpoint: a center has none: call it where it listens"),
            (["--syncpoint", "x"], "--syncpoint: centers have none"),
            (["-o", "ipc://pub.sock"], "--pub-endpoint: a center has none: subscribe where it listens"),
            (["--listen", "localhost:5333"], "it is --endpoint that says where"),
        ):
            self.assertIn(part, str(self.assertRaises(UsageError, self.read, *words)))

    def test_help(self) -> None:
        """--help tells of its own log, not of twistd's."""
        text = " ".join(str(self.read()).split())
        self.assertIn("-l, --logfile= The log of events, to which lines are appended; '-' is stdout [default: nerve.log]", text)
        for absent in ("--ring", "--listen", "log to a specified file"):
            self.assertNotIn(absent, text)

    def test_joins(self) -> None:
        """It joins a dispatcher that is named, unless an option says where to listen; both as options are a mistake."""
        self.assertFalse(_joins(self.settle()))
        self.assertTrue(_joins(self.settle("--dispatcher-url", "@x.furl")))
        self.assertTrue(_joins(self.settle(NODESET_DISPATCHER="@x.furl")))
        self.assertFalse(_joins(self.settle("-e", "ipc://x.sock", NODESET_DISPATCHER="@x.furl")))
        both = self.settle("-e", "ipc://x.sock", "--dispatcher-url", "@x.furl")
        self.assertIn("give one of them", str(self.assertRaises(BadSettings, _joins, both)))

    def test_furl(self) -> None:
        """A device, or a link, never makes room for the file with the address, nor does a directory."""
        here = Path(self.mktemp()).absolute()
        here.mkdir()
        link = here / "link"
        link.symlink_to("/dev/null")
        for path in ("/dev/stdout", "/dev/null", str(link), str(here)):
            error = self.assertRaises(BadSettings, _copies, self.settle("--furl", path))
            self.assertIn("is there and is no file", str(error))
        error = self.assertRaises(BadSettings, _copies, self.settle("--furl", str(here / "gone" / "x")))
        self.assertIn("is in no directory", str(error))
        self.assertEqual(_copies(self.settle("--furl", str(here / "x"))), [here / "x"])
