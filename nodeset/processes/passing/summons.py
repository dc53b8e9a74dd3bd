"""The signals that this process is sent, with where they come from.

A thread waits for them: a Python handler is not told whether a key of the terminal was pressed, which the program got as well,
or whether somebody wants this process alone. Nothing of Twisted is imported here, as in `relay`.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["PASSED", "Summons"]

#: What is passed on to a program, as far as it was not ignored when we came.
PASSED: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCONT,
    signal.SIGTSTP,
)
#: The `si_code` of a signal that the system itself sends.
_KERNEL: Final = 0x80


class Summons:
    """Takes these signals for this process, from `start` on.

    What was ignored when this process began stays ignored: `nohup` means the program as well.
    """

    def __init__(self, numbers: Iterable[int] = PASSED) -> None:
        self._numbers = frozenset(number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN)
        self._lock = threading.Lock()
        self._early: deque[tuple[int, bool]] = deque()
        self._told: Callable[[int, bool], object] | None = None
        self._before: set[signal.Signals] | set[int] = set()

    def start(self) -> None:
        """Begin. To be called before there are other threads, after whatever shall have the signal mask as it was."""
        # What came before as an exception comes as a signal from now on.
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    @property
    def before(self) -> frozenset[int]:
        """The signals that were blocked before `start`."""
        return frozenset(self._before)

    def listen(self, told: Callable[[int, bool], object]) -> None:
        """Have `told(number, is_system)` called, by the thread, for each; at once for those that came already."""
        with self._lock:
            self._told, early = told, list(self._early)
            self._early.clear()
        for number, is_system in early:
            told(number, is_system)

    def _wait(self) -> None:
        while self._numbers:
            found = signal.sigwaitinfo(self._numbers)
            with self._lock:
                told = self._told
                if told is None:
                    self._early.append((found.si_signo, found.si_code == _KERNEL))
                    continue
            told(found.si_signo, found.si_code == _KERNEL)
