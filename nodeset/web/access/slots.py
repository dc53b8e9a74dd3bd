"""The files in which nonces outlive the process.

`<slot>.nonces` has a record of 16 bytes for each request, appended as it comes; `state` says how far to trust them::

    nodeset-nonces 1
    ceiling 1764000330          no request with a later timestamp was let in
    boot 5f0c2f3e-...           this machine's run; empty after a clean stop
    floor 1763999999            requests up to this timestamp may have left no trace, whatever else is known

What was written outlives the process by itself, however it ends: the system has it. It outlives the machine only when it is on
the disk, which takes milliseconds, too long for each request. So `state` alone is put onto the disk, with a ceiling that lies
ahead, once in 30 s, before a request above it is let in. After a crash of the machine (another boot id, no clean stop) every
timestamp up to the ceiling is refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from nodeset.errors import StateUnusable
from nodeset.transport.files import blaming, letGo, openQuick, readWhole, showPath, tryLock, writeWhole
from nodeset.transport.rendezvous import prepareDirectory
from nodeset.web.access.nonces import RECORD
from nodeset.web.access.signature import WINDOW

__all__ = ["SlotFiles", "bootId"]

_HEADER: Final = "nodeset-nonces 1"
_STATE: Final = re.compile(
    rf"{_HEADER}\nceiling ([0-9]{{1,12}})\nboot ([0-9a-f-]{{0,64}})\n(?:floor ([0-9]{{1,12}})\n)?", re.ASCII
)
_NAME: Final = re.compile(r"([0-9]{1,12})\.nonces", re.ASCII)
#: Seconds that the ceiling lies ahead of the request for which it was raised.
_STEP: Final = 30
#: Bytes of a slot's file.
_LARGEST: Final = 1 << 26
#: Files that are kept open: more slots than the window has are not written to.
_OPEN: Final = 16
#: A run of a machine that does not tell one from another.
_UNKNOWN: Final = "-"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def bootId() -> str:
    """This run of the machine; empty where the system does not tell."""
    try:
        return _BOOT.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class SlotFiles:
    """See `nodeset.web.access.nonces.Ledger`. It is this process's alone until `close`.

    :param directory: made if it is not there.
    :param started: Unix time when this process began.
    :raise StateUnusable: when the directory cannot be used, or another process has it.
    """

    log = Logger()

    def __init__(self, directory: Path, started: float, boot: str | None = None) -> None:
        self._directory = directory.absolute()
        self._boot = bootId() if boot is None else boot
        self._files: dict[int, int] = {}
        self._held: list[int] = []
        self._failed = False
        prepareDirectory(self._directory)
        self._lock()
        try:
            self._ceiling = self._highest = 0
            self.floor = self._trust(started)
        except BaseException:
            letGo(self._held)
            raise

    def _lock(self) -> None:
        path = self._directory / "lock"
        with blaming(path):
            held = [openQuick(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)]
            try:
                if not tryLock(held[0]):
                    raise StateUnusable(
                        f"{showPath(self._directory)} is in use by another nodeset-web with --keys: stop it, or give this one "
                        "a --state-dir of its own"
                    )
            except BaseException:
                letGo(held)
                raise
        self._held = held
        for leftover in self._directory.glob(f".state.{'?' * 16}.tmp"):
            leftover.unlink(missing_ok=True)  # of one that was killed while it wrote

    @property
    def _state(self) -> Path:
        return self._directory / "state"

    def _trust(self, started: float) -> int:
        """Up to which timestamp requests may have left no trace."""
        with blaming(self._state):
            try:
                text = readWhole(self._state, 4096, []).decode("ascii", errors="replace")
            except FileNotFoundError:
                if not any(self._directory.glob("*.nonces")):
                    return int(started) - 1  # never been here, as far as anybody can tell
                text = ""
        found = _STATE.fullmatch(text)
        if found is None:
            until = int(started) + WINDOW
            self.log.warn(
                "{path} is damaged: what was signed up to {until} is refused", path=showPath(self._state), until=until
            )
            return until
        ceiling, boot, floor = int(found[1]), found[2], int(found[3] or 0)
        self._highest = ceiling
        if boot == "" or (boot == self._boot and self._boot):
            return floor  # what an earlier process could not know, this one does not either
        self.log.info("this machine stopped unexpectedly: what was signed up to {ceiling} is refused", ceiling=ceiling)
        return max(int(started) - 1, ceiling, floor)

    def read(self) -> dict[int, set[bytes]]:
        """See `Ledger`. The end of a record that was being written when the process ended is cut off."""
        slots: dict[int, set[bytes]] = {}
        with blaming(self._directory):
            for path in sorted(self._directory.iterdir()):
                if found := _NAME.fullmatch(path.name):
                    data = readWhole(path, _LARGEST, [])
                    whole = len(data) - len(data) % RECORD
                    if whole != len(data):
                        os.truncate(path, whole)
                    slots[int(found[1])] = {data[start : start + RECORD] for start in range(0, whole, RECORD)}
        return slots

    def write(self, slot: int, record: bytes, timestamp: int) -> None:
        """See `Ledger`."""
        if not self._held:
            raise StateUnusable(f"{showPath(self._directory)}: these files were closed")
        path = self._directory / f"{slot}.nonces"
        try:
            if timestamp > self._ceiling:
                # Never below what an earlier process let in, whose nonces may not be on the disk yet.
                ceiling = max(timestamp + _STEP, self._highest)
                self._writeState(ceiling, self._boot or _UNKNOWN)
                self._ceiling = ceiling
            with blaming(path):
                self._append(self._open(slot, path), record)
        except StateUnusable as error:
            if not self._failed:
                self.log.error("signed requests are refused until this works: {reason}", reason=str(error))
            self._failed = True
            raise
        if self._failed:
            self._failed = False
            self.log.info("signed requests are let in again")

    def _append(self, opened: int, record: bytes) -> None:
        size = os.fstat(opened).st_size
        try:
            if os.write(opened, record) != len(record):
                raise StateUnusable("a nonce was not written, the disk is full: free some space")
        except BaseException:
            os.ftruncate(opened, size)  # a part of a record would put all after it out of step
            raise

    def _open(self, slot: int, path: Path) -> int:
        opened = self._files.get(slot)
        if opened is None:
            if len(self._files) >= _OPEN:
                self._closeFile(min(self._files))
            opened = self._files[slot] = openQuick(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
        return opened

    def _writeState(self, ceiling: int, boot: str) -> None:
        writeWhole(self._state, f"{_HEADER}\nceiling {ceiling}\nboot {boot}\nfloor {max(0, self.floor)}\n".encode("ascii"))

    def drop(self, slot: int) -> None:
        """See `Ledger`."""
        self._closeFile(slot)
        try:
            (self._directory / f"{slot}.nonces").unlink(missing_ok=True)
        except OSError as error:
            self.log.warn("{slot}.nonces cannot be removed: {reason}", slot=slot, reason=error.strerror)

    def _closeFile(self, slot: int) -> None:
        opened = self._files.pop(slot, None)
        if opened is not None:
            os.close(opened)

    def _settle(self) -> None:
        """All slots, those of an earlier process included, are on the disk."""
        with blaming(self._directory):
            for path in [*self._directory.glob("*.nonces"), self._directory]:
                opened = openQuick(path, os.O_RDONLY)
                try:
                    os.fsync(opened)
                finally:
                    os.close(opened)

    def close(self) -> None:
        """Put all onto the disk, so that the next one may trust it whatever happens; again is fine."""
        if not self._held:
            return
        try:
            if self._ceiling:
                self._settle()
                self._writeState(self._ceiling, "")
        except StateUnusable as error:
            self.log.warn("{reason}", reason=str(error))
        finally:
            for slot in list(self._files):
                self._closeFile(slot)
            letGo(self._held)
