"""How far the handlers got with a run of events in one go."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

from nodeset.core.batch import MAX_EVENTS, Events
from nodeset.core.inbox import Delivery, makeDelivery

__all__ = ["DeliverEach", "DeliverRun", "Result", "Stretch", "oneByOne"]

#: Of one event: None when its handlers are done, a text when one failed, or a Deferred of either.
Result = Deferred[str | None] | str | None


class Stretch(NamedTuple):
    """Number and offset in the run of the event that is next: that of `delivery`, if its `result` is not just None."""

    reached: int
    offset: int
    delivery: Delivery | None = None
    result: Result = None


#: Called with a run, the stream that it is of, index and offset of its next event, and what says whether to go on.
DeliverRun = Callable[[Events, str, int, int, Callable[[], bool]], Stretch]


class DeliverEach(Protocol):
    """As `DeliverRun`, of at most so many events."""

    def __call__(
        self, run: Events, stream: str, index: int, offset: int, more: Callable[[], bool], most: int = MAX_EVENTS
    ) -> Stretch: ...


def oneByOne(deliver: Callable[[Delivery], Result]) -> DeliverEach:
    """Call `deliver` with each event."""

    def deliverEach(
        run: Events, stream: str, index: int, offset: int, more: Callable[[], bool], most: int = MAX_EVENTS
    ) -> Stretch:
        for length in run.lengths[index : index + most]:
            delivery = makeDelivery(run, stream, index, run.payloads[offset : offset + length])
            result = deliver(delivery)
            if result is not None:
                return Stretch(index, offset, delivery, result)
            index += 1
            offset += length
            if not more():
                break
        return Stretch(index, offset)

    return deliverEach
