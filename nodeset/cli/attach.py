"""This terminal, connected to the shell of a service."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import sys
import termios
import tty
from pathlib import Path
from typing import Final

from nodeset.cli.outcome import Exit, GaveUp

__all__ = ["attach", "findSocket"]

#: Ctrl-]: leave, whatever the other side does.
_ESCAPE: Final = b"\x1d"
_CHUNK: Final = 1 << 16


def findSocket(where: str, directory: Path) -> Path:
    """The socket that is meant: a path, the name of a service, or, by an empty text, the only live one in the directory.

    Raises `GaveUp` when there is none, or more than one.
    """
    if "/" in where:
        return Path(where).expanduser()
    names = [f"{where}.sock", f"nodeset-{where}.sock"] if where else [each.name for each in sorted(directory.glob("*.sock"))]
    found = [directory / name for name in names if _isLive(directory / name)]
    if len(found) == 1 or (found and where):
        return found[0]
    if found:
        several = ", ".join(path.stem for path in found)
        raise GaveUp(f"there are several shells: name one of {several}", Exit.USAGE)
    what = f"no shell {where[:80]!r}" if where else "no shell"
    raise GaveUp(f"{what} listens in {directory}: start nodeset-shell, or a service with --manhole unix", Exit.NO_DISPATCHER)


def _isLive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(path))
        except OSError:
            return False
    return True


def attach(path: Path) -> int:
    """Be the terminal of the shell at this socket, until either side ends it; the exit code. Raises `GaveUp`."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise GaveUp("this needs a terminal; from a script run Python by ssh -p PORT localhost 'CODE'", Exit.USAGE)
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(path))
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise GaveUp(f"no shell answers at {path} ({why}): is the service running?", Exit.NO_DISPATCHER) from None
        owner = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1]
        if owner not in (os.geteuid(), 0):
            raise GaveUp(f"{path} is user {owner}'s: what one types there is theirs to read", Exit.REFUSED)
        kept = termios.tcgetattr(0)
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGWINCH, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        try:
            tty.setraw(0)
            return _relay(link, woken)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, kept)


def _relay(link: socket.socket, woken: int) -> int:
    _tellSize(link)
    try:
        while True:
            ready, _, _ = select.select([0, link.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 512)
                _tellSize(link)
            if link.fileno() in ready:
                data = link.recv(_CHUNK)
                if not data:
                    return Exit.OK
                _writeAll(data)
            if 0 in ready:
                keys = os.read(0, _CHUNK)
                before, escape, _after = keys.partition(_ESCAPE)
                if before:
                    link.sendall(before)
                if escape or not keys:
                    _writeAll(b"\r\n")
                    return Exit.OK
    except (BrokenPipeError, ConnectionResetError):
        return Exit.OK


def _writeAll(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def _tellSize(link: socket.socket) -> None:
    """As terminals report their size when they are asked for it."""
    rows, columns = struct.unpack("4H", fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8))[:2]
    link.sendall(b"\x1b[8;%d;%dt" % (rows or 24, columns or 80))
