"""The frames of calls on one link, those that wait for their turn like those that were sent but may not have arrived.

A window of batches may be under way. What was sent is kept until the other side gives the batch's credit back, so that a link
that is lost loses nothing to somebody who knows us still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from nodeset.core.calls.callframes import Answer, Call, Ending, Item
from nodeset.core.limits import TARGET, WINDOW

__all__ = ["Lane", "LaneFrame", "weigh"]

LaneFrame = Call | Answer | Item

#: Frames of one batch. A batch has its events and its confirms besides, and no receiver takes more than 4,096.
_MOST_FRAMES = 512
#: What of a batch goes to calls before answers come; when they leave too little room, the next batch is theirs.
_SHARE, _MOST_CALLS = TARGET // 2, 256


def weigh(frame: LaneFrame) -> int:
    """At least the bytes that `frame` takes when packed; ids and stamps have at most 128 characters of four bytes."""
    if type(frame) is Call:
        return 900 + len(frame.payload) + len(frame.headers) + 4 * (len(frame.target) + len(frame.method))
    if type(frame) is Answer:
        return 300 + len(frame.payload)
    if type(frame) is Item:
        return 300 + sum(map(len, frame.payloads)) + 5 * len(frame.payloads)
    return 300


#: What waits for who was never sent anything: an empty deque takes 760 bytes, and most nodes may be idle.
_NOTHING: Final[deque[LaneFrame]] = deque(maxlen=0)


class Lane:
    """What goes one way over the links of one session, a batch of it for each credit.

    :param draw: gives the next call to send, None when there is none or none may go now.
    """

    __slots__ = ("_draw", "_frames", "_owed", "_sent", "bytes", "credit")

    def __init__(self, draw: Callable[[], Call | None]) -> None:
        self._draw = draw
        self._frames = _NOTHING
        self._sent: list[list[LaneFrame]] = []
        self._owed = False
        self.bytes = 0
        self.credit = 0

    def put(self, frame: LaneFrame) -> None:
        """Have an answer, or items, sent in its turn."""
        if self._frames is _NOTHING:
            self._frames = deque()
        self._frames.append(frame)
        self.bytes += weigh(frame)

    @property
    def waits(self) -> bool:
        """Whether answers or items wait to be sent."""
        return bool(self._frames)

    def dropOldest(self) -> LaneFrame:
        """Give up what waits for the longest. Raises IndexError when nothing does."""
        frame = self._frames.popleft()
        self.bytes -= weigh(frame)
        return frame

    def take(self) -> tuple[list[LaneFrame], int]:
        """The frames of the next batch with what they weigh, none without credit; they count as sent from here on."""
        if self.credit <= 0:
            return [], 0
        frames = self._frames
        batch: list[LaneFrame] = []
        weight = 0
        if not self._owed:
            # The last one may be large: all else of the batch leaves room for it.
            while weight < _SHARE and len(batch) < _MOST_CALLS and (call := self._draw()) is not None:
                batch.append(call)
                weight += weigh(call)
        while frames and len(batch) < _MOST_FRAMES:
            size = weigh(frames[0])
            if batch and weight + size > TARGET:
                break
            weight += size
            self.bytes -= size
            batch.append(frames.popleft())
        self._owed = bool(frames) and not self._owed
        if batch:
            self.credit -= 1
            self._sent.append(batch)
        return batch, weight

    def took(self, batches: int) -> list[LaneFrame]:
        """So many batches have arrived; returns what was in them."""
        self.credit = min(WINDOW, self.credit + batches)
        if batches == 1 and self._sent:
            return self._sent.pop(0)
        arrived: list[LaneFrame] = []
        while batches and self._sent:
            batches -= 1
            arrived += self._sent.pop(0)
        return arrived

    def opened(self) -> list[LaneFrame]:
        """A link is open; returns what was sent before and has perhaps not arrived, in order, for `back` or for nobody."""
        self.credit = WINDOW
        sent = [frame for batch in self._sent for frame in batch]
        self._sent.clear()
        return sent

    def back(self, frames: Sequence[LaneFrame]) -> None:
        """Send these first."""
        if frames:
            self._frames = deque([*frames, *self._frames])
        self.bytes += sum(map(weigh, frames))

    def closed(self) -> None:
        """There is no link."""
        self.credit = 0

    def dropStreams(self) -> None:
        """Forget items that wait: streams end with the link."""
        if self._frames:
            self._frames = deque(one for one in self._frames if type(one) is Answer and one.ending is not Ending.STREAM)
            self.bytes = sum(map(weigh, self._frames))

    def clear(self) -> None:
        """Forget what waits: nobody knows what it was about."""
        self._frames.clear()
        self.bytes = 0
