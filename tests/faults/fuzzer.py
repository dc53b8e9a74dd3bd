"""A hostile peer in a process of its own: `python -m tests.faults.fuzzer FURLFILE SEED BEFORE AFTER BATCHES`.

BEFORE connections that send a mutated negotiation in the clear, AFTER mutated Banana calls behind TLS, BATCHES mutated batches
of frames over open links, then tokens that announce 4 GiB, before TLS, behind it and on a link. The last line on stdout is
`done` with how many were sent and how many connections that took.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from foolscap.api import Tub
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.logger import LogPublisher, globalLogBeginner

from nodeset.core import batch as wire
from nodeset.core.batch import Beat, Bye, Confirm, Done, Events, Level, Mode, Outcome, Policy, Result, Sub, Subbed, Took, Unsub
from nodeset.core.hello import Hello, packHello
from nodeset.transport.certificate import createCertificate
from nodeset.transport.faces import LinkFace
from nodeset.transport.furl import parse

reactor: Any = _reactor
#: A string token of 4 GiB, little end first.
_HUGE = bytes([0, 0, 0, 0, 16]) + b"\x82"
_STREAM = "s" * 22


def mutate(rng: random.Random, data: bytes) -> bytes:
    """The same bytes but for some that are changed, cut out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del changed[at : at + rng.randint(1, 20)]
            case 2:
                changed[at:at] = rng.randbytes(rng.randint(1, 20))
            case 3:
                changed[at:at] = changed[at : at + rng.randint(1, 40)]
            case _:
                changed[at : at + 4] = rng.choice(
                    (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xc1\xdd\xdf\xc6")
                )
    return bytes(changed)


def frames(rng: random.Random, first: int) -> list[Any]:
    """A few frames that a node might send, or a dispatcher."""
    run = Events(
        "",
        first,
        Mode(rng.randrange(2)),
        False,
        "fuzz.one",
        first,
        Level(rng.randrange(3)),
        [3, 4],
        wire.NO_HEADERS,
        b"1234567",
    )
    ranges = [(rng.randrange(100), 100 + rng.randrange(2**40))]
    others = [
        Took(rng.randrange(9)),
        Confirm(_STREAM, ranges, Outcome(rng.randrange(4)), "why"),
        Done(ranges, Result(rng.randrange(3)), 1, 1, 0),
        Sub("fuzz.>", True, Policy(rng.randrange(3)), 100, 1000),
        Unsub("fuzz.>"),
        Subbed("fuzz.>", True),
        Beat(),
        Bye("bye"),
    ]
    return [run, *rng.sample(others, rng.randint(0, 3))]


class Quiet(Protocol):
    """A connection that sends and looks away."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Any = None) -> None:
        """It is over."""
        self.lost.callback(None)


class Fuzzer:
    """Sends nonsense, counts connections."""

    def __init__(self, furl: str, seed: int) -> None:
        self.furl, self.rng = furl, random.Random(seed)
        self.parsed = parse(furl)
        self.port = int(self.parsed.hints[0].rpartition(":")[2])
        self.connections = self.sent = 0
        self.certificate = createCertificate()

    async def inTheClear(self, count: int) -> None:
        """Before TLS: many at a time, each a connection."""
        lines = [f"GET /id/{self.parsed.tub_id} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: TLS/1.0", "Connection: Upgrade", "", ""]
        hello = "\r\n".join(lines).encode()
        tokens = b"\x00\x88\x04\x82call\x01\x81\x01\x81\x07\x82publish"
        for start in range(0, count, 50):
            group = [await self._connect() for _ in range(min(50, count - start))]
            for one in group:
                one.transport.write(mutate(self.rng, self.rng.choice((hello, tokens, hello + tokens))))
                self.sent += 1
            await deferLater(reactor, 0, lambda: None)
            for one in group:
                one.transport.loseConnection()
                await one.lost

    async def _connect(self) -> Any:
        self.connections += 1
        return await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Quiet())

    async def behindTls(self, count: int, batches: bool) -> None:
        """Banana calls, or batches over an open link; a new connection each time that we are cut off."""
        end = self.sent + count
        while self.sent < end:
            tub, dispatcher, link = await self._link(batches)
            broker = dispatcher.tracker.broker
            first = 1
            # Not many over one: a length that was changed swallows what follows.
            for _group in range(2):
                if broker.disconnected:
                    break
                for _ in range(8):
                    self.sent += 1
                    if batches:
                        link.callRemoteOnly("batch", mutate(self.rng, wire.pack(frames(self.rng, first))))
                        first += 2
                    else:
                        broker.transport.write(mutate(self.rng, self._call(dispatcher.tracker.clid)))
                await deferLater(reactor, 0.001, lambda: None)
            await tub.stopService()

    def _call(self, reference: int) -> bytes:
        name = self.rng.choice((b"publish", b"open", b"subscribe", b"get_stats"))
        call = b"\x00\x88\x04\x82call\x01\x81" + bytes([reference]) + b"\x81" + bytes([len(name)]) + b"\x82" + name
        return call + b"\x01\x88\x09\x82arguments\x01\x81\x04\x82quiz\x02\x88\x04\x82list\x07\x81\x02\x89\x01\x89\x00\x89"

    async def _link(self, batches: bool) -> Any:
        self.connections += 1
        # Foolscap would make an RSA certificate, which takes a hundred times as long.
        tub: Any = Tub(certData=self.certificate)
        tub.startService()
        dispatcher = await tub.getReference(self.furl)
        if not batches:
            return tub, dispatcher, None
        stream = f"{self.rng.getrandbits(80):024}"
        link, _opened = await dispatcher.callRemote("open", LinkFace(), packHello(Hello(stream, "fuzz", "localhost")))
        return tub, dispatcher, link

    async def huge(self) -> None:
        """Tokens of 4 GiB, with as much of them as anybody takes."""
        one = await self._connect()
        one.transport.write(_HUGE + b"x" * 1_000_000)
        await one.lost
        for batches in (False, True):
            tub, dispatcher, _link = await self._link(batches)
            broker = dispatcher.tracker.broker
            broker.transport.write(_HUGE + b"x" * 1_000_000)
            while not broker.disconnected:
                await deferLater(reactor, 0.01, lambda: None)
            await tub.stopService()
        self.sent += 3


async def fuzz(arguments: list[str]) -> None:
    """All of it."""
    path, seed, before, after, batches = arguments
    fuzzer = Fuzzer(Path(path).read_text("ascii").strip(), int(seed))
    await fuzzer.inTheClear(int(before))
    print("clear", fuzzer.sent, fuzzer.connections, flush=True)
    await fuzzer.behindTls(int(after), batches=False)
    print("calls", fuzzer.sent, fuzzer.connections, flush=True)
    await fuzzer.behindTls(int(batches), batches=True)
    print("batches", fuzzer.sent, fuzzer.connections, flush=True)
    await fuzzer.huge()
    print("done", fuzzer.sent, fuzzer.connections, flush=True)


def main() -> None:
    """Run, end."""
    globalLogBeginner.beginLoggingTo([LogPublisher()], discardBuffer=True, redirectStandardIO=False)
    done = Deferred.fromCoroutine(fuzz(sys.argv[1:]))
    done.addErrback(lambda failure: print("failed", failure.getTraceback(), flush=True))
    done.addBoth(lambda over: reactor.stop())
    reactor.run()


if __name__ == "__main__":
    main()
