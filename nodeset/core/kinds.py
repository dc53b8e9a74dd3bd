"""What an event may be, what may become of it: the numbers that stand for it on the wire."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Level", "Mode", "Outcome", "Policy", "Result"]


class Mode(IntEnum):
    """Who gets an event: every match, or exactly one of them."""

    ALL = 0
    ONE = 1


class Level(IntEnum):
    """How far an event must have come before its publisher is told so."""

    ACCEPTED = 0
    DELIVERED = 1
    HANDLED = 2


class Outcome(IntEnum):
    """What became of an event at one subscriber."""

    OK = 0
    FAILED = 1
    LATE = 2
    REFUSED = 3
    #: Never on the wire: nobody is left to answer.
    LOST = 4
    #: Its time to live was over before a handler was called.
    EXPIRED = 5


class Result(IntEnum):
    """What became of an event at all of them."""

    OK = 0
    UNDELIVERED = 1
    FAILED = 2
    #: The publisher's grant does not cover it.
    REFUSED = 3


class Policy(IntEnum):
    """What becomes of events for a subscription whose queue is full."""

    BLOCK = 0
    DROP_OLDEST = 1
    DROP_NEWEST = 2
