"""The load of a run: clients that follow by SSE, connections that publish, in a process of their own.

    python -m benchmarks.web.crowd SPEC

It reads raw sockets by epoll, looks at each distinct part of the stream once: it must cost less than any server.

    -> the environment's BENCH_TOKEN is the bearer token
    <- ready {...}   all clients follow
    -> go
    <- done {...}    what came of it
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import threading
import time
from typing import Final

import attrs
import msgspec

from benchmarks.web.answers import Answers
from benchmarks.web.following import Following
from benchmarks.web.payload import EVENT, Numbers, makeBatch, makeBody
from benchmarks.web.work import Order
from nodeset.cli.bench.sample import percentile

__all__ = ["Spec", "main"]

#: Seconds without anything new after which a run has failed; between the last event and the look at what came twice.
PATIENCE: Final = 10.0
LINGER: Final = 0.2
#: Clients that are there before the idle ones are weighed; that come and go before the others; that connect at a time.
WARM_IDLE: Final = 20
WARM_CHURN: Final = 5_000
AT_ONCE: Final = 50
_TAKEN: Final = 32 * 1024
#: What a stream brings is taken whole: cut anywhere, it would not be what another client had.
_WHOLE: Final = 512 * 1024
_AT_ONCE: Final = 1024


class Spec(msgspec.Struct, frozen=True):
    """What to do where; `batched` says whether the server takes many events in one body, else they follow each other on
    the connection without waiting for answers; `header` is one that each publish has beside, empty for none.
    """

    port: int
    order: Order
    seconds: float
    batched: bool = True
    header: str = ""


class Stuck(Exception):
    """The load could not be made: this is why."""


def makeHead(method: str, path: str, length: int = 0, more: str = "") -> bytes:
    """The head of a request that shows the bearer token."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {os.environ.get('BENCH_TOKEN', '')}"]
    if method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return ("\r\n".join(lines) + f"\r\n{more}\r\n").encode()


class Publisher:
    """One connection that publishes."""

    def __init__(self, spec: Spec, source: int) -> None:
        self._spec, self._source = spec, source
        self._more = f"{spec.header}\r\n" if spec.header else ""
        self.socket = connect(spec.port)
        self.answers = Answers()
        self.published = self._asked = 0

    @property
    def is_free(self) -> bool:
        """Whether all that it asked is answered."""
        return self.answers.count == self._asked

    def publish(self, count: int) -> None:
        """Send so many events, in one request if the server takes that."""
        if count == 1 or not self._spec.batched:
            bodies = [makeBody(self.published + each, self._source) for each in range(count)]
            path = f"/v1/events/{EVENT}"
        else:
            bodies, path = [makeBatch(self.published, count, self._source)], "/v1/events"
        self.socket.sendall(b"".join(makeHead("POST", path, len(body), self._more) + body for body in bodies))
        self._asked += len(bodies)
        self.published += count

    def read(self) -> None:
        """Something has come."""
        data = self.socket.recv(_TAKEN)
        if not data:
            raise Stuck("the server has closed a publisher's connection")
        self.answers.take(data)
        if self.answers.refused:
            raise Stuck(self.answers.refused)


class Crowd:
    """Clients that follow, connections that publish."""

    def __init__(self, spec: Spec, clients: int) -> None:
        self._spec = spec
        self._poll = select.epoll()
        self._streams: dict[int, tuple[int, socket.socket]] = {}
        self._following = Following(clients, spec.order.publishers)
        self._publishers: dict[int, Publisher] = {}
        self._stamps: list[float] = []
        self._delays: list[float] = []
        self._now = 0.0
        self._buffer = memoryview(bytearray(_WHOLE))

    def open(self, count: int) -> None:
        """Have so many clients more, all of which follow when this returns."""
        for first in range(0, count, AT_ONCE):
            opened = [follow(self._spec.port) for _ in range(min(AT_ONCE, count - first))]
            for client in opened:
                rest = awaitHead(client)
                number = len(self._streams)
                client.setblocking(False)
                self._streams[client.fileno()] = (number, client)
                self._poll.register(client.fileno(), select.EPOLLIN)
                if rest:
                    self._following.take(number, rest)

    def _connect(self) -> None:
        for source in range(self._spec.order.publishers):
            publisher = Publisher(self._spec, source)
            self._publishers[publisher.socket.fileno()] = publisher
            self._poll.register(publisher.socket.fileno(), select.EPOLLIN)

    @property
    def _published(self) -> int:
        return sum(publisher.published for publisher in self._publishers.values())

    def _turn(self, patience: float) -> bool:
        """Take what there is; whether anything was."""
        ready = self._poll.poll(patience, _AT_ONCE)
        take, streams, clock, buffer = self._following.take, self._streams, time.monotonic, self._buffer
        for descriptor, _mask in ready:
            if descriptor not in streams:
                self._publishers[descriptor].read()
                continue
            number, client = streams[descriptor]
            size = client.recv_into(buffer)
            if not size:
                raise Stuck(f"the server has closed the stream of client {number + 1}")
            self._now = clock()
            take(number, bytes(buffer[:size]))
        if self._following.wrong:
            raise Stuck("; ".join(self._following.wrong))
        return bool(ready)

    def _settle(self) -> None:
        """Wait for every answer, every event; then see that nothing comes that should not."""
        fresh = time.monotonic()
        publishers = self._publishers.values()
        while not all(each.is_free for each in publishers) or self._following.least < self._published:
            if self._turn(0.1):
                fresh = time.monotonic()
            elif time.monotonic() - fresh > PATIENCE:
                break
        end = time.monotonic() + LINGER
        while (left := end - time.monotonic()) > 0:
            self._turn(left)

    def flood(self) -> dict[str, object]:
        """Publish as fast as all clients get it, then at a steady rate; what came of both."""
        order, clock, following = self._spec.order, time.monotonic, self._following
        self._connect()
        publishers = list(self._publishers.values())
        publishers[0].publish(1)  # the first opens what is opened once
        self._settle()
        published = before = self._published
        start, cpu = clock(), time.process_time()
        end = fresh = start + self._spec.seconds
        while (now := clock()) < end or following.least < published:
            room = order.window - (published - following.least) if now < end else 0
            for publisher in publishers:
                if room >= order.batch and publisher.is_free:
                    publisher.publish(order.batch)
                    published += order.batch
                    room -= order.batch
            if self._turn(0.5):
                fresh = clock()
            elif clock() - fresh > PATIENCE:
                break
        taken, cpu = self._now - start, time.process_time() - cpu
        self._settle()
        if order.rate:
            self._pace(publishers[0], order.rate)
        delays = sorted(self._delays) or [0.0]
        return {
            "value": (published - before) * order.clients / taken,
            "events": published - before,
            "busy": cpu / taken,
            "p50": percentile(delays, 0.5) * 1e6,
            "p99": percentile(delays, 0.99) * 1e6,
            "wrong": following.complain(self._published),
        }

    def _pace(self, publisher: Publisher, rate: int) -> None:
        """Events by themselves at a steady rate; each delay counts from the moment when the event should have left."""
        clock, count = time.monotonic, max(20, int(rate * self._spec.seconds))
        first, stamps = publisher.published, self._stamps

        def received(numbers: Numbers) -> None:
            now = self._now
            for number in range(numbers.first, numbers.last + 1):
                self._delays.append(now - stamps[number - first])

        self._following.received = received
        start = clock()
        while len(stamps) < count:
            due = start + len(stamps) / rate
            if (left := due - clock()) > 0:
                self._turn(left)
            else:
                stamps.append(due)
                publisher.publish(1)
        self._settle()


def connect(port: int) -> socket.socket:
    """A connection that sends at once."""
    found = socket.create_connection(("127.0.0.1", port), PATIENCE)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def follow(port: int) -> socket.socket:
    """A client that has asked for the stream."""
    client = connect(port)
    client.sendall(makeHead("GET", f"/v1/events/{EVENT}", more="Accept: text/event-stream\r\n"))
    return client


def awaitHead(client: socket.socket) -> bytes:
    """Read the head of the answer; what came behind it. Raises `Stuck` unless it is a stream."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(_TAKEN)
        if not more:
            break
        data += more
    head, _gap, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise Stuck(f"a client that wants to follow is told {data[:300].decode('utf-8', 'replace')!r}")
    return rest


def churn(port: int, count: int) -> None:
    """So many clients that come, follow, go."""
    for first in range(0, count, AT_ONCE):
        clients = [follow(port) for _ in range(min(AT_ONCE, count - first))]
        for client in clients:
            awaitHead(client)
        for client in clients:
            client.close()


def say(word: str, value: dict[str, object]) -> None:
    """Tell who started this."""
    sys.stdout.write(f"{word} {json.dumps(value)}\n")
    sys.stdout.flush()


def _watch() -> None:
    """Hear `go` on stdin; end with it."""
    for line in sys.stdin:
        if line.strip() == "go":
            _gone.set()
    os._exit(0)


_gone: Final = threading.Event()


@attrs.frozen
class _Parts:
    """What is done before `ready`, what after `go`."""

    spec: Spec

    def run(self) -> None:
        """Do it, whatever the kind."""
        spec, order = self.spec, self.spec.order
        if order.kind == "churn":
            churn(spec.port, WARM_CHURN)
            self._pause()
            churn(spec.port, order.clients)
            say("done", {"wrong": ""})
            return
        idle = order.kind == "idle"
        crowd = Crowd(spec, WARM_IDLE + order.clients if idle else order.clients)
        crowd.open(WARM_IDLE if idle else order.clients)
        gc.freeze()
        gc.disable()
        self._pause()
        if idle:
            crowd.open(order.clients)
            say("done", {"wrong": ""})
            threading.Event().wait()  # the streams are held until the process is ended
        say("done", crowd.flood())

    def _pause(self) -> None:
        say("ready", {})
        if not _gone.wait(60):
            raise Stuck("nobody said go")


def main() -> None:
    """Do what sys.argv says."""
    threading.Thread(target=_watch, daemon=True).start()
    try:
        _Parts(msgspec.json.decode(sys.argv[1], type=Spec)).run()
    except (Stuck, OSError) as error:
        say("done", {"wrong": str(error)})
    threading.Event().wait()  # whoever started it ends it, through its stdin


if __name__ == "__main__":
    main()
