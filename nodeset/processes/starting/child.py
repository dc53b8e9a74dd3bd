"""A program that a guardian runs, as its supervisor has it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["Child"]


class Asked(Protocol):
    """What a child needs of its guardian."""

    failed: Callable[[BaseException], object]

    def ask(self, message: dict[str, Any], answered: Callable[[dict[str, Any]], object]) -> None: ...


class Child:
    """A program that runs, or ran.

    :ivar pid: its leader's. It is nobody else's until `onEmptied` calls.
    :ivar code: None while it runs; then its exit code, or the number of the signal that ended it, negative.
    :ivar outlives: whether it goes on when we are gone.
    :ivar emptied: whether nobody of its group is left.
    """

    def __init__(self, guardian: Asked, id: int, pid: int, pidfd: int, *, outlives: bool = False) -> None:
        self.pid = pid
        self.outlives = outlives
        self.code: int | None = None
        self.emptied = False
        self._guardian, self._id, self._pidfd = guardian, id, pidfd
        self._on_ended: list[Callable[[int], object]] = []
        self._on_emptied: list[Callable[[], object]] = []
        self._on_stopped: list[Callable[[int], object]] = []

    def onEnded(self, call: Callable[[int], object]) -> None:
        """Call this with `code` when it ends; at once if it did. An exception is logged."""
        if self.code is not None:
            self._tell(call, self.code)
        else:
            self._on_ended.append(call)

    def onEmptied(self, call: Callable[[], object]) -> None:
        """Call this when nobody of its group or session is left, for scope "shared" nobody below the guardian but other
        programs; at once if it is so. Always after `onEnded`.
        """
        if self.emptied:
            self._tell(call)
        else:
            self._on_emptied.append(call)

    def onStopped(self, call: Callable[[int], object]) -> None:
        """Call this each time that a signal stops it, with the number of that; with 0 when it goes on."""
        self._on_stopped.append(call)

    def signal(self, number: int) -> bool:
        """Send a signal to the leader alone; False if it has ended. PermissionError if it became somebody else's."""
        if self._pidfd < 0 or self._isOver():
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def _isOver(self) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def signalGroup(self, number: int) -> Deferred[bool]:
        """Send a signal to its process group, at once to all; whether anybody was there who could get it."""
        return self._ask(number, "group")

    def signalTree(self, number: int) -> Deferred[bool]:
        """Send a signal to all descendants of it, all of its group, all of its session; whether anybody was there who could.

        With SIGKILL again until nobody is left; False if somebody is, after 2 s or if they belong to another user.
        """
        return self._ask(number, "tree")

    def _ask(self, number: int, whole: str) -> Deferred[bool]:
        from twisted.internet.defer import Deferred

        fired: Deferred[bool] = Deferred()
        if self.emptied:
            fired.callback(False)
        else:
            message = {"do": "signal", "id": self._id, "number": int(number), "whole": whole}
            self._guardian.ask(message, lambda answer: fired.callback(answer.get("errno") == 0))
        return fired

    # For its guardian.

    def end(self, code: int) -> None:
        self.code = code
        self.forget()
        calls, self._on_ended = self._on_ended, []
        for call in calls:
            self._tell(call, code)

    def empty(self) -> None:
        self.emptied = True
        calls, self._on_emptied = self._on_emptied, []
        for call in calls:
            self._tell(call)

    def stop(self, number: int) -> None:
        for call in self._on_stopped:
            self._tell(call, number)

    def lose(self) -> None:
        """The guardian is gone. What it did not end itself we end, to be sure: nobody watches it any more."""
        if self.code is None:
            try:
                self.signal(signal.SIGKILL)
            except PermissionError:
                pass
            self.end(-signal.SIGKILL)
        if not self.emptied:
            self.empty()

    def forget(self) -> None:
        """Watch it no more."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _tell(self, call: Callable[..., object], *values: int) -> None:
        try:
            call(*values)
        except Exception as e:
            self._guardian.failed(e)
