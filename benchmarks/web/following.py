"""What the clients of a stream have got, counted as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from benchmarks.web.payload import BadStream, Numbers, findNumbers

__all__ = ["Following"]

#: Parts of the stream that are remembered: all clients get the same bytes, mostly cut alike, so each is looked at once.
_REMEMBERED: Final = 512


@attrs.define
class Following:
    """All clients of a run; each must get every event once, in order.

    :param clients: how many there are; each of the publishers has an order of its own.
    :param received: called for each part that a client got, with the numbers of the events in it; None where nobody asks.
    """

    clients: int
    publishers: int = 1
    received: Callable[[Numbers], object] | None = None
    wrong: list[str] = attrs.field(factory=list)
    #: How many events each client has got, then the number that it waits for from each publisher.
    _got: list[int] = attrs.field(init=False)
    _expected: list[list[int]] = attrs.field(init=False)
    _rests: dict[int, bytes] = attrs.field(factory=dict)
    _known: dict[bytes, tuple[Numbers, ...]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._got = [0] * self.clients
        self._expected = [[0] * self.publishers for _client in range(self.clients)]

    @property
    def least(self) -> int:
        """How many events every client has got."""
        return min(self._got)

    def take(self, client: int, data: bytes) -> None:
        """A client got some bytes of its stream."""
        if client not in self._rests:
            numbers = self._known.get(data)
            if numbers is not None:
                self._count(client, numbers)
                return
        else:
            data = self._rests.pop(client) + data
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            self._rests[client] = data
            return
        if len(data) - end > 2:  # more than the end of a chunk
            self._rests[client] = data[end:]
            data = data[:end]
        try:
            numbers = findNumbers(data)
        except BadStream as error:
            self._complain(client, str(error))
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[data] = numbers
        self._count(client, numbers)

    def _count(self, client: int, found: tuple[Numbers, ...]) -> None:
        expected = self._expected[client]
        for numbers in found:
            source, first, last = numbers.source, numbers.first, numbers.last
            if source >= self.publishers or first != expected[source]:
                self._complain(client, f"{first} of publisher {source} came where another should have come")
                return
            expected[source] = last + 1
            self._got[client] += last + 1 - first
            if self.received is not None:
                self.received(numbers)

    def _complain(self, client: int, why: str) -> None:
        if len(self.wrong) < 3:
            self.wrong.append(f"client {client + 1} of {self.clients}: {why}")

    def complain(self, published: int) -> str:
        """What is wrong, empty if every client got every event once, in order."""
        wrong = list(self.wrong)
        for client, got in enumerate(self._got):
            if got != published and len(wrong) < 3:
                wrong.append(f"client {client + 1} of {self.clients}: got {got} of {published}")
        return "; ".join(wrong)
