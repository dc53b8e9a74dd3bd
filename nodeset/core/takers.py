"""Who holds which mode-`one` event of which stream.

A resent event of mode `one` goes to the node that has it already. What we gave ourselves is known for certain; after a restart
the nodes tell what they hold, begun or not. Own knowledge goes before begun, begun before told.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

import attrs

from nodeset.core.spans import Spans

__all__ = ["MAX_SPANS", "STREAM_EXPIRY", "Takers"]

#: Seconds after which a stream that nobody has heard of is forgotten.
STREAM_EXPIRY = 900.0
#: Ranges of one stream that are remembered: no publisher is as far ahead.
MAX_SPANS = 131_072


@attrs.define
class _Stream:
    heard: float
    takers: Spans[tuple[str, bool]] = attrs.field(factory=Spans)


class Takers:
    """By stream, by sequence number: the session, with whether that is certain."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def heard(self, stream: str, low: int, now: float) -> None:
        """The publisher of `stream` said something; it will not ask about numbers below `low` again."""
        known = self._streams.setdefault(stream, _Stream(now))
        known.heard = now
        known.takers.forgetBelow(low)

    def give(self, stream: str, first: int, last: int, session: str) -> None:
        """`session` gets these events from us."""
        if stream in self._streams:
            self._streams[stream].takers.put(first, last, (session, True))

    def told(
        self, stream: str, ranges: Iterable[tuple[int, int]], session: str, begun: bool, now: float, most: int = MAX_SPANS
    ) -> int:
        """`session` says that it holds these; returns how many pieces had to be looked at, no range more after `most` of them.

        A range is a few bytes that may span all that others hold.
        """
        looked = 0
        takers = self._streams.setdefault(stream, _Stream(now)).takers
        for first, last in ranges:
            if looked > most or len(takers) >= MAX_SPANS:
                break
            for begin, end, taker in takers.within(first, last):
                looked += 1
                if taker is None or (begun and not taker[1]):
                    takers.put(begin, end, (session, begun))
        return looked

    def within(self, stream: str, first: int, last: int) -> list[tuple[int, int, str | None]]:
        """`first..last` cut where the holder changes."""
        known = self._streams.get(stream)
        if known is None:
            return [(first, last, None)]
        return [(begin, end, taker and taker[0]) for begin, end, taker in known.takers.within(first, last)]

    def expire(self, now: float, present: Container[str]) -> list[str]:
        """Forget the streams that are silent for long and whose node is not `present`; returns them."""
        old = [stream for stream, known in self._streams.items() if stream not in present and now - known.heard > STREAM_EXPIRY]
        for stream in old:
            del self._streams[stream]
        return old
