"""Every error that NodeSet raises, split by whose fault it is.

`LocalError` is yours, `RemoteError` is theirs, `LinkLost` is nobody's. The message of each is one line that names the value
that was wrong and what to do; a command prints it as it stands.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BadArguments",
    "BadFurl",
    "BadGrant",
    "BadMessage",
    "BadProgram",
    "BadSettings",
    "Busy",
    "CannotStart",
    "GrantRefused",
    "HandlerFailed",
    "InvalidAddressing",
    "LinkLost",
    "LocalError",
    "MessageTooLarge",
    "MissingField",
    "NodeSetError",
    "NotRunning",
    "NotThere",
    "OutcomeUnknown",
    "Overloaded",
    "PortTaken",
    "ProtocolError",
    "Receipt",
    "Refused",
    "RemoteError",
    "StateUnusable",
    "TimedOut",
    "Undelivered",
    "UnknownField",
    "UnknownMethod",
    "UnknownNode",
    "WrongIdentity",
]


class Receipt(NamedTuple):
    """What became of one published event, always true in a boolean context.

    `matched` subscriptions were held when the event was routed, `delivered` handlers were called (finished, for level
    `handled`), `dropped` ones lost it to a policy. `Receipt(0, 0, 0)` means that nobody subscribes to it.
    """

    matched: int
    delivered: int
    dropped: int

    def __bool__(self) -> bool:
        return True


class NodeSetError(Exception):
    """Something went wrong in NodeSet."""

    def __str__(self) -> str:
        # KeyError, which some of ours are, would quote the sentence.
        return " ".join(str(arg) for arg in self.args) or (self.__doc__ or "").partition("\n")[0]


class LocalError(NodeSetError):
    """The mistake is on this side, in what was asked for."""


class InvalidAddressing(LocalError, ValueError):
    """This is not an address of an event."""


class BadMessage(LocalError, ValueError):
    """This message cannot be sent, because of a value in it."""


class MessageTooLarge(BadMessage):
    """This message is larger than the limit for one event."""


class UnknownField(BadMessage, KeyError):
    """The message class has no such field."""


class MissingField(LocalError, KeyError, AttributeError):
    """The message has no such field."""


class Overloaded(LocalError):
    """More is waiting to be sent than the outbox may hold."""


class NotRunning(LocalError):
    """The service is not running, so it cannot do this."""


class BadSettings(LocalError, ValueError):
    """An option has a value that it cannot have."""


class BadFurl(LocalError, ValueError):
    """This is not the address of a dispatcher."""


class BadGrant(LocalError, ValueError):
    """This grant cannot be made."""


class BadProgram(BadSettings):
    """A program to be run is described in a way that cannot be."""


class CannotStart(LocalError):
    """A program cannot be started.

    :ivar errno: the system's reason, 0 if there is none.
    :ivar at: what is at fault: "command", "cwd", "user", "limit", or "guardian".
    """

    def __init__(self, text: str, errno: int = 0, at: str = "command") -> None:
        super().__init__(text)
        self.errno, self.at = errno, at


class StateUnusable(LocalError):
    """The state directory, or a file in it, cannot be used."""


class PortTaken(LocalError):
    """Somebody else listens where we were told to listen."""


class RemoteError(NodeSetError):
    """The mistake is on the other side of the link.

    When a method that was called raised it, `type` is the name of the exception's class there, `traceback` its trimmed
    traceback, where the other side allows that; both are empty else.
    """

    def __init__(self, message: str = "", type: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.type, self.traceback = type, traceback


class ProtocolError(RemoteError):
    """The peer sent what the protocol does not allow."""


class Refused(RemoteError):
    """The peer does not grant this."""


class GrantRefused(Refused):
    """The dispatcher does not honour this grant."""


class WrongIdentity(RemoteError):
    """Whoever answers at this address is not the one that the address names."""


class UnknownNode(RemoteError):
    """No node of this name is there to be called."""


class UnknownMethod(RemoteError):
    """The node exposes no method of this name."""


class BadArguments(LocalError, TypeError):
    """The method does not take these arguments."""


class Busy(RemoteError):
    """Who is called has no room for one more call."""


class Undelivered(RemoteError):
    """Some that should have had the event are gone or stalled; `receipt` counts the rest."""

    def __init__(self, message: str, receipt: Receipt) -> None:
        super().__init__(message)
        self.receipt = receipt


class HandlerFailed(RemoteError):
    """A handler of the event failed; `receipt` counts all of them."""

    def __init__(self, message: str, receipt: Receipt) -> None:
        super().__init__(message)
        self.receipt = receipt


class LinkLost(NodeSetError):
    """The connection was lost, by nobody's fault."""


class NotThere(NodeSetError):
    """The dispatcher has not written its FURL file yet; it is nobody's fault, waiting helps."""


class OutcomeUnknown(LinkLost):
    """The event was sent, and the answer can no longer come: it may or may not have arrived."""


class TimedOut(OutcomeUnknown, TimeoutError):
    """Nobody answered in time: the method may or may not have been run."""
