"""Centers that say that they are here, as somebody who answers with the states of all programs can bear it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from nodeset.core.waker import Waker
from nodeset.errors import BadProgram
from nodeset.processes.events import CenterHere
from nodeset.processes.program import checkName

__all__ = ["Announcements"]

#: Seconds between two answers in the long run; what may be ahead of that, in seconds.
_PAUSE: Final = 1.0
_AHEAD: Final = 3.0


class Announcements:
    """Tells of centers that are here: at once, but once a second if there is no end of them.

    Any member of the bus can publish what looks like a center's word; each answer is many events, with the center's name in
    all of them. So what is no name counts for nothing, and of those that come too fast the last one stands for all.

    :param told: called with the name of a center.
    :ivar refused: announcements of what cannot be a center.
    """

    def __init__(self, clock: IReactorTime, told: Callable[[str], object]) -> None:
        self._clock, self._told = clock, told
        self._due = float("-inf")
        self._name = ""
        self._waker = Waker(clock, self._tell)
        self.refused = 0

    def hear(self, msg: CenterHere) -> None:
        """A center says that it is here, or somebody does."""
        try:
            self._name = checkName(msg.name)
        except BadProgram:
            self.refused += 1
            return
        earliest = self._due - _AHEAD
        if self._clock.seconds() >= earliest:
            self._tell()
        else:
            self._waker.set(earliest)

    def forget(self) -> None:
        """The link is lost: who is there is told anew by the next one."""
        self._waker.stop()

    def _tell(self) -> None:
        self._waker.stop()
        self._due = max(self._due, self._clock.seconds()) + _PAUSE
        self._told(self._name)
