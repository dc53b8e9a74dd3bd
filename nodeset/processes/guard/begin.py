"""How a guardian begins."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket

from nodeset.processes.guard import birth
from nodeset.processes.guard.channel import Channel
from nodeset.processes.guard.loop import Guardian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["guard"]

_PR_SET_CHILD_SUBREAPER = 36
#: Those that a guardian does not listen to: it ends when its supervisor does.
_DEAF = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def guard(words: list[str]) -> None:
    """Guard for the supervisor at the other end of a socket; `words` are its number, the pid, the limit of open files."""
    number, boss, soft = (int(word) for word in words)
    os.set_inheritable(number, False)
    channel = Channel(socket.socket(fileno=number))
    try:
        watched = os.pidfd_open(boss)
    except ProcessLookupError:
        return
    dispositions: dict[int, Any] = {number: signal.getsignal(number) for number in (*_DEAF, signal.SIGCHLD)}
    dispositions |= {signal.SIGPIPE: signal.SIG_DFL, signal.SIGXFSZ: signal.SIG_DFL}
    if dispositions[signal.SIGINT] is signal.default_int_handler:
        dispositions[signal.SIGINT] = signal.SIG_DFL
    for number in _DEAF:
        signal.signal(number, signal.SIG_IGN)
    birth.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with open("/proc/self/environ", "rb") as environ:  # noqa: PTH123
        pairs = [entry.partition(b"=") for entry in environ.read().split(b"\0") if b"=" in entry]
    wants = birth.Wants(os.getpid(), boss, {k: v for k, _, v in pairs}, (soft, hard), dispositions)
    gc.freeze()
    guardian = Guardian(channel, watched, wants)
    try:
        guardian.run()
    except Exception as e:
        guardian.giveUp(f"{type(e).__name__}: {e}")
        raise
