"""Revocations: what counts, what is on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.grants import revocations as room
from nodeset.core.grants.revocations import HEADER, Revocation, Revocations
from nodeset.errors import Refused, StateUnusable
from nodeset.transport.keys import loadKey, loadRevocations

A, B, C, ROOT = "a" * 24, "b" * 24, "c" * 24, "0" * 24


class RevocationTests(SynchronousTestCase):
    """What is revoked stays so, until it would have expired."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.notes: list[str] = []

    def load(self, now: float = 100.0) -> Revocations:
        self.notes.clear()
        return loadRevocations(self.path, now, self.notes)

    def test_stays(self) -> None:
        """A revocation is on the disk when it is said to be done; an expired one is forgotten at the next start."""
        self.load().add(Revocation(A, ROOT, 200), True, 100.0)
        more = self.load()
        more.add(Revocation(B, ROOT, None), False, 100.0)
        more.add(Revocation(B, ROOT, None), False, 100.0)  # again is fine
        more.add(Revocation(C, "", 900), True, 100.0)
        again = self.load()
        self.assertEqual(([grant in again for grant in (A, B, C, ROOT)], self.notes), ([True, True, True, False], []))
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        later = self.load(now=300.0)
        self.assertEqual([grant in later for grant in (A, B, C)], [False, True, True])
        self.assertNotIn(A, self.path.read_text())

    def test_notWritten(self) -> None:
        """What cannot be written does not count as revoked, is not there after a restart, leaves the file whole."""
        known = self.load()
        known.add(Revocation(A, ROOT, None), True, 100.0)
        before = self.path.read_bytes()

        def full(opened: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", full)
        self.assertIn("disk is full", str(self.assertRaises(StateUnusable, known.add, Revocation(B, ROOT, None), True, 100.0)))
        self.assertNotIn(B, known)
        self.assertEqual(self.path.read_bytes(), before)

    def test_damaged(self) -> None:
        """A damaged line is refused, with the file and the line; a file without its first line as well."""
        self.load().add(Revocation(A, ROOT, None), True, 100.0)
        good = self.path.read_text()
        line = good.splitlines()[1]
        spoiled = [line.replace("a", "b", 1), line.replace("never", "101"), line[:-1], line + " ", "", "\xff", "x" * 1000]
        for bad in spoiled:
            self.path.write_text(f"{HEADER}\n{bad}\n{line}\n", encoding="latin-1")
            error = str(self.assertRaises(StateUnusable, self.load))
            self.assertIn(f"{self.path}: line 2 is damaged", error)
            self.assertNotIn("\n", error)
        for bad in (line, ""):
            self.path.write_text(bad)
            self.assertIn("line 1", str(self.assertRaises(StateUnusable, self.load)))
        self.path.unlink()
        self.path.mkdir()
        self.assertRaises(StateUnusable, self.load)

    def test_cutOff(self) -> None:
        """A last line that a crash has cut off was never answered: it is passed over with a note, the next one is whole."""
        self.load().add(Revocation(A, ROOT, None), True, 100.0)
        whole = self.path.read_text()
        torn = Revocation(B, ROOT, 900).line()
        for end in range(1, len(torn)):
            self.path.write_text(whole + torn[:end])
            known = self.load()
            self.assertEqual((A in known, B in known, len(self.notes)), (True, False, 1))
            known.add(Revocation(C, "", None), True, 100.0)
            again = self.load()
            self.assertEqual((C in again, self.notes), (True, []))
        self.path.write_text(whole + torn)
        self.assertIn(B, self.load())
        self.assertEqual(self.path.read_text(), whole + torn + "\n")

    def test_bounds(self) -> None:
        """There is an end to how many one holder may revoke, to how many there are; the owner goes on longer, and what has
        expired makes room.
        """
        self.patch(room, "MAX_REVOKED", 20)
        self.patch(room, "MAX_OF_ONE", 5)
        known = self.load()
        for number in range(5):
            known.add(Revocation(f"{number:024x}", ROOT, 200), False, 100.0)
        reason = str(self.assertRaises(Refused, known.add, Revocation(A, ROOT, None), False, 100.0))
        self.assertIn("of this root", reason)
        for number in range(5, 20):
            known.add(Revocation(f"{number:024x}", ROOT, 300), True, 100.0)
        self.assertRaises(Refused, known.add, Revocation(A, "", None), True, 100.0)
        self.assertEqual((len(known), len(self.load())), (20, 20))
        known.add(Revocation(A, "", None), True, 250.0)
        self.assertEqual((len(known), len(self.load())), (16, 16))

    def test_key(self) -> None:
        """A key is made once, private; one of another size is refused by its size alone."""
        key = loadKey(self.path, self.notes)
        self.assertEqual((len(key), loadKey(self.path, self.notes), self.path.stat().st_mode & 0o777), (32, key, 0o600))
        for bad in (b"", key[:-1], key + b"\n", b"x" * 10_000):
            self.path.write_bytes(bad)
            self.assertRaises(StateUnusable, loadKey, self.path, self.notes)
        self.path.unlink()
        self.assertNotEqual(loadKey(self.path, self.notes), key)
