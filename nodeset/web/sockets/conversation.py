"""One client's side of the protocol `nodeset.v1`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.errors import NodeSetError
from nodeset.web.agent import Agent
from nodeset.web.bridge import Bridge
from nodeset.web.problem import Problem, judge
from nodeset.web.sockets.errands import Errands
from nodeset.web.sockets.frames import (
    MAX_CREDIT,
    SUBPROTOCOL,
    Ack,
    BadFrame,
    Cancel,
    Credit,
    Error,
    LinkFrame,
    NoFrame,
    Ping,
    Pong,
    Pub,
    Req,
    ServerFrame,
    Sub,
    Unsub,
    Welcome,
    read,
    write,
)
from nodeset.web.sockets.outflow import NoCredit
from nodeset.web.sockets.pulse import PING, Beat, Pulse
from nodeset.web.sockets.subscriptions import Flow, Subscriptions, textOf
from nodeset.web.sockets.wire import Wire

__all__ = ["ENVELOPE", "GOING", "PATIENCE", "UNAUTHORIZED", "Conversation"]

#: Bytes that a frame may have beside the message that it carries.
ENVELOPE: Final = 4096
#: The code with which a connection ends whose grant does: 401 among those that are free for applications.
UNAUTHORIZED: Final = 4401
#: The code with which connections end when the bridge does: another one may take its place.
GOING: Final = 1012
#: Seconds that what is under way gets then.
PATIENCE: Final = 5.0


class Conversation:
    """Hears one `Wire`, answers on behalf of `agent`.

    :param over: called once, when the connection is lost.
    """

    log = Logger()

    def __init__(self, bridge: Bridge, agent: Agent, over: Callable[[Conversation], object]) -> None:
        self._bridge, self._agent, self._over = bridge, agent, over
        limits = bridge.limits
        self._outflow = Flow(limits.stream_events, limits.stream_bytes, limits.feed_bytes)
        self._errands = Errands(bridge, agent, self)
        self._subscriptions = Subscriptions(bridge, agent, self._outflow, self)
        self._pulse = Pulse(bridge.clock.seconds())
        self._wire: Wire | None = None
        self._owed = 0
        self._is_over = False
        self._draining: IDelayedCall | None = None
        self._free: Callable[[], None] = lambda: None
        self._verbs: dict[type, Callable[[Any], None]] = {
            Sub: self._subscriptions.open,
            Unsub: self._subscriptions.close,
            Credit: self._credit,
            Ack: self._acknowledge,
            Pub: self._errands.publish,
            Req: self._errands.call,
            Cancel: self._errands.cancel,
            Ping: self._answerPing,
        }

    # -- the connection

    def negotiationStarted(self, transport: Any) -> None:
        """See `WebSocketProtocol`."""
        self._wire = transport

    def negotiationFinished(self) -> None:
        """See `WebSocketProtocol`: both sides speak the protocol now."""
        limits, agent = self._bridge.limits, self._agent
        agent.node.watchLink(self._tellLink)
        self.say(
            Welcome(
                SUBPROTOCOL,
                agent.name,
                agent.is_anonymous,
                agent.node.is_linked,
                limits.max_body,
                limits.max_subscriptions,
                MAX_CREDIT,
                PING,
            )
        )
        self._free = agent.hold(self._agentEnded)

    def _agentEnded(self, reason: str) -> None:
        if self._bridge.draining:
            self._go()
        else:
            self.close(UNAUTHORIZED, f"revoked: {reason}")

    def close(self, code: int, reason: str) -> None:
        """End the connection; `reason` begins with the word that it is counted under."""
        wire, word = self._wire, reason.partition(":")[0]
        if wire is not None and wire.ending is None:
            self._bridge.counters[f"closed:{word}"] += 1
            wire.loseConnection(code, reason)
            self._release(word)

    def drain(self) -> None:
        """End it once what is under way is answered, or `PATIENCE` seconds later; nothing new is begun."""
        self._subscriptions.end()
        if self._errands.is_busy:
            self._draining = self._bridge.clock.callLater(PATIENCE, self._go)
        else:
            self._go()

    def _go(self) -> None:
        self.close(GOING, "draining: the bridge is stopping")

    def rested(self) -> None:
        """Nothing is under way any more."""
        if self._draining is not None:
            self._go()

    def connectionLost(self, reason: Failure) -> None:
        """See `WebSocketProtocol`."""
        wire, self._wire = self._wire, None
        if wire is not None:
            if not self._is_over and wire.ending is not None and wire.ending.by_us:
                self._bridge.counters[f"closed:{wire.ending.code}"] += 1  # by the wire, for what is no frame
            self._release("gone")
            self._over(self)

    def _release(self, why: str) -> None:
        """Let go of all that was held for the client, once; `why` is what the events are counted as that he did not get."""
        timer, self._draining = self._draining, None
        if timer is not None and timer.active():
            timer.cancel()
        if not self._is_over:
            self._is_over = True
            self._free()
            self._agent.node.unwatchLink(self._tellLink)
            self._subscriptions.end()
            self._errands.end()
            dropped = self._outflow.clear()
            if dropped:
                self._bridge.counters[f"dropped:{why}"] += dropped

    def beat(self, now: float) -> None:
        """To be called every second."""
        wire = self._wire
        if wire is None or wire.ending is not None:
            return
        match self._pulse.beat(now):
            case Beat.PING:
                wire.ping()
            case Beat.GONE:
                self.close(1008, "silent: no pong came")

    def heard(self) -> None:
        """See `Listener`."""
        self._pulse.heard()

    def pongReceived(self, payload: bytes) -> None:
        """See `WebSocketProtocol`: that it was heard says all."""

    def writingPaused(self) -> None:
        """See `Listener`: what may go waits with what may not."""

    def writingResumed(self) -> None:
        """See `Listener`."""
        self._owed = 0
        self.pump()

    # -- what comes

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        """See `WebSocketProtocol`; the wire lets none through."""

    def textMessageReceived(self, message: str) -> None:
        """See `WebSocketProtocol`: one frame."""
        try:
            frame = read(message)
        except NoFrame as error:
            self.close(1007, f"garbage: {error}")
            return
        except BadFrame as error:
            self.complain(error.id, Problem(400, error.detail))
            return
        try:
            if self._draining is not None and isinstance(frame, (Sub, Pub, Req)):
                raise Problem(503, "the bridge is stopping: come back", retry_after=1)
            self._verbs[type(frame)](frame)
        except Exception as error:
            self.complain(getattr(frame, "id", None), error)

    def _credit(self, frame: Credit) -> None:
        self._outflow.grant(frame.n)
        self.pump()

    def _acknowledge(self, frame: Ack) -> None:
        self._outflow.acknowledge(frame.n)
        self.pump()

    def _answerPing(self, frame: Ping) -> None:
        self.say(Pong(frame.id))

    # -- what goes

    def say(self, frame: ServerFrame) -> None:
        """Send an answer, for which no credit is needed."""
        wire = self._wire
        if wire is None or wire.ending is not None:
            return
        text = write(frame)
        if wire.is_full:
            # Nothing is read from who does not read; these are answers to what came before.
            if self._owed > self._bridge.limits.stream_bytes:
                self.close(1008, f"slow: {self._owed} bytes of answers were not read")
                return
            self._owed += len(text)
        wire.sendTextMessage(text)

    def complain(self, id: str | None, error: BaseException) -> None:
        """Tell what went wrong with one frame; by a mistake of ours the log is told as well."""
        problem: Problem
        if isinstance(error, Problem):
            problem = error
        elif isinstance(error, NodeSetError):
            problem = judge(error)
        elif isinstance(error, NoCredit):
            problem = Problem(400, str(error))
        else:
            self.log.failure("a frame of a WebSocket failed", Failure(error))
            self._bridge.counters["failed"] += 1
            problem = Problem(500, "the bridge failed: its log says how")
        self._bridge.counters["socket_errors"] += 1
        fields = {name: value for name, value in problem.fields().items() if name in Error.__struct_fields__}
        retry = next((float(value) for name, value in problem.headers if name == b"Retry-After"), None)
        if retry is not None:
            fields["retry_after"] = retry
        self.say(Error(id=id, **fields))

    def overflow(self) -> None:
        """More waits for him than may: end it."""
        self.close(1008, f"slow: {self._outflow.waiting} wait for credit, or to be read, more than may")

    def spend(self) -> bool:
        """Take the credit of one event; whether there is any, and whether the client takes what is sent."""
        return self._wire is not None and not self._wire.is_full and self._outflow.spend()

    def pump(self) -> None:
        """Send what may go now."""
        wire = self._wire
        while wire is not None and wire.ending is None and not wire.is_full:
            taken = self._outflow.take()
            if taken is None:
                break
            wire.sendTextMessage(textOf(*taken))
        self._errands.wake()

    def _tellLink(self, linked: bool, reason: str) -> None:
        self.say(LinkFrame(linked, reason))
