"""Whoever may write to a program file decides what is run."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.programs.inspection import doubtOf


class DoubtTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir()
        self.place.chmod(0o755)
        self.file = self.place / "programs.toml"
        self.file.touch()
        self.file.chmod(0o644)

    def doubt(self) -> str:
        return doubtOf(str(self.file))

    def test_ours(self) -> None:
        """Nothing is said of a file that we alone can write to, be it in a directory like /tmp."""
        self.assertEqual(self.doubt(), "")
        self.place.chmod(0o1777)
        self.assertEqual(self.doubt(), "")

    def test_others(self) -> None:
        """A file, or a directory, that others can write to is named with its mode."""
        self.place.chmod(0o777)
        self.assertIn(f"the directory of {self.file} can be written by others (mode 0777)", self.doubt())
        self.file.chmod(0o646)
        self.assertIn(f"{self.file} can be written by others (mode 0646)", self.doubt())

    def test_owners(self) -> None:
        """Who runs the file of somebody else is told so; for root a group is others, too."""
        if os.geteuid():
            return  # nobody but root can give files away
        self.file.chmod(0o664)
        self.assertIn("mode 0664", self.doubt())
        os.chown(self.file, 65534, 65534)
        self.assertIn(f"{self.file} belongs to user 65534, who decides what is run as user 0", self.doubt())
