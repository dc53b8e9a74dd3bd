"""A terminal of ours, with the pseudo-terminal that stands for it.

Nothing of Twisted is imported here, as in `relay`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import threading
import tty
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Mirroring", "Pair", "Terminal", "Unreturned", "atLeftEdge", "isSame", "isTerminal"]

#: Rows, columns of a window that nobody told of.
_USUAL: Final = (24, 80)
#: Of the local modes; Python has no name for it.
_EXTPROC: Final = 0o200000


def isTerminal(number: int) -> bool:
    """Whether this file of ours is a terminal; a closed one is none."""
    try:
        return os.isatty(number)
    except OSError:
        return False


def isSame(one: int, other: int) -> bool:
    """Whether two files of ours are the same file, terminal, pipe or socket, so that the order of what is written to either
    of them can be seen."""
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def atLeftEdge(number: int, lines: bytes) -> bytes:
    """Lines as they are to be written to this file of ours, so that each begins at the left edge: a raw terminal makes no CR LF
    of an LF."""
    try:
        output = termios.tcgetattr(number)[1]
    except (OSError, termios.error):
        return lines
    return lines if output & termios.OPOST else lines.replace(b"\n", b"\r\n")


def _copySize(source: int, target: int) -> None:
    try:
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)
    except OSError:
        pass  # no terminal any more


class Terminal:
    """Our terminal, by one file that leads to it: what the user's keys give, `raw` while a program on a pair has them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._kept: list[Any] | None = None
        self._lent = False
        self._lock = threading.Lock()

    def isOurs(self) -> bool:
        """Whether we are in its foreground, so that reading it, or changing its modes, does not stop us."""
        try:
            return os.tcgetpgrp(self.number) == os.getpgrp()
        except OSError:
            return True  # not the terminal of our session: nobody would stop us

    def lend(self) -> None:
        """From now on a program has its keys, and prints on it: raw as soon as it is ours."""
        self._lent = True
        self.check()

    def check(self) -> bool:
        """Whether the program may have its keys now: it is lent, and ours. A shell does not tell us that it became ours."""
        if not self.isOurs():
            return False
        with self._lock:
            if self._lent and self._kept is None:
                self._raw()
        return self._lent

    def _raw(self) -> None:
        try:
            self._kept = termios.tcgetattr(self.number)
            # Not FLUSH, as tty has it: what was typed ahead is the program's.
            tty.setraw(self.number, termios.TCSANOW)
        except (OSError, termios.error):
            self._kept = None  # it has been closed

    def restore(self) -> None:
        """Be as before `lend`; of no effect the second time."""
        with self._lock:
            kept, self._kept, self._lent = self._kept, None, False
            if kept is None or not self.isOurs():
                return
            # From the background this would stop us, though somebody may come between.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
            try:
                termios.tcsetattr(self.number, termios.TCSANOW, kept)
            except (OSError, termios.error):
                pass
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pair:
    """A pseudo-terminal: `slave` for a program, `master` for us.

    :param like: a file of ours that leads to the terminal it shall be like; None for one such as nobody sits at.
    :param mirrors: whether `like` gets the modes that the program gives to this one, as for one whose keys come from `like`
        itself; what is read of it goes through `Mirroring` then.
    """

    def __init__(self, like: int | None, mirrors: bool = False) -> None:
        self.master, self.slave = os.openpty()
        self._like = like
        try:
            modes = termios.tcgetattr(self.slave if like is None else like)
            if mirrors:
                # With this the system tells of changes (tty_ioctl(2)).
                modes[3] |= _EXTPROC
                fcntl.ioctl(self.master, termios.TIOCPKT, b"\1\0\0\0")
            termios.tcsetattr(self.slave, termios.TCSANOW, modes)
            if like is None:
                termios.tcsetwinsize(self.slave, _USUAL)
        except (OSError, termios.error):
            pass  # it has the modes of a fresh one
        self.resize()

    def resize(self) -> None:
        """Have the size of the window that it stands for; who runs in it gets SIGWINCH if that is another."""
        if self._like is not None:
            _copySize(self._like, self.master)

    def wantsKeys(self) -> bool:
        """Whether a program takes each key of it by itself, which it does not do where nothing can be typed."""
        try:
            return not termios.tcgetattr(self.master)[3] & termios.ICANON
        except (OSError, termios.error):
            return False

    def mirror(self) -> None:
        """Give its modes to the terminal that it stands for, if that is ours just now."""
        if self._like is None or not Terminal(self._like).isOurs():
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        try:
            modes = termios.tcgetattr(self.master)
            modes[3] &= ~_EXTPROC
            termios.tcsetattr(self._like, termios.TCSANOW, modes)
        except (OSError, termios.error):
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def closeSlave(self) -> None:
        """The program has it."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def typeEnd(self) -> None:
        """What Ctrl-D types, if the program reads lines: the end of its input."""
        try:
            modes = termios.tcgetattr(self.master)
            if modes[3] & termios.ICANON:
                os.write(self.master, modes[6][termios.VEOF])
        except (OSError, termios.error):
            pass  # nobody is there any more

    def turnsNewlines(self) -> bool:
        """Whether it makes CR LF of each LF that is written to it, just now."""
        try:
            output = termios.tcgetattr(self.master)[1]
        except (OSError, termios.error):
            return False
        return bool(output & termios.OPOST and output & termios.ONLCR)


class Unreturned:
    """Makes what a program wrote of what its pseudo-terminal made of that: LF of CR LF, where that turns them."""

    def __init__(self, pair: Pair) -> None:
        self._pair, self._held = pair, b""

    def __call__(self, data: bytes) -> bytes:
        """The bytes that the program wrote. A CR at the end waits for what follows it."""
        data, self._held = self._held + data, b""
        if b"\r" not in data or not self._pair.turnsNewlines():
            return data
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        return data.replace(b"\r\n", b"\n")

    def rest(self) -> bytes:
        """What still waited, at the end."""
        held, self._held = self._held, b""
        return held


class Mirroring:
    """Makes what a program wrote of what is read of a pair that `mirrors`, and does that; calls `changed` then."""

    def __init__(self, pair: Pair, changed: Callable[[], object] = lambda: None) -> None:
        self._pair, self._changed, self._unreturned = pair, changed, Unreturned(pair)

    def __call__(self, data: bytes) -> bytes:
        """The bytes that the program wrote, of one read."""
        if data[0] == termios.TIOCPKT_DATA:
            return self._unreturned(data[1:])
        # Told before what was written earlier, so that must be enough; the other marks are of flow control.
        self._pair.mirror()
        self._changed()
        return b""

    def rest(self) -> bytes:
        """See `Unreturned`."""
        return self._unreturned.rest()
