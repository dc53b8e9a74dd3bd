"""What the commands for people end with: exit codes, the line that goes with each."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

from nodeset.cli.options import oneLine
from nodeset.errors import (
    BadArguments,
    BadFurl,
    BadGrant,
    BadMessage,
    BadSettings,
    InvalidAddressing,
    NotThere,
    OutcomeUnknown,
    Refused,
    TimedOut,
    UnknownMethod,
    UnknownNode,
    WrongIdentity,
)

__all__ = ["Exit", "GaveUp", "explain", "judge"]


class Exit(IntEnum):
    """Exit codes, the same for every sub-command; docs/cli.md has the table."""

    #: It was done.
    OK = 0
    #: It was not done; the line on stderr says why.
    FAILED = 1
    #: It was asked for in a way that cannot be: a wrong option, bad JSON, an address that is none.
    USAGE = 2
    #: No dispatcher answers, or another than the one that the address names.
    NO_DISPATCHER = 3
    #: The dispatcher refuses it: the grant does not allow it, has expired, was revoked.
    REFUSED = 4
    #: There is no such node, or no such method.
    UNKNOWN = 5
    #: No answer came in time: it may or may not have been done.
    NO_ANSWER = 6
    #: Ctrl-C, as shells report it.
    INTERRUPTED = 130
    #: Whoever read our output has gone, as shells report it.
    CLOSED_PIPE = 141


class GaveUp(Exception):
    """Ends a sub-command with this line and this code."""

    def __init__(self, reason: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(reason)
        self.code = code


#: The first that fits counts.
_CODES: Final[list[tuple[type[BaseException] | tuple[type[BaseException], ...], Exit]]] = [
    ((UnknownNode, UnknownMethod), Exit.UNKNOWN),
    ((NotThere, WrongIdentity), Exit.NO_DISPATCHER),
    (Refused, Exit.REFUSED),
    ((BadFurl, BadGrant, BadMessage, BadSettings, BadArguments, InvalidAddressing), Exit.USAGE),
    ((TimedOut, OutcomeUnknown), Exit.NO_ANSWER),
    (BrokenPipeError, Exit.CLOSED_PIPE),
]
_UNWRITABLE: Final = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EBADF)


def judge(error: BaseException) -> Exit:
    """The exit code for this error.

    >>> judge(BrokenPipeError()) is Exit.CLOSED_PIPE
    True
    """
    if isinstance(error, GaveUp):
        return error.code
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), Exit.FAILED)


def explain(error: BaseException) -> str:
    """The line for this error, without the secret of a FURL in it.

    >>> explain(OSError(28, "No space left on device"))
    'cannot write its output: No space left on device'
    """
    if isinstance(error, BrokenPipeError):
        return "whoever read its output has closed it"
    if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
        return f"cannot write its output: {error.strerror}"
    return oneLine(error) or type(error).__name__
