"""The states of a program, with the numbers that supervisord gave them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["OVER", "State"]


class State(IntEnum):
    """What a program does just now, as `process.NAME.state` tells it.

    The numbers are those of supervisord (docs of its ProcessStates), which the original used too; WAITING is the original's.
    """

    #: Not started, or stopped because somebody asked.
    STOPPED = 0
    #: Started; not yet up for its `start_seconds`, or not yet ready.
    STARTING = 10
    RUNNING = 20
    #: It failed while it was STARTING, or is to be restarted: it will be started again after a pause.
    BACKOFF = 30
    #: It was told to stop.
    STOPPING = 40
    #: For the programs that it depends on.
    WAITING = 50
    #: It ended by itself, to stay so.
    EXITED = 100
    #: It cannot be started, or fails again and again: only a person helps.
    FATAL = 200
    #: Nothing was heard of it for too long; only who watches from afar says so.
    UNKNOWN = 1000


#: In these nothing of the program runs, nor will by itself.
OVER: Final = frozenset({State.STOPPED, State.EXITED, State.FATAL})
