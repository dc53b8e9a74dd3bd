"""What `nodeset-open` does before anything large is imported: the program runs, what it writes is passed on."""

from __future__ import annotations

import os
import time
from typing import Final

from nodeset.errors import CannotStart
from nodeset.processes.passing.summons import Summons
from nodeset.processes.starting.child import Child
from nodeset.processes.starting.guardian import GuardianProcess, pristineEnviron
from nodeset.processes.starting.spawning import Order

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

    :param closed: those of 0, 1, 2 that we came without.
    :ivar child: it, once it runs.
    :ivar error: why it does not.
    :ivar before: the variables that we were started with.
    :ivar began: when that was, as the monotonic clock has it.
    """

    def __init__(self, closed: frozenset[int]) -> None:
        self.began = time.monotonic()
        self._closed, self._inherited = closed, _inherited()
        self.before = pristineEnviron()
        # As early as can be, since it needs most of the time: it gets ready while we do the rest.
        self.guardian = GuardianProcess(self.before)
        # The guardian, so its programs, have the signal mask as it was.
        self.summons = Summons()
        self.summons.start()
        self.child: Child | None = None
        self.error: CannotStart | None = None
        #: Where the log goes.
        self.log_file = 2

    def start(self, call: Call, again: bool) -> None:
        """Start the program, let its bytes flow. `again` is whether it may be started once more."""
        from nodeset.processes.passing.passage import Passage

        def makePassage() -> Passage:
            return Passage(call.out, call.err, call.tty, again, self._closed, self.say)

        if call.debug:
            # The program's end lets go of our stderr.
            self.log_file = os.dup(2)
        #: Makes the files for one more run.
        self.makePassage = makePassage
        self.passage = passage = makePassage()
        self.order = Order(
            argv=tuple(call.command),
            scope="session" if passage.has_terminal else "shared",
            terminal=passage.has_terminal,
            kill=not call.keep,
            pass_fds=self._inherited,
        )
        try:
            files = passage.open()
            self.order = self.order._replace(closed=passage.without)
            self.child = self.guardian.spawnNow(self.order, files)
        except CannotStart as error:
            self.error = error
            passage.abandon()
        except OSError as error:
            self.error = CannotStart(f"no pipes, or terminals, can be made: {error.strerror}", error.errno or 0, "guardian")
        if self.child is not None:
            passage.begin()
        self.guardian.adopt()
        if not again:
            for number in self._inherited:
                os.close(number)

    def say(self, line: str) -> None:
        """One line on stderr, which may be closed."""
        try:
            self.write(f"nodeset-open: {line}\n".encode(errors="replace"))
        except OSError:
            pass

    def write(self, lines: bytes) -> None:
        """Write lines of ours to stderr, whose terminal may be raw for the program's sake. OSError if it takes none."""
        from nodeset.processes.passing.terminal import atLeftEdge

        os.write(self.log_file, atLeftEdge(self.log_file, lines))
