"""The nodes behind `nodeset-node`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from nodeset.core.message import MessageBuilder, NodeMessage
from nodeset.core.node import Node
from nodeset.errors import NodeSetError, NotRunning, PortTaken, Receipt, StateUnusable

__all__ = ["Publisher", "Subscriber"]


#: Seconds in which the confirmation of the last event gets away.
_FAREWELL = 0.1


def _say(line: str) -> None:
    # twistd turns sys.stdout into the log; this is the real one, None or closed in a daemon.
    if sys.__stdout__ is not None:
        try:
            sys.__stdout__.write(f"{line}\n")
            sys.__stdout__.flush()
        except (OSError, ValueError):
            pass


class Present(Node):
    """A node that is there.

    :param end: called with the exit code when the process should end.
    """

    def __init__(self, end: Callable[[int], None], **about: Any) -> None:
        super().__init__(**about)
        self._endProcess = end

    def startService(self) -> None:
        """Look for the dispatcher."""
        super().startService()
        self.start().addCallbacks(self.linked, self.notLinked)

    def linked(self, node: object) -> None:
        """Called once, when the first link is open."""
        self.log.info("linked to the dispatcher")

    def notLinked(self, failure: Failure) -> None:
        """Called once instead. Only what this machine lacks ends the process: a dispatcher may mend its ways."""
        if failure.check(NotRunning):
            return
        self.log.error("not linked: {reason}", reason=failure.getErrorMessage())
        if failure.check(PortTaken, StateUnusable):
            self._endProcess(1)


class Subscriber(Present):
    """Prints each event that comes as a line: its payload as JSON.

    :param wanted: ends the process after so many events; 0 is never.
    """

    def __init__(self, end: Callable[[int], None], event: str, wanted: int, **about: Any) -> None:
        super().__init__(end, **about)
        self._event, self._wanted, self._enough = event, wanted, False

    def startService(self) -> None:
        """Subscribe, before there is a link, so that the first one opens with it."""
        subscribed = self.subscribe(self._event)
        super().startService()
        subscribed.addCallbacks(self._subscribed, self._notSubscribed)

    def _subscribed(self, done: bool) -> None:
        self.log.info("subscribed to {event}", event=self._event)

    def _notSubscribed(self, failure: Failure) -> None:
        if not failure.check(NotRunning):
            self.log.error("not subscribed to {event}: {reason}", event=self._event, reason=failure.getErrorMessage())

    def onEvent(self, event: str, msg: NodeMessage) -> None:
        """Print it."""
        if self._enough:
            return  # it came with the last one that was wanted
        try:
            _say(msg.toJson())
        except NodeSetError as error:
            self.log.error("{event} cannot be shown: {reason}", event=event, reason=str(error))
        self._wanted -= 1
        if self._wanted == 0:
            self._enough = True
            # Its publisher should hear that we have it.
            self._findClock().callLater(_FAREWELL, self._endProcess, 0)


class Publisher(Present):
    """Publishes one event once it is linked, prints its receipt.

    :param once: whether that is the end of the process.
    """

    def __init__(self, end: Callable[[int], None], event: str, fields: dict[str, Any], once: bool, **about: Any) -> None:
        super().__init__(end, **about)
        self._event, self._fields, self._once = event, fields, once

    def linked(self, node: object) -> None:
        """Publish."""
        super().linked(node)
        # As a message, since a field may have the name of an argument of publish().
        msg = MessageBuilder.createMessage(None, **self._fields)
        published = self.publishMessage(self._event, msg, timeout=self.settings.publish_timeout)
        published.addCallbacks(self._published, self._notPublished)

    def notLinked(self, failure: Failure) -> None:
        """Nothing will be published."""
        super().notLinked(failure)
        if self._once:
            self._endProcess(1)

    def _published(self, receipt: Receipt) -> None:
        _say(f"{self._event}: matched {receipt.matched}, delivered {receipt.delivered}, dropped {receipt.dropped}")
        if self._once:
            self._endProcess(0)

    def _notPublished(self, failure: Failure) -> None:
        self.log.error("{event} was not delivered: {reason}", event=self._event, reason=failure.getErrorMessage())
        if self._once:
            self._endProcess(1)
