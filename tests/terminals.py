"""A shell in a terminal of its own, as somebody who follows a text has it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

__all__ = ["PATIENCE", "Terminal"]

#: Seconds after which what is awaited is taken not to come.
PATIENCE = 20.0
_COLUMNS, _ROWS = 80, 24
_PROMPT = re.compile(r"\[\[(\d+)\]\]")
_CODES = re.compile(r"\x1b(\[[0-9;?<=>]*[A-Za-z]|\][^\x07]*\x07|[=>()][0-9A-B]?)")


class Terminal:
    """A bash on a pseudo-terminal, which answers as it would to a person, without colours of its own.

    :param directory: where it starts.
    :param env: its environment, all of it.
    """

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        quiet = termios.tcgetattr(theirs)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, quiet)

        self._shell = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--noediting", "--norc", "--noprofile", "-i"],
            cwd=directory,
            env={**env, "PS1": "[[$?]]", "PS2": "", "TERM": "xterm", "PROMPT_COMMAND": "", "HISTFILE": "/dev/null"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._ours, self._seen = ours, ""
        self.is_busy = False
        self.awaitEnd()

    def type(self, line: str) -> None:
        """Type a line, with Return at its end."""
        os.write(self._ours, f"{line}\n".encode())
        self.is_busy = True

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._ours, b"\x03")

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._ours, key.encode())

    def awaitEnd(self) -> tuple[int, list[str]]:
        """Wait until the shell waits for another line: the exit code of the last one, the lines printed since the last look."""
        deadline = time.monotonic() + PATIENCE
        while (found := _PROMPT.search(self._seen)) is None:
            self._read(deadline, "the end of the command")
        lines, self._seen = self._seen[: found.start()].splitlines(), self._seen[found.end() :]
        self.is_busy = False
        return int(found[1]), lines

    def awaitLine(self, pattern: re.Pattern[str]) -> list[str]:
        """Wait for a whole line that the pattern matches: it, and those before it since the last look."""
        deadline = time.monotonic() + PATIENCE
        while True:
            whole, newline, rest = self._seen.rpartition("\n")
            lines = whole.split("\n") if newline else []
            for number, line in enumerate(lines):
                if pattern.fullmatch(line):
                    self._seen = "\n".join([*lines[number + 1 :], rest])
                    return lines[: number + 1]
            self._read(deadline, pattern.pattern)

    def _read(self, deadline: float, what: str) -> None:
        ready, _, _ = select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise AssertionError(f"{what} did not come in {PATIENCE:.0f} s, after:\n{self._seen}")
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            data = b""
        if not data:
            raise AssertionError(f"the shell ended before {what} came, after:\n{self._seen}")
        self._seen = _CODES.sub("", self._seen + data.decode("utf-8", "replace").replace("\r\n", "\n"))

    def close(self) -> None:
        """Press Ctrl-C, then close the window; what does not mind that is killed."""
        if self.is_busy:
            self.interrupt()
            try:
                self.awaitEnd()
            except (AssertionError, OSError):
                self._kill(os.tcgetpgrp(self._ours))
        os.close(self._ours)
        try:
            self._shell.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill(self._shell.pid)
            self._shell.wait()

    @staticmethod
    def _kill(group: int) -> None:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
