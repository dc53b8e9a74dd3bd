"""The leader of the session that a program with a terminal of its own is in.

The system stops nobody by Ctrl-Z in a process group that no parent in the same session watches (POSIX: an orphaned one), so a
program that leads its session itself could not be stopped. This process leads it, is the program's parent, and does nothing
but what that does: it stands still when the program does, and ends as that ends. It is a fork of the guardian.
"""

from __future__ import annotations

import os
import resource
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["WORD", "lead"]

#: What precedes the pid of the program in the report.
WORD = b"pid "


def lead(report: int) -> int:
    """Return in the program's process, in a group of its own that is the foreground of the terminal at 0.

    It gives its parent's pid. Here, in that parent, nothing returns.
    """
    leader = os.getpid()
    # It takes the foreground from behind, which would stop it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    pid = os.fork()
    if pid:
        _attend(pid)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.write(report, WORD + b"%d\n" % os.getpid())
    return leader


def _attend(pid: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT}:
            signal.signal(number, signal.SIG_IGN)
        # Its own place at the terminal lasts without a file; others must see when the last of theirs is closed.
        os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        while True:
            # It stays a zombie: who knows its pid may use that until the guardian has seen both of us end.
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if found is None or found.si_code == os.CLD_EXITED:
                os._exit(0 if found is None else found.si_status)
            if found.si_code != os.CLD_STOPPED:
                _endBy(found.si_status)
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
            os.kill(os.getpid(), signal.SIGSTOP)
    finally:
        os._exit(127)


def _endBy(number: int) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)
