"""Events that clients publish: one by one, or many in a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from secrets import token_hex
from typing import Any, Final, TypeVar

from msgspec.json import encode
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core import tracing
from nodeset.errors import NodeSetError, Receipt
from nodeset.web.api.batch import BadBatch, BadItem, Item, readBatch
from nodeset.web.api.media import BYTES, JSON, LINES, formOf
from nodeset.web.api.memory import fingerprint
from nodeset.web.api.once import Once
from nodeset.web.api.publishing import checkLinked, dedupOf, publish, traceOf
from nodeset.web.api.wishes import BadWish, PublishWishes, checkKey, readKey, readPublishWishes
from nodeset.web.bridge import Bridge
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.problem import Problem, judge

__all__ = ["Events"]

T = TypeVar("T")

#: Statuses of an event in a batch that another try would not change.
_FINAL: Final = frozenset({200, 202, 400, 413, 422})


class Events:
    """`POST /v1/events/{event}` for one, `POST /v1/events` for many."""

    log = Logger()

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._once = Once(bridge.clock.seconds, bridge.counters)
        self._origin, self._count = token_hex(4), 0

    # -- one

    async def publishOne(self, inquiry: Inquiry) -> Reply:
        """Publish the body; answers when the event is as far as NodeSet-Confirm says.

        :raise Problem: 400, 415, 422, 501 for what is wrong with the request, 503 without a dispatcher.
        """
        headers = inquiry.headers
        raw = formOf(headers.get("content-type"), JSON, BYTES) == BYTES
        wishes, key = _read(readPublishWishes, headers), _read(readKey, headers)
        event = inquiry.params["event"]
        if key is None:
            return _tell(await self._publish(inquiry, event, raw, wishes, None), self._newId(), wishes)
        mark = fingerprint(b"one", event.encode(), bytes(raw), repr(wishes).encode(), inquiry.body)
        name = key

        async def work() -> tuple[Reply, bool]:
            receipt = await self._publish(inquiry, event, raw, wishes, dedupOf(inquiry.agent, name))
            return _tell(receipt, encode(name), wishes), True

        return await self._once.answer(inquiry.agent.name, name, mark, work)

    def _publish(self, inquiry: Inquiry, event: str, raw: bool, wishes: PublishWishes, dedup: str | None) -> Deferred[Receipt]:
        checkLinked(inquiry.agent)
        timeout = self._bridge.limits.request_timeout
        trace = traceOf(inquiry)
        if trace is None:
            return publish(inquiry.agent, event, inquiry.body, raw, wishes, timeout, dedup)
        with tracing.entered(trace, f"publish {event}", "SERVER") as visit:
            published = publish(inquiry.agent, event, inquiry.body, raw, wishes, timeout, dedup)
            visit.until(published)
            return published

    def _newId(self) -> bytes:
        """As a JSON text; no other request of any bridge has it."""
        self._count += 1
        return b'"%s-%x"' % (self._origin.encode(), self._count)

    # -- many

    async def publishMany(self, inquiry: Inquiry) -> Reply:
        """Publish each event of the body, in order; answers when all have been, with the status of each.

        One that fails does not stop those behind it.

        :raise Problem: 400, 415, 422, 501 for what is wrong with the request as a whole, 503 without a dispatcher.
        """
        headers = inquiry.headers
        form = formOf(headers.get("content-type"), JSON, LINES)
        wishes, key = _read(readPublishWishes, headers), _read(readKey, headers)
        try:
            items = readBatch(inquiry.body, form == LINES)
        except BadBatch as error:
            raise Problem(400, str(error)) from None
        if key is None:
            return (await self._publishAll(inquiry, items, wishes, None))[0]
        mark = fingerprint(b"many", form.encode(), repr(wishes).encode(), inquiry.body)
        return await self._once.answer(inquiry.agent.name, key, mark, lambda: self._publishAll(inquiry, items, wishes, key))

    async def _publishAll(
        self, inquiry: Inquiry, items: list[Item | BadItem], wishes: PublishWishes, key: str | None
    ) -> tuple[Reply, bool]:
        checkLinked(inquiry.agent)
        results = _Results(len(items), wishes, self._newId())
        trace = traceOf(inquiry)
        if trace is None:
            self._publishEach(inquiry, items, wishes, key, results)
        else:
            with tracing.entered(trace, "publish a batch", "SERVER") as visit:
                self._publishEach(inquiry, items, wishes, key, results)
                visit.until(results.done)
        bodies = await results.done
        return Reply(200, b"[" + b",\n".join(bodies) + b"]\n"), results.final

    def _publishEach(
        self, inquiry: Inquiry, items: list[Item | BadItem], wishes: PublishWishes, key: str | None, results: _Results
    ) -> None:
        agent, timeout = inquiry.agent, self._bridge.limits.request_timeout
        for index, item in enumerate(items):
            try:
                if isinstance(item, BadItem):
                    raise Problem(400, str(item))
                dedup = None
                if item.id is not None:
                    dedup = dedupOf(agent, checkKey(item.id, "id"))
                elif key is not None:
                    dedup = dedupOf(agent, f"{key}\0{index}")
                published = publish(agent, item.event, item.payload, item.raw, wishes, timeout, dedup)
            except BadWish as error:
                results.failed(index, item, Problem(error.status, str(error)))
            except Problem as problem:
                results.failed(index, item, problem)
            except NodeSetError as error:
                results.failed(index, item, judge(error))
            else:
                published.addCallbacks(partial(results.answered, index, item), partial(results.refused, index, item))


class _Results:
    """What became of each event of a batch, in order."""

    log = Logger()

    def __init__(self, count: int, wishes: PublishWishes, id: bytes) -> None:
        self.done: Deferred[list[bytes]] = Deferred()
        self.final = True
        self._bodies = [b""] * count
        self._left = count
        self._wishes, self._id = wishes, id[:-1]

    def _idOf(self, index: int, item: Item | BadItem) -> bytes:
        written = None if isinstance(item, BadItem) else item.id
        return b'%s.%d"' % (self._id, index) if written is None else encode(written)

    def answered(self, index: int, item: Item, receipt: Receipt) -> None:
        """It was published."""
        id = self._idOf(index, item)
        if self._wishes.level == "accepted":
            self._set(index, b'{"status":202,"id":%s,"matched":%d}' % (id, receipt.matched))
        else:
            self._set(index, b'{"status":200,"id":%s,"matched":%d,"delivered":%d,"dropped":%d}' % (id, *receipt))

    def refused(self, index: int, item: Item, failure: Failure) -> None:
        """It was not, as is said later."""
        if isinstance(failure.value, NodeSetError):
            self.failed(index, item, judge(failure.value))
        else:
            self.log.failure("an event of a batch failed", failure)
            self.failed(index, item, Problem(500, "the bridge failed; its log says how"))

    def failed(self, index: int, item: Item | BadItem, problem: Problem) -> None:
        """It was not, as is said at once."""
        self.final = self.final and problem.status in _FINAL
        fields: dict[str, Any] = {"status": problem.status}
        if isinstance(item, Item) and item.id is not None:
            fields["id"] = item.id
        self._set(index, encode(fields | problem.fields()))

    def _set(self, index: int, body: bytes) -> None:
        self._bodies[index] = body
        self._left -= 1
        if not self._left and not self.done.called:
            self.done.callback(self._bodies)


def _read(read: Callable[[Mapping[str, str]], T], headers: Mapping[str, str]) -> T:
    try:
        return read(headers)
    except BadWish as error:
        raise Problem(error.status, str(error)) from None


def _tell(receipt: Receipt, id: bytes, wishes: PublishWishes) -> Reply:
    if wishes.level == "accepted":
        return Reply(202, b'{"id":%s,"matched":%d}\n' % (id, receipt.matched))
    return Reply(200, b'{"id":%s,"matched":%d,"delivered":%d,"dropped":%d}\n' % (id, *receipt))
