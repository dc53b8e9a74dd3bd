"""The program as a call of `nodeset-open` sees it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from nodeset.processes.guard import lineage
from nodeset.processes.starting.child import Child

__all__ = ["Guest"]


class Guest:
    """A `Child` to whom signals come from us as well as from its watcher.

    :param keep: what it leaves behind is none of our business: nobody waits for it, or ends it.
    """

    def __init__(self, child: Child, keep: bool) -> None:
        self._child, self._keep = child, keep
        self._spared = 0

    @property
    def pid(self) -> int:
        """See `Child`."""
        return self._child.pid

    @property
    def code(self) -> int | None:
        """See `Child`."""
        return self._child.code

    def onEnded(self, call: Callable[[int], object]) -> None:
        """See `Child`."""
        self._child.onEnded(call)

    def onEmptied(self, call: Callable[[], object]) -> None:
        """See `Child`; with `keep` that is when it has ended."""
        if self._keep:
            self._child.onEnded(lambda code: call())
        else:
            self._child.onEmptied(call)

    def onStopped(self, call: Callable[[int], object]) -> None:
        """See `Child`."""
        self._child.onStopped(call)

    def isStopped(self) -> bool:
        """Whether it stands still just now."""
        found = lineage.read(self.pid) if self.code is None else None
        return found is not None and found.state in "Tt"

    def spare(self, number: int) -> None:
        """It has had this signal: the next one of this number from its watcher is left out."""
        self._spared = number

    def signal(self, number: int) -> bool:
        """See `Child`."""
        if number == self._spared:
            self._spared = 0
            return self.code is None
        return self._child.signal(number)

    def passOn(self, number: int) -> bool:
        """Send it this signal, which was meant for it; False if it has ended, or may not be told by us."""
        try:
            return self._child.signal(number)
        except PermissionError:
            return False

    def signalGroup(self, number: int) -> Deferred[bool]:
        """See `Child`."""
        return self._child.signalGroup(number)

    def signalTree(self, number: int) -> Deferred[bool]:
        """See `Child`."""
        return self._child.signalTree(number)
