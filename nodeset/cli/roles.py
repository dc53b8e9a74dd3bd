"""The nodes behind `nodeset-node`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from nodeset.core.link import Link, Receiver, Transport
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.errors import BadFurl, NodeSetError, NotRunning, Receipt, Refused, WrongIdentity

__all__ = ["Present", "Publisher", "Subscriber"]


#: Seconds in which the confirmation of the last event gets away.
_FAREWELL = 0.1
#: Seconds that a publish is given at least, however late the dispatcher came.
_LEAST = 1.0


class _Dialling:
    """A transport that keeps in mind why the last attempt failed, and makes no other one once `isHopeless` says so."""

    def __init__(self, transport: Transport, isHopeless: Callable[[Failure], bool]) -> None:
        self._transport, self._isHopeless = transport, isHopeless
        self.startTransport, self.stopTransport = transport.startTransport, transport.stopTransport
        self.describe, self.furl = transport.describe, transport.furl
        self.reason = ""
        #: Called before each attempt.
        self.begins: Callable[[], None] = lambda: None

    def dial(self, hello: bytes, receiver: Receiver) -> Deferred[tuple[Link, bytes]]:
        """See `Transport`."""
        self.begins()

        def failed(failure: Failure) -> Any:
            self.reason = failure.getErrorMessage()
            # What never fires is neither logged as something that will be tried again, nor tried again.
            return Deferred() if self._isHopeless(failure) else failure

        return self._transport.dial(hello, receiver).addErrback(failed)


class Present(Node):
    """A node that is there.

    :param end: called with the exit code, the reason or nothing, when the process should end.
    :param fixed: whether the dispatcher's address cannot change, so that a refusal is for ever.
    """

    def __init__(self, end: Callable[[int, str], None], fixed: bool, *, transport: Transport, **about: Any) -> None:
        self._dialling = _Dialling(transport, self._isHopeless)
        super().__init__(transport=self._dialling, **about)
        self._endProcess, self._is_fixed = end, fixed

    def startService(self) -> None:
        """Look for the dispatcher."""
        super().startService()
        self._awaitLink()

    def _awaitLink(self) -> None:
        self.start().addCallbacks(self.linked, self.notLinked).addErrback(self._failedBadly)

    def linked(self, node: object) -> None:
        """Called once, when the first link is open; the log has it already."""

    def notLinked(self, failure: Failure) -> None:
        """The dispatcher does not let us in, for now: the log has the reason. Or this machine lacks something."""
        if failure.check(BadFurl, Refused, WrongIdentity):
            self._awaitLink()
        elif not failure.check(NotRunning):
            self._endProcess(1, failure.getErrorMessage())

    def waits(self) -> bool:
        """Whether another FURL, which leads to somebody who lets us in, may come and is waited for."""
        return not self._is_fixed

    def _isHopeless(self, failure: Failure) -> bool:
        if self.waits() or not failure.check(BadFurl, Refused, WrongIdentity):
            return False
        self._endProcess(1, failure.getErrorMessage())
        return True

    def _failedBadly(self, failure: Failure) -> None:
        self.log.failure("the node failed", failure)
        self._endProcess(1, f"{failure.type.__name__ if failure.type else 'error'}: {failure.getErrorMessage()}")


class Subscriber(Present):
    """Prints each event that comes as a line: its payload as JSON.

    :param say: called with each line.
    :param wanted: ends the process after so many events; 0 is never.
    """

    def __init__(
        self, end: Callable[[int, str], None], fixed: bool, say: Callable[[str], None], event: str, wanted: int, **about: Any
    ) -> None:
        super().__init__(end, fixed, **about)
        self._say, self._event, self._wanted, self._enough = say, event, wanted, False

    def startService(self) -> None:
        """Subscribe, before there is a link, so that the first one opens with it."""
        subscribed = self.subscribe(self._event)
        super().startService()
        subscribed.addCallbacks(self._subscribed, self._notSubscribed)

    def _subscribed(self, done: bool) -> None:
        self.log.info("subscribed to {event}", event=self._event)

    def _notSubscribed(self, failure: Failure) -> None:
        if not failure.check(NotRunning):
            # There is nothing else that it is here for.
            self._endProcess(1, f"not subscribed to {self._event}: {failure.getErrorMessage()}")

    def onEvent(self, event: str, msg: NodeMessage) -> None:
        """Print it."""
        if self._enough:
            return  # it came with the last one that was wanted
        try:
            self._say(msg.toJson())
        except NodeSetError as error:
            self.log.error("{event} cannot be shown: {reason}", event=event, reason=str(error))
        self._wanted -= 1
        if self._wanted == 0:
            self._enough = True
            # Its publisher should hear that we have it.
            self._findClock().callLater(_FAREWELL, self._endProcess, 0, "")


class Publisher(Present):
    """Publishes one event once it is linked, prints its receipt.

    :param say: called with the line of the receipt.
    :param once: whether that, or that it cannot be, is the end of the process; it is given `publish_timeout` for all of it.
    """

    def __init__(
        self,
        end: Callable[[int, str], None],
        fixed: bool,
        say: Callable[[str], None],
        event: str,
        msg: NodeMessage,
        once: bool,
        **about: Any,
    ) -> None:
        super().__init__(end, fixed, **about)
        self._say, self._event, self._msg, self._once = say, event, msg, once
        self._alarm: IDelayedCall | None = None

    def startService(self) -> None:
        """Look for the dispatcher, not for ever if this is for once."""
        if self._once:
            self._alarm = self._findClock().callLater(self.settings.publish_timeout, self._tooLate)
        super().startService()

    def stopService(self) -> Deferred[None]:
        """See `Node`."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        return super().stopService()

    def _tooLate(self) -> None:
        reason = self._dialling.reason or "no dispatcher answers"
        self._endProcess(1, f"{self._event} was not published in {self.settings.publish_timeout:g} s: {reason}")

    def linked(self, node: object) -> None:
        """Publish."""
        super().linked(node)
        timeout = self.settings.publish_timeout
        if self._alarm is not None and self._alarm.active():
            timeout = max(min(timeout, _LEAST), self._alarm.getTime() - self._findClock().seconds())
            self._alarm.cancel()
        # As a message, since a field may have the name of an argument of publish().
        published = maybeDeferred(self.publishMessage, self._event, self._msg, timeout=timeout)
        published.addCallbacks(self._published, self._notPublished)

    def waits(self) -> bool:
        """Who publishes once does not."""
        return not self._once and super().waits()

    def _published(self, receipt: Receipt) -> None:
        self._say(f"{self._event}: matched {receipt.matched}, delivered {receipt.delivered}, dropped {receipt.dropped}")
        if self._once:
            self._endProcess(0, "")

    def _notPublished(self, failure: Failure) -> None:
        if self._once:
            self._endProcess(1, f"{self._event} was not delivered: {failure.getErrorMessage()}")
        else:
            self.log.error("{event} was not delivered: {reason}", event=self._event, reason=failure.getErrorMessage())
