"""What was signed before counts once, whatever happens to the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import StateUnusable
from nodeset.web.access.nonces import SLOT, Full, NoLedger, Nonces, Replayed, TooOld
from nodeset.web.access.slots import SlotFiles, bootId

NOW = 1_764_000_000


class NonceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.files: list[SlotFiles] = []
        self.addCleanup(self.end)

    def end(self) -> None:
        """All that still runs stops."""
        for files in self.files:
            files.close()

    def start(self, now: float = NOW, boot: str = "1a", **options: Any) -> Nonces:
        """A process begins."""
        files = SlotFiles(self.directory, now, boot)
        self.files.append(files)
        return Nonces(files, now, **options)

    def kill(self) -> None:
        """It ends without a word: nothing more is written, the system lets go of its lock."""
        files = self.files.pop()
        for opened in files._files.values():
            os.close(opened)
        for opened in files._held:
            os.close(opened)
        files._files, files._held = {}, []

    def test_once(self) -> None:
        """A nonce counts once; another key may have the same."""
        nonces = self.start()
        nonces.take("alice", "n" * 16, NOW, NOW)
        self.assertRaises(Replayed, nonces.take, "alice", "n" * 16, NOW, NOW)
        nonces.take("bob", "n" * 16, NOW, NOW)
        self.assertEqual(len(nonces), 2)

    def test_killed(self) -> None:
        """A process that was killed has forgotten nothing when it is back, and lets in at once who comes anew."""
        nonces = self.start()
        for number in range(1000):
            nonces.take("alice", f"nonce-{number:012}", NOW + number % 300, NOW)
        self.kill()
        nonces = self.start(NOW + 1)
        self.assertEqual(len(nonces), 1000)
        for number in range(1000):
            self.assertRaises(Replayed, nonces.take, "alice", f"nonce-{number:012}", NOW + number % 300, NOW + 1)
        nonces.take("alice", "another-nonce-0001", NOW, NOW + 1)
        # What the first one could not know, the second does not either.
        self.assertRaises(TooOld, nonces.take, "alice", "another-nonce-0002", NOW - 10, NOW + 1)

    def test_stopped(self) -> None:
        """After a clean stop all is known, even if the machine was started anew."""
        nonces = self.start()
        nonces.take("alice", "n" * 16, NOW, NOW)
        self.files.pop().close()
        nonces = self.start(NOW + 60, boot="2b")
        self.assertRaises(Replayed, nonces.take, "alice", "n" * 16, NOW, NOW + 60)
        nonces.take("alice", "m" * 16, NOW, NOW + 60)

    def test_crashed(self) -> None:
        """After a crash of the machine nothing counts that may have been let in before it."""
        nonces = self.start()
        nonces.take("alice", "n" * 16, NOW, NOW)
        nonces.take("alice", "m" * 16, NOW + 250, NOW)
        self.kill()
        for path in self.directory.glob("*.nonces"):
            path.unlink()  # as if it had never reached the disk
        nonces = self.start(NOW + 20, boot="2b")
        for timestamp in (NOW, NOW + 20, NOW + 250):
            self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, timestamp, NOW + 20)
        nonces.take("alice", "l" * 16, NOW + 250 + 31, NOW + 20)

    def test_crashedThenRestarted(self) -> None:
        """Nor does it once the process that came after the crash is started anew, whether it was stopped or killed."""
        for is_clean in (True, False):
            nonces = self.start()
            nonces.take("alice", "n" * 16, NOW, NOW)
            self.kill()
            for path in self.directory.glob("*.nonces"):
                path.unlink()
            self.start(NOW + 40, boot="2b").take("alice", "m" * 16, NOW + 41, NOW + 41)
            self.files.pop().close() if is_clean else self.kill()
            nonces = self.start(NOW + 50, boot="2b")
            self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, NOW, NOW + 50)
            nonces.take("alice", "l" * 16, NOW + 45, NOW + 50)
            self.kill()
            for path in self.directory.iterdir():
                path.unlink()

    def test_crashedLater(self) -> None:
        """What an earlier process let in from ahead of our clock counts after a crash of the machine no more than the rest."""
        self.start().take("alice", "n" * 16, NOW + 250, NOW)
        self.kill()
        self.start(NOW + 5).take("alice", "m" * 16, NOW + 5, NOW + 5)
        self.kill()
        for path in self.directory.glob("*.nonces"):
            path.unlink()
        nonces = self.start(NOW + 20, boot="2b")
        self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, NOW + 250, NOW + 20)

    def test_neverBeen(self) -> None:
        """Where no memory is, whatever was signed before the process began counts for nothing."""
        nonces = self.start()
        self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, NOW - 1, NOW)
        nonces.take("alice", "n" * 16, NOW, NOW)

    def test_damaged(self) -> None:
        """Where the file is damaged or lost that says how far to trust the others, nothing counts that may have been let in."""
        for damage in (b"\xff\x00", b"", b"nodeset-nonces 2\n", None):
            self.start().take("alice", "n" * 16, NOW + 300, NOW)
            self.kill()
            state = self.directory / "state"
            state.unlink() if damage is None else state.write_bytes(damage)
            (self.directory / f"{(NOW + 300) // SLOT}.nonces").write_bytes(b"")
            nonces = self.start(NOW + 10)
            self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, NOW + 300, NOW + 10)
            nonces.take("alice", "n" * 16, NOW + 311, NOW + 311)
            self.kill()
            for path in self.directory.iterdir():
                path.unlink()

    def test_torn(self) -> None:
        """A record of which the end is missing takes nothing else with it."""
        nonces = self.start()
        for number in range(10):
            nonces.take("alice", f"nonce-{number:012}", NOW, NOW)
        self.kill()
        (file,) = self.directory.glob("*.nonces")
        with file.open("ab") as opened:
            opened.write(b"half")
        nonces = self.start(NOW + 1)
        nonces.take("alice", "nonce-of-the-second", NOW, NOW + 1)
        self.kill()
        nonces = self.start(NOW + 2)
        self.assertEqual(len(nonces), 11)
        self.assertRaises(Replayed, nonces.take, "alice", "nonce-of-the-second", NOW, NOW + 2)

    def test_memoryOnly(self) -> None:
        """Where nothing can be kept, an earlier process's requests count for nothing, those of clocks ahead included."""
        nonces = Nonces(NoLedger(NOW), NOW)
        self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, NOW, NOW)
        self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, NOW + 17, NOW + 10)
        nonces.take("alice", "n" * 16, NOW + 10, NOW + 10)

    def test_full(self) -> None:
        """When there is no room, newcomers are refused; nobody is forgotten before his time."""
        nonces = self.start(most=10)
        for number in range(10):
            nonces.take("alice", f"nonce-{number:012}", NOW + number, NOW)
        self.assertRaises(Full, nonces.take, "alice", "n" * 16, NOW, NOW)
        self.assertRaises(Replayed, nonces.take, "alice", "nonce-000000000000", NOW, NOW)
        nonces.take("alice", "n" * 16, NOW + 400, NOW + 400)

    def test_forgotten(self) -> None:
        """What lies outside of the window is forgotten, on the disk too, and is refused for its age ever after."""
        nonces = self.start()
        nonces.take("alice", "n" * 16, NOW, NOW)
        later = NOW + 300 + 2 * SLOT
        nonces.take("alice", "m" * 16, later, later)
        self.assertEqual(len(nonces), 1)
        self.assertEqual(len(list(self.directory.glob("*.nonces"))), 1)
        # The clock is set back.
        self.assertRaises(TooOld, nonces.take, "alice", "n" * 16, NOW, NOW)

    def test_clockBack(self) -> None:
        """A clock that jumps far ahead, then back, does not end the forgetting."""
        nonces = self.start()
        year = 365 * 86400
        nonces.take("alice", "n" * 16, NOW + year, NOW + year)
        for minute in range(30):
            at = NOW + 60 * minute
            nonces.take("alice", f"nonce-{minute:012}", at, at)
        self.assertLess(len(nonces), 10)

    def test_alone(self) -> None:
        """Two processes never share a memory: the second one is told so."""
        self.start()
        error = self.assertRaises(StateUnusable, self.start)
        self.assertIn("another nodeset-web", str(error))

    def test_diskFull(self) -> None:
        """What cannot be written down is not let in; when the disk has room again, all goes on, the same request included."""
        nonces = self.start()
        nonces.take("alice", "m" * 16, NOW, NOW)

        def full(opened: int, data: bytes) -> int:
            if len(data) == 16:
                os_write(opened, data[:7])
                return 7
            return os_write(opened, data)

        os_write = os.write
        patched = self.patch(os, "write", full)
        self.assertRaises(StateUnusable, nonces.take, "alice", "n" * 16, NOW, NOW)
        self.assertEqual(len(nonces), 1)
        patched.restore()
        nonces.take("alice", "n" * 16, NOW, NOW)
        self.kill()
        self.assertEqual(len(self.start(NOW + 1)), 2)

    def test_stateUnwritable(self) -> None:
        """So it is when the ceiling cannot be raised."""
        nonces = self.start()

        def fails(*args: object) -> None:
            raise StateUnusable("the disk is full")

        patched = self.patch(SlotFiles, "_writeState", fails)
        self.assertRaises(StateUnusable, nonces.take, "alice", "n" * 16, NOW, NOW)
        patched.restore()
        nonces.take("alice", "n" * 16, NOW, NOW)

    def test_private(self) -> None:
        """Nobody else can read what is kept."""
        nonces = self.start()
        nonces.take("alice", "n" * 16, NOW, NOW)
        for path in (self.directory, *self.directory.iterdir()):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path.name)

    def test_noBoot(self) -> None:
        """A machine that does not tell one run of it from another is taken for one that has crashed."""
        self.start(boot="").take("alice", "n" * 16, NOW, NOW)
        self.kill()
        self.assertRaises(TooOld, self.start(NOW + 1, boot="").take, "alice", "m" * 16, NOW + 1, NOW + 1)

    def test_bootId(self) -> None:
        """This machine tells, in a form that the file can have."""
        self.assertRegex(bootId(), r"\A[0-9a-f-]{0,64}\Z")
