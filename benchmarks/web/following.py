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

    :param clients: how many there are.
    :param received: called for each part that a client got, with the numbers of the events in it; None where nobody asks.
    """

    clients: int
    received: Callable[[Numbers], object] | None = None
    wrong: list[str] = attrs.field(factory=list)
    #: The number that each client waits for.
    expected: list[int] = attrs.field(init=False)
    _rests: dict[int, bytes] = attrs.field(factory=dict)
    _known: dict[bytes, Numbers] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.expected = [0] * self.clients

    @property
    def least(self) -> int:
        """How many events every client has got."""
        return min(self.expected)

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

    def _count(self, client: int, numbers: Numbers) -> None:
        if numbers.first < 0:
            return
        if numbers.first != self.expected[client]:
            self._complain(client, f"{numbers.first} came where {self.expected[client]} should have come")
        self.expected[client] = numbers.last + 1
        if self.received is not None:
            self.received(numbers)

    def _complain(self, client: int, why: str) -> None:
        if len(self.wrong) < 3:
            self.wrong.append(f"client {client + 1} of {self.clients}: {why}")

    def complain(self, published: int) -> str:
        """What is wrong, empty if every client got every event once, in order."""
        wrong = list(self.wrong)
        for client, expected in enumerate(self.expected):
            if expected != published and len(wrong) < 3:
                wrong.append(f"client {client + 1} of {self.clients}: got {expected} of {published}")
        return "; ".join(wrong)
