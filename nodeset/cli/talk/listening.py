"""What `nodeset sub` makes of the events that it hears."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
import simplejson
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from nodeset.cli.outcome import Exit, GaveUp
from nodeset.cli.shown import hasColours, paint, printable, readable, readableJson
from nodeset.cli.talk.output import Output
from nodeset.core.message import NodeMessage, RawMessage
from nodeset.errors import NodeSetError, NotRunning

if TYPE_CHECKING:
    from nodeset.cli.visit import Visitor

__all__ = ["Listener"]


@attrs.define(kw_only=True)
class Listener:
    """The options of `nodeset sub`; see its --help."""

    patterns: tuple[str, ...]
    as_json: bool
    raw: bool
    count: int | None
    seconds: float | None
    policy: str
    max_events: int
    complain: Callable[[str], None]
    heard: int = 0
    _output: Output | None = None
    _over: Deferred[None] = attrs.field(factory=Deferred)
    _is_over: bool = False
    _colours: bool = False
    _terminal: bool = False

    def prepare(self, node: Visitor) -> None:
        """Subscribe, so that the first link opens with it. Raises `GaveUp`, `NodeSetError`."""
        if self.raw and self.as_json:
            raise GaveUp("events are printed either --raw or as --json: leave out one of them", Exit.USAGE)
        for pattern in dict.fromkeys(self.patterns):
            subscribed = node.subscribe(pattern, policy=self.policy, max_events=self.max_events)
            subscribed.addErrback(self._notSubscribed)
        node.heard = self._hear
        node.lost = lambda: self.complain("lost the dispatcher, looks for it again")
        node.back = lambda: self.complain("the dispatcher is back")
        self._terminal = sys.stdout is not None and sys.stdout.isatty()
        self._colours = hasColours(sys.stdout)
        self._output = Output(node.reactor, node.giveUp)

    async def run(self, node: Visitor) -> int:
        """Until enough was heard, or time is up, or Ctrl-C; what was heard is written then. Returns the exit code."""
        assert self._output is not None, "it is prepared"
        if sys.stderr is not None and sys.stderr.isatty():
            self.complain(f"subscribed to {', '.join(self.patterns)}; Ctrl-C ends it")
        alarm = None if self.seconds is None else node.reactor.callLater(self.seconds, self._end)
        try:
            await self._over
        except CancelledError:
            self._is_over = True
            if sys.stderr is not None and sys.stderr.isatty():
                sys.stderr.write("\n")  # after the ^C
        if alarm is not None and alarm.active():
            alarm.cancel()
        await self._output.flush()
        if self.count is not None and self.seconds is not None and self.heard < self.count:
            raise GaveUp(f"{self.heard} of {self.count} events came in {self.seconds:g} s", Exit.NO_ANSWER)
        return Exit.OK

    def _notSubscribed(self, failure: Failure) -> None:
        if not failure.check(NotRunning):
            self._end(failure.value)

    def _end(self, error: BaseException | None = None) -> None:
        self._is_over = True
        if not self._over.called:
            self._over.callback(None) if error is None else self._over.errback(error)

    def _hear(self, event: str, msg: NodeMessage) -> Deferred[None] | None:
        if self._is_over or self._output is None:
            return None  # it came with the last one that was wanted
        try:
            line = self._format(event, msg)
        except (NodeSetError, ValueError, TypeError) as error:
            self.complain(f"{printable(event)} cannot be shown: {error}")
            return None
        self.heard += 1
        full = self._output.put(line)
        if self.heard == self.count:
            self._end()
        return full

    def _format(self, event: str, msg: NodeMessage) -> bytes:
        if self.as_json:
            return _asJson(event, msg)
        if self.raw:
            data = _bare(msg)
            return f"{readable(data)}\n".encode() if self._terminal else data + b"\n"
        if self._terminal:
            return self._forPeople(event, msg).encode()
        told = readable(msg.data) if isinstance(msg, RawMessage) else msg.toJson()
        return f"{printable(event)} {told}\n".encode()

    def _forPeople(self, event: str, msg: NodeMessage) -> str:
        paints: Callable[..., str] = paint if self._colours else lambda text, *styles: text
        when = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        meta = msg.meta
        kept = paints(" kept", "yellow") if meta is not None and meta.retained else ""
        head = f"{paints(when, 'dim')} {paints(printable(event), 'bold', 'cyan')}{kept}"
        if isinstance(msg, RawMessage):
            return f"{head} {readable(msg.data)}\n"
        fields = simplejson.loads(msg.toJson())
        told = (f"{paints(printable(name), 'blue')}={readableJson(value)}" for name, value in fields.items())
        return f"{head} {' '.join(told)}\n"


def _bare(msg: NodeMessage) -> bytes:
    """The payload alone, as `nodeset pub` would take it."""
    if isinstance(msg, RawMessage):
        return msg.data
    fields = msg.fields()
    payload: Any = fields.get("payload")
    return payload.encode() if len(fields) == 1 and isinstance(payload, str) else msg.toJson().encode()


def _asJson(event: str, msg: NodeMessage) -> bytes:
    meta = msg.meta
    about: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if meta is not None:
        about |= {"id": f"{meta.stream}/{meta.sequence}", "publisher": meta.publisher}
        about |= {"grant": meta.grant} if meta.grant else {}
        about |= {"retained": True} if meta.retained else {}
        about |= {"traceparent": meta.traceparent} if meta.traceparent else {}
    if isinstance(msg, RawMessage):
        about["raw"] = True
    return f'{{"event": {simplejson.dumps(event)}, "payload": {msg.toJson()}, {simplejson.dumps(about)[1:]}\n'.encode()
