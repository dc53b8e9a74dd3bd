"""What `nodeset pub` publishes: one event, many alike, a line of stdin each."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import attrs
import click
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from nodeset.cli.outcome import Exit, GaveUp, explain, judge
from nodeset.cli.payload import makeMessage, readPayload
from nodeset.cli.talk.input import Lines, isPiped, sizeOf
from nodeset.cli.talk.pipeline import Pipeline
from nodeset.cli.talk.progress import Progress
from nodeset.core.address import matches, parse
from nodeset.core.arguments import checkDedup, publishable
from nodeset.core.limits import MAX_EVENT
from nodeset.core.message import MessageBuilder, NodeMessage, RawMessage
from nodeset.errors import BadMessage, BadSettings, InvalidAddressing

if TYPE_CHECKING:
    from nodeset.cli.visit import Visitor

__all__ = ["Sender"]

#: Events alike that are made at a time.
_CHUNK: Final = 1000
#: Seconds between two looks at who subscribes.
_LOOK: Final = 0.2
_readObject: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _makeText(line: bytes) -> NodeMessage:
    return MessageBuilder.createMessage(None, payload=line.removesuffix(b"\r").decode())


def _makeObject(line: bytes) -> NodeMessage:
    try:
        fields = _readObject(line)
    except msgspec.MsgspecError:
        text = line.decode()
        if not text.lstrip().startswith("{"):
            raise BadSettings(f"{text[:40]!a} is no JSON object") from None
        fields = readPayload(text, "this")
    return MessageBuilder.createMessage(None, **fields)


@attrs.define(kw_only=True)
class Sender:
    """The options of `nodeset pub`; see its --help."""

    event: str
    payload: str | None
    as_json: bool
    raw: bool
    count: int | None
    level: str
    mode: str | None
    retain: bool
    ttl: float | None
    dedup: str | None
    wait_for: int | None
    publish_timeout: float | None
    _message: NodeMessage | None = None
    _has_lines: bool = False

    def check(self) -> None:
        """All that can be known to be wrong before there is a dispatcher. Raises `GaveUp`, `NodeSetError`."""
        publishable(self.event)
        checkDedup(self.dedup)
        self._has_lines = self.payload == "-" or (self.payload is None and self.count is None and isPiped())
        if self._has_lines and self.count is not None:
            raise GaveUp("--count publishes a PAYLOAD, not lines of stdin: leave out one of them", Exit.USAGE)
        if self.raw and self.as_json and self._has_lines:
            raise GaveUp("a line is either --raw or --json: leave out one of them", Exit.USAGE)
        if not self._has_lines:
            self._message = self._makePayload(os.fsencode((self.payload or "").replace("{{n}}", "1")))

    def _makePayload(self, data: bytes) -> NodeMessage:
        """The message of PAYLOAD."""
        if self.raw:
            return RawMessage(data)
        return makeMessage(None if self.payload is None else data.decode("utf-8", "surrogateescape"), "PAYLOAD")

    def _publish(self, node: Visitor, msg: NodeMessage, number: int | None = None) -> Deferred[Any]:
        if self.mode is not None:
            msg._delivery_mode = self.mode
        return node.publishMessage(
            self.event,
            msg,
            level=self.level,
            timeout=self.publish_timeout or ...,
            retain=self.retain,
            ttl=self.ttl,
            dedup=self.dedup if number is None or self.dedup is None else f"{self.dedup}/{number}",
        )

    async def run(self, node: Visitor, quiet: bool) -> int:
        """Publish all, print what became of it. Returns the exit code."""
        if self.wait_for is not None:
            await self._waitFor(node, self.wait_for)
        if self._message is not None and self.count is None:
            receipt = await self._publish(node, self._message)
            if not quiet:
                self._show(receipt._asdict())
            code: int = Exit.OK
        else:
            code = await self._runMany(node, quiet)
        if self.retain and code == Exit.OK:
            await _stay(f"{self.event} is handed to newcomers, until Ctrl-C")
        return code

    async def _runMany(self, node: Visitor, quiet: bool) -> int:
        pipe = Pipeline()
        wrong: GaveUp | None = None
        make: Callable[[bytes], NodeMessage] = self._makePayload
        if self._has_lines:
            make = RawMessage if self.raw else _makeObject if self.as_json else _makeText
        lines = Lines(node.reactor, MAX_EVENT) if self._has_lines else None
        with Progress("published", self.count if lines is None else sizeOf(), "events" if lines is None else "bytes") as bar:
            try:
                try:
                    async for first, chunk in self._read(lines):
                        await self._send(node, pipe, make, first, chunk)
                        bar.show(pipe.sent if lines is None else lines.size)
                        if pipe.refused:
                            break
                except GaveUp as error:
                    wrong = error
                await _drained(pipe)
            except CancelledError:
                try:
                    await _drained(pipe)
                finally:  # the time for it may be over before they are all confirmed
                    self._tell(pipe, quiet)
                raise
        self._tell(pipe, quiet)
        if wrong is not None:
            raise wrong
        if pipe.error is None:
            return Exit.OK
        what = f"{pipe.failed} of {pipe.sent} events" if pipe.sent > 1 else "the event"
        raise GaveUp(f"{what} failed, the first at {pipe.at}: {explain(pipe.error)}", judge(pipe.error))

    async def _read(self, lines: Lines | None) -> AsyncIterator[tuple[int, list[bytes]]]:
        """Lines, each chunk with the number of its first one."""
        if lines is not None:
            while found := await lines.next():
                yield lines.count - len(found) + 1, found
            return
        text = self.payload or ""
        for first in range(1, (self.count or 0) + 1, _CHUNK):
            numbers = range(first, min(first + _CHUNK, (self.count or 0) + 1))
            yield first, [os.fsencode(text.replace("{{n}}", str(number))) for number in numbers]

    async def _send(
        self, node: Visitor, pipe: Pipeline, make: Callable[[bytes], NodeMessage], first: int, chunk: list[bytes]
    ) -> None:
        for number, line in enumerate(chunk, first):
            if self.as_json and not line.strip():
                continue
            try:
                published = self._publish(node, make(line), number)
            except (BadMessage, BadSettings, UnicodeDecodeError) as error:
                why = f"not UTF-8 ({error.reason}): --raw takes any bytes" if isinstance(error, UnicodeDecodeError) else error
                raise GaveUp(f"line {number}: {why}", Exit.USAGE) from None
            full = pipe.add(published, number, len(line))
            if full is not None:
                await full
                if pipe.refused:
                    return

    def _tell(self, pipe: Pipeline, quiet: bool) -> None:
        if not quiet:
            told = {"matched": pipe.matched, "delivered": pipe.delivered, "dropped": pipe.dropped}
            seldom = {"failed": pipe.failed, "unconfirmed": pipe.unconfirmed}
            self._show({"events": pipe.sent, **told, **{name: count for name, count in seldom.items() if count}})

    def _show(self, told: dict[str, int]) -> None:
        if self.as_json:
            click.echo(msgspec.json.encode({"event": self.event, **told}).decode())
        else:
            number = told.pop("events", None)
            events = "" if number is None else f"{number} event{'' if number == 1 else 's'}, "
            click.echo(f"{self.event}: {events}{', '.join(f'{name} {number}' for name, number in told.items())}")

    async def _waitFor(self, node: Visitor, wanted: int) -> None:
        """Until so many nodes subscribe. Raises `GaveUp` when they do not in time."""
        name = parse(self.event).eventName
        limit = self.publish_timeout or node.settings.publish_timeout
        end = node.reactor.seconds() + limit
        while True:
            here = sum(_takes(each.subscriptions, name) for each in await node.nodes())
            if here >= wanted:
                return
            if node.reactor.seconds() >= end:
                raise GaveUp(f"{here} of {wanted} nodes subscribe to {self.event} after {limit:g} s", Exit.NO_ANSWER)
            await deferLater(node.reactor, _LOOK)


def _takes(patterns: list[str], name: str) -> bool:
    for pattern in patterns:
        try:
            if matches(parse(pattern).eventName, name):
                return True
        except InvalidAddressing:
            continue  # of a newer kind than ours
    return False


async def _drained(pipe: Pipeline) -> None:
    left = pipe.drain()
    if left is not None:
        await left


async def _stay(why: str) -> None:
    if sys.stderr.isatty():
        click.echo(why, err=True)
    try:
        await Deferred()
    except CancelledError:
        return
