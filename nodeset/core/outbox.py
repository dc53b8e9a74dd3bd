"""What a node published that is not confirmed yet.

Bounded three times over: in events and bytes that were admitted, in the distance from the lowest unconfirmed sequence number
(so that the receivers' memory stays bounded too), and in what waits to be admitted. An event gets its sequence number when it
is admitted, so numbers are in the order of `publish`.

Events are kept by the block, so that most of the work is done once for hundreds of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import accumulate

import msgspec

from nodeset.core.batch import MAX_EVENTS, TARGET, Events
from nodeset.core.blocks import EACH, Block, Terms, begin, makeRuns
from nodeset.core.deadlines import Deadlines
from nodeset.core.ranges import merged
from nodeset.errors import Overloaded

__all__ = ["MAX_UNCONFIRMED", "MAX_UNCONFIRMED_BYTES", "Gone", "Outbox"]

#: Events that may be unconfirmed, which is as well how far the newest may be past the oldest (D6).
MAX_UNCONFIRMED = 100_000
#: Bytes of payload that may be unconfirmed (D6).
MAX_UNCONFIRMED_BYTES = 64 * 1024 * 1024
#: Blocks in front that are empty, before their room is used again.
_HUSKS = 64

#: Tokens of events that are over, in order, with the terms that they were published under.
Gone = tuple[Terms, list[object]]


class _Waiter(msgspec.Struct, eq=False):
    """One event that waits for room."""

    terms: Terms
    payload: bytes
    token: object
    deadline: float | None
    expires: float | None
    left: int = 1


class Outbox:
    """The events of one stream, from `publish` to confirm; each has a token, the caller's own and never None.

    :param max_events: unconfirmed events.
    :param max_bytes: bytes of their payloads, and as many again may wait.
    :param max_waiting: events that may wait for room.
    """

    def __init__(
        self, max_events: int = MAX_UNCONFIRMED, max_bytes: int = MAX_UNCONFIRMED_BYTES, max_waiting: int = MAX_UNCONFIRMED
    ) -> None:
        self._max_bytes, self._max_waiting = max_bytes, max_waiting
        self._most = max_events - 1
        # In order of their numbers, `_firsts` for the search; what lies before `_head` is empty.
        self._blocks: list[Block] = []
        self._firsts: list[int] = []
        self._head = 0
        self._open: Block | None = None
        self._unsent: deque[Block] = deque()
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._deadlines: Deadlines[Block | _Waiter] = Deadlines()
        self._count = self._bytes = self._waiting_bytes = self._sequence = 0
        #: The lowest unconfirmed sequence number; the next one when nothing is unconfirmed.
        self.low = 1
        #: What `takeOutlived` would return.
        self.outlived: list[Gone] = []

    def __len__(self) -> int:
        """Events that are unconfirmed or wait for room."""
        self._settle()
        return self._count + len(self._waiting)

    @property
    def unsent(self) -> bool:
        """Whether `take` would return something."""
        return bool(self._unsent)

    # -- filling

    def join(self, terms: Terms, payload: bytes, token: object) -> bool:
        """Admit an event if it is like the newest ones, whose block is not closed; returns whether it was.

        It does not look at the clock: its time-out is counted from `close`, which must follow in the same turn.
        """
        block = self._open
        if block is None or terms is not block.terms:
            return False
        size = len(payload)
        if size >= block.room:
            return False
        # `_settle` counts it.
        block.payloads.append(payload)
        block.tokens.append(token)
        block.room -= size + EACH
        return True

    def close(self, now: float) -> None:
        """What joined has its deadline from here on; the next event begins another block."""
        block = self._open
        if block is not None and block.deadline is not None and block.terms.timeout is not None:
            block.deadline = max(block.deadline, now + block.terms.timeout)
        if block is not None and block.expires is not None and block.terms.ttl is not None:
            block.expires = max(block.expires, now + block.terms.ttl)
            block.deadline = block.expires if block.deadline is None else min(block.deadline, block.expires)
        self._close()

    def add(
        self,
        terms: Terms,
        payload: bytes,
        token: object,
        deadline: float | None = None,
        wait: bool = True,
        expires: float | None = None,
    ) -> bool:
        """Admit an event; when there is no room it waits for some, or with `wait=False` raises `Overloaded`.

        Raises `Overloaded` in any case when as much is waiting as may be unconfirmed: who publishes without ever looking at
        the answers cannot fill the memory.

        :param expires: when its life is over; what was not sent by then is `takeOutlived`.
        :return: False when it just joins others: there was something `unsent` before, `nextDeadline` is no earlier.
        """
        deadline = _first(deadline, expires)
        if self._open is not None and self._open.join(terms, payload, token, deadline):
            return False
        self._close()
        size = len(payload)
        if self._waiting or not self._hasRoom(1, size):
            self._wait(_Waiter(terms, payload, token, deadline, expires), size, wait)
        else:
            self._admit(terms, payload, token, deadline, size, expires)
        return True

    def addMany(
        self,
        terms: Terms,
        payloads: list[bytes],
        token: object,
        deadline: float | None = None,
        expires: float | None = None,
    ) -> bool:
        """Admit many events that share a token, if there is room for all; returns whether there was."""
        self._close()
        deadline = _first(deadline, expires)
        total = list(accumulate(map(len, payloads), initial=0))
        if self._waiting or not self._hasRoom(len(payloads), total[-1]):
            return False
        at = 0
        while at < len(payloads):
            end = max(at + 1, min(bisect_right(total, total[at] + TARGET) - 1, at + MAX_EVENTS))
            part, size = payloads[at:end], total[end] - total[at]
            self._begin(begin(terms, self._sequence + 1, part, [token] * len(part), size, deadline, 0, expires))
            self._sequence += len(part)
            self._count += len(part)
            at = end
        self._bytes += total[-1]
        return True

    def _hasRoom(self, count: int, size: int) -> bool:
        # The distance bounds the number as well. One event fits always, whatever the limits.
        room = self._most - count + 1
        return (self._sequence - self.low < room and self._bytes + size <= self._max_bytes) or (count == 1 and not self._count)

    def _admit(
        self, terms: Terms, payload: bytes, token: object, deadline: float | None, size: int, expires: float | None
    ) -> None:
        self._sequence += 1
        self._count += 1
        self._bytes += size
        left = min(self._max_bytes - self._bytes, EACH * (self._most - self._sequence + self.low))
        self._open = block = begin(terms, self._sequence, [payload], [token], size, deadline, left, expires)
        self._begin(block)

    def _settle(self) -> None:
        """Count what the open block took in."""
        block = self._open
        if block is not None:
            count = block.last - self._sequence
            size = sum(map(len, block.payloads[len(block.payloads) - count :]))
            block.size += size
            self._sequence += count
            self._count += count
            self._bytes += size

    def _close(self) -> None:
        """Begin another block with the next event."""
        self._settle()
        self._open = None

    def _begin(self, block: Block) -> None:
        self._blocks.append(block)
        self._firsts.append(block.first)
        self._unsent.append(block)
        self._deadlines.add(block)

    def _wait(self, waiter: _Waiter, size: int, wait: bool) -> None:
        event = waiter.terms.event
        if not wait:
            raise Overloaded(f"{event!r} has no room: {self._count} events ({self._bytes} bytes) are unconfirmed")
        if len(self._waiting) >= self._max_waiting or self._waiting_bytes + size > self._max_bytes:
            raise Overloaded(
                f"{event!r} has no room even to wait: {len(self._waiting)} events wait behind {self._count} "
                "unconfirmed ones; await what publish() returns"
            )
        self._waiting[waiter] = None
        self._waiting_bytes += size
        self._deadlines.add(waiter)

    def _admitWaiting(self) -> None:
        if not self._waiting:
            return
        while self._waiting:
            waiter = next(iter(self._waiting))
            size = len(waiter.payload)
            if self._open is None or not self._open.join(waiter.terms, waiter.payload, waiter.token, waiter.deadline):
                self._close()
                if not self._hasRoom(1, size):
                    return
                self._admit(waiter.terms, waiter.payload, waiter.token, waiter.deadline, size, waiter.expires)
            self._stopWaiting(waiter)
        # Their time-outs began long ago: who comes now has another deadline.
        self._close()

    def _stopWaiting(self, waiter: _Waiter) -> Gone:
        del self._waiting[waiter]
        self._waiting_bytes -= len(waiter.payload)
        token = waiter.token
        # It may be remembered until its deadline.
        waiter.left, waiter.payload, waiter.token = 0, b"", None
        return waiter.terms, [token]

    # -- sending

    def take(self, max_bytes: int, now: float = 0.0) -> list[Events]:
        """The next runs to send, about `max_bytes` with all that goes with them, or a single block; they count as sent.

        `now` matters to those that have a time to live.
        """
        blocks: list[Block] = []
        taken = 0
        self._close()
        while self._unsent:
            block = self._unsent[0]
            if block.expires is not None and block.outlived(now):
                self._release(block, block.first, block.last, self.outlived)
            if block.left:
                taken += block.weight
                if blocks and taken > max_bytes:
                    break
                blocks.append(block)
            self._unsent.popleft()
        if self.outlived:
            self._tidy()
        runs = makeRuns(blocks, self.low, now)
        for block in blocks:
            block.sent = True
        return runs

    def rewind(self) -> None:
        """A new link: everything unconfirmed is to be sent again, in order."""
        self._close()
        self._blocks = [block for block in self._blocks[self._head :] if block.left]
        self._head = 0
        self._firsts = [block.first for block in self._blocks]
        self._unsent = deque(self._blocks)

    # -- emptying

    def done(self, ranges: Iterable[tuple[int, int]]) -> list[Gone]:
        """These were answered: returns whose they are. What is not here any more, or was never sent, is passed over."""
        gone: list[Gone] = []
        self._settle()
        for first, last in merged(ranges):
            # Nonsense from a peer costs no more than what is here.
            if last >= self.low and first <= self._sequence:
                index = max(bisect_right(self._firsts, first, self._head) - 1, self._head)
                while index < len(self._blocks) and (block := self._blocks[index]).first <= last:
                    if block.sent and block.left:
                        self._release(block, first, last, gone)
                    index += 1
        self._tidy()
        return gone

    def _release(self, block: Block, first: int, last: int, gone: list[Gone]) -> None:
        tokens, size = block.release(first, last)
        if tokens:
            self._count -= len(tokens)
            self._bytes -= size
            gone.append((block.terms, tokens))

    def _tidy(self) -> None:
        """Some events are over: forget blocks that are empty, let in what waits."""
        self._settle()
        while self._unsent and not self._unsent[0].left:
            self._unsent.popleft()
        blocks, head = self._blocks, self._head
        while head < len(blocks) and not blocks[head].left:
            head += 1
        self.low = blocks[head].firstLeft() if head < len(blocks) else self._sequence + 1
        if head > _HUSKS and 2 * head > len(blocks):
            del blocks[:head]
            del self._firsts[:head]
            head = 0
        self._head = head
        self._deadlines.tidy(len(blocks) - head + len(self._waiting))
        self._admitWaiting()

    def giveUpSent(self) -> list[Gone]:
        """No link for too long: returns what was sent and can no longer be confirmed; what was not sent stays."""
        gone: list[Gone] = []
        for block in self._blocks[self._head :]:
            if block.sent:
                self._release(block, block.first, block.last, gone)
        self._tidy()
        return gone

    def clear(self) -> tuple[list[Gone], list[Gone]]:
        """Give up all of it: returns what was admitted, what was waiting for that."""
        gone: list[Gone] = []
        self._close()
        for block in self._blocks[self._head :]:
            self._release(block, block.first, block.last, gone)
        waited = [self._stopWaiting(waiter) for waiter in list(self._waiting)]
        self._deadlines = Deadlines()
        self._tidy()
        return gone, waited

    # -- time

    def nextDeadline(self) -> float | None:
        """When to call `expire` next, in the caller's seconds; None when nothing will ever expire."""
        return self._deadlines.next()

    def expire(self, now: float) -> tuple[list[Gone], list[Gone]]:
        """Give up what is past its deadline: returns what was admitted, what was waiting for that."""
        gone: list[Gone] = []
        self._close()
        waited: list[Gone] = []
        later: list[Block] = []
        for one in self._deadlines.due(now):
            if isinstance(one, Block):
                if one.outlived(now):
                    self._release(one, one.first, one.last, self.outlived)
                elif one.extend(now):
                    later.append(one)
                else:
                    self._release(one, one.first, one.last, gone)
            else:
                outlived = one.expires is not None and one.expires <= now
                (self.outlived if outlived else waited).append(self._stopWaiting(one))
        for one in later:
            self._deadlines.add(one)
        self._tidy()
        return gone, waited

    def takeOutlived(self) -> list[Gone]:
        """What was never sent and has come to the end of its life, as `take` or `expire` found out; each is returned once."""
        outlived, self.outlived = self.outlived, []
        return outlived


def _first(deadline: float | None, expires: float | None) -> float | None:
    """When to look at what has these."""
    return deadline if expires is None else expires if deadline is None else min(deadline, expires)
