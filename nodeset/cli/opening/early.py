"""What `nodeset-open` does before anything large is imported: the program runs, what it writes is passed on."""

from __future__ import annotations

import os
import time
from typing import Final

from nodeset.errors import CannotStart
from nodeset.processes.child import Child
from nodeset.processes.guardian import GuardianProcess, pristineEnviron
from nodeset.processes.passage import Passage
from nodeset.processes.spawning import Order
from nodeset.processes.summons import Summons

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nodeset.cli.opening.words import Call

__all__ = ["Early", "occupy"]

_STANDARD: Final = (0, 1, 2)


def occupy() -> frozenset[int]:
    """Which of 0, 1, 2 we came without; no file of ours takes their places from now on."""
    closed = set()
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            if os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) != number:
                raise
    return frozenset(closed)


def _inherited() -> tuple[int, ...]:
    """The other files that we came with, which the program gets as well."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # pathlib would be imported for it
        number = int(name)
        try:
            if number not in _STANDARD and os.get_inheritable(number):
                found.append(number)
        except OSError:
            pass  # that of the listing itself
    return tuple(sorted(found))


class Early:
    """The first run of the program.

    :ivar child: it, unless there is an `error`.
    :ivar before: variables for a guardian that must be started later.
    """

    def __init__(self, call: Call, closed: frozenset[int], again: bool) -> None:
        #: When we came, as the monotonic clock has it.
        self.began = time.monotonic()
        inherited = _inherited()
        self.before = pristineEnviron()
        # First, since it needs most of the time: it gets ready while we do the rest.
        self.guardian = GuardianProcess(self.before)
        # The guardian, so its programs, have the signal mask as it was.
        self.summons = Summons()
        self.summons.start()
        self.child: Child | None = None
        self.error: CannotStart | None = None
        #: Where the log goes: to stderr, though the program's end lets go of that.
        self.log_file = os.dup(2) if call.debug else 2
        self._call, self._closed, self._again = call, closed, again
        self.passage = self.makePassage()
        self.order = Order(
            argv=tuple(call.command),
            scope="session" if self.passage.has_terminal else "shared",
            terminal=self.passage.has_terminal,
            kill=not call.keep,
            pass_fds=inherited,
        )
        try:
            files = self.passage.open()
            self.order = self.order._replace(closed=self.passage.without)
            self.child = self.guardian.spawnNow(self.order, files)
        except CannotStart as error:
            self.error = error
            self.passage.abandon()
        except OSError as error:
            self.error = CannotStart(f"no pipes, or terminals, can be made: {error.strerror}", error.errno or 0, "guardian")
        if self.child is not None:
            self.passage.begin()
        if not again:
            for number in inherited:
                os.close(number)

    def makePassage(self) -> Passage:
        """Files for one run."""
        call = self._call
        return Passage(call.out, call.err, call.tty, self._again, self._closed, self.say)

    def say(self, line: str) -> None:
        """One line on stderr, which may be closed."""
        try:
            os.write(2, f"nodeset-open: {line}\n".encode(errors="replace"))
        except OSError:
            pass
