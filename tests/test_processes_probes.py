"""Programs are asked whether they are ready, or still well."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from nodeset.errors import LocalError
from nodeset.processes.probing.attempts import Attempts
from nodeset.processes.probing.logprobe import LogSearch
from nodeset.processes.probing.probes import Probes, Probing
from nodeset.processes.program import Probe, Program


class LogTests(SynchronousTestCase):
    def found(self, pattern: str, *chunks: bytes) -> bytes | None:
        """What the last chunk completes."""
        search = LogSearch.of(pattern)
        for chunk in chunks[:-1]:
            self.assertIsNone(search.feed(chunk))
        return search.feed(chunks[-1])

    def test_borders(self) -> None:
        """A pattern is found wherever its line is cut."""
        line = b"12:00 listening on port 8080\n"
        for cut in range(1, len(line)):
            search = LogSearch.of("listening on port 8080$")
            self.assertIn(b"listening on port 8080", (search.feed(b"x\n" + line[:cut]), search.feed(line[cut:])))
        bytewise = [bytes([each]) for each in b"booting\nready"]
        self.assertEqual(self.found("^ready", *bytewise), b"ready")

    def test_lines(self) -> None:
        """`^` and `$` are the ends of a line; a prompt counts before its line does."""
        self.assertEqual(self.found("^ready$", b"not ready\nready\n"), b"ready")
        self.assertIsNone(self.found("^ready$", b"not ready\n", b"ready or not\n"))
        self.assertEqual(self.found("name: $", b"your ", b"name: "), b"name: ")
        self.assertIsNone(self.found("^ready", b"not ", b"ready"))

    def test_anyBytes(self) -> None:
        """Output that is no text is searched as well; a pattern beyond ASCII means UTF-8."""
        self.assertEqual(self.found("gr\u00fcn", b"\x88\xff gr\xc3", b"\xbcn\n"), "gr\u00fcn".encode())

    def test_endlessLine(self) -> None:
        """Of a line without an end only its last few KiB are kept; its middle is no beginning."""
        search = LogSearch.of("^a+b")
        for _ in range(100):
            self.assertIsNone(search.feed(b"c" + b"a" * 100_000))
            self.assertLess(len(search._rest), 5000)
        self.assertIsNone(search.feed(b"b"))
        self.assertEqual(search.feed(b"\nab"), b"ab")


class ProbingTests(SynchronousTestCase):
    """Attempts are made at their times, one after the other."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.program = Program(name="web", command=("web",))
        self.attempts: list[Deferred[Any]] = []
        self.cancel: Callable[[Deferred[Any]], None] | None = None
        self.said: list[str] = []

    def of(self, program: Program, probe: Probe) -> Any:
        """As `Attempts.of`."""
        return self.attempt

    def attempt(self) -> Deferred[Any]:
        """One that the test ends."""
        self.attempts.append(Deferred(self.cancel))
        return self.attempts[-1]

    def probing(self, *, at_once: int = 8, **about: Any) -> Probing:
        """One that runs."""
        attempts: Any = self
        about = {"kind": "tcp", "value": "localhost:1", **about}
        if not hasattr(self, "probes"):
            self.probes = Probes(self.clock, attempts, at_once)
        probing = self.probes.make(self.program, Probe(**about), lambda: self.said.append("well"), self.said.append)
        probing.start()
        return probing

    def test_passes(self) -> None:
        """The first attempt is made after the delay, each other one an interval after the one before."""
        probing = self.probing(delay=2, interval=3)
        self.clock.advance(1.9)
        self.assertEqual(self.attempts, [])
        self.clock.advance(0.1)
        self.attempts[0].callback(None)
        self.clock.advance(2.9)
        self.assertEqual((len(self.attempts), self.said), (1, ["well"]))
        self.clock.advance(0.1)
        self.assertEqual(len(self.attempts), 2)
        probing.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failures(self) -> None:
        """So many failures in a row are told with the reason; a success between them begins the count anew."""
        probing = self.probing(failures=2, interval=1)
        self.clock.advance(0)
        for result in (fail(OSError("refused")), succeed(None), fail(OSError("no")), fail(OSError("refused\nagain"))):
            result.chainDeferred(self.attempts[-1])
            self.clock.advance(1)
        self.assertEqual((self.said, probing.reason), (["well", "refused again"], "refused again"))
        probing.stop()

    def test_hangs(self) -> None:
        """An attempt that hangs is ended after its time-out; no other one is begun before."""
        probing = self.probing(failures=1, interval=1, timeout=5)
        self.clock.pump([0.5] * 9)
        self.assertEqual(len(self.attempts), 1)
        self.clock.pump([0.5] * 2)
        self.assertEqual((len(self.attempts), self.said), (2, ["no answer within 5 s"]))
        probing.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(60)
        self.assertEqual((len(self.attempts), len(self.said)), (2, 1))

    def test_endsInItsOwnWay(self) -> None:
        """One that hangs gives no answer, whatever it makes of its end: a request of the web fails with an error of its own."""
        self.cancel = lambda hung: hung.errback(OSError("[<Failure CancelledError>]"))
        probing = self.probing(failures=1, timeout=5)
        self.clock.pump([0.5] * 11)
        self.assertEqual(self.said, ["no answer within 5 s"])
        probing.stop()

    def test_turns(self) -> None:
        """However many programs are asked, only so many attempts are under way; who waits for a turn can be stopped."""
        probings = [self.probing(at_once=2, interval=100) for _ in range(4)]
        self.clock.advance(0)
        self.assertEqual(len(self.attempts), 2)
        probings[2].stop()
        self.attempts[0].callback(None)
        self.attempts[1].callback(None)
        self.assertEqual(len(self.attempts), 3)
        for probing in probings:
            probing.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.said), ([], ["well", "well"]))

    def test_log(self) -> None:
        """A pattern in the output passes, in whatever stream; the streams are not mixed."""
        probing = self.probing(kind="log", value="ready")
        probing.feed("out", b"rea")
        probing.feed("err", b"dy")
        self.assertEqual((self.said, probing.reason), ([], "its output does not match 'ready' yet"))
        probing.feed("out", b"dy")
        self.assertEqual(self.said, ["well"])
        probing.stop()
        probing.feed("out", b"ready")
        self.assertEqual(self.said, ["well"])

    def test_taker(self) -> None:
        """Who takes an answer badly is told in the log once; the probe goes on."""
        attempts: Any = self
        probing = Probes(self.clock, attempts).make(self.program, Probe("tcp", "x:1"), lambda: 1 // 0, self.said.append)
        probing.start()
        self.clock.advance(0)
        self.attempts[0].callback(None)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.attempts), 2)
        probing.stop()


class FakeChild:
    """A probe's command, which the test ends."""

    def __init__(self) -> None:
        self.pid = 4711
        self.signals: list[int] = []

    def onEnded(self, call: Any) -> None:
        """See `Child`."""
        self.ended = call

    def onEmptied(self, call: Any) -> None:
        """See `Child`."""
        self.emptied = call

    def signalTree(self, number: int) -> bool:
        """See `Child`."""
        self.signals.append(number)
        return True


class CommandTests(SynchronousTestCase):
    """A probe may be a command."""

    def setUp(self) -> None:
        self.orders: list[tuple[Any, tuple[int, ...]]] = []
        self.spawned: list[Deferred[Any]] = []
        program = Program(name="web", command=("web",), cwd="/srv", env={"A": "b"}, clear_env=True, user="web")
        warden: Any = self
        self.attempt = Attempts(None, warden).of(program, Probe("command", ("check", "-q")))

    def spawn(self, order: Any, files: tuple[int, ...]) -> Deferred[Any]:
        """See `Warden`."""
        self.orders.append((order, files))
        self.spawned.append(Deferred())
        return self.spawned[-1]

    def started(self) -> tuple[Deferred[Any], FakeChild]:
        """An attempt whose command runs."""
        answer, child = self.attempt(), FakeChild()
        self.spawned[-1].callback(child)
        return answer, child

    def test_order(self) -> None:
        """It runs as its program does, never outlives us, has no files of ours."""
        answer, child = self.started()
        ((order, files),) = self.orders
        self.assertEqual((order.argv, order.cwd, order.env, order.user), (("check", "-q"), "/srv", {"A": "b"}, "web"))
        self.assertTrue(order.kill)
        self.assertRaises(OSError, os.fstat, files[0])
        child.ended(0)
        self.assertIsNone(self.successResultOf(answer))

    def test_code(self) -> None:
        """Another code than 0 is a failure that says so; what the command left behind is ended."""
        for code, part in ((3, "'check' ended with 3"), (-9, "'check' was ended by signal 9")):
            answer, child = self.started()
            child.ended(code)
            child.emptied()
            self.assertIn(part, self.failureResultOf(answer).getErrorMessage())
            self.assertEqual(child.signals, [9])

    def test_givenUp(self) -> None:
        """One that is given up is killed with its tree; as long as that is there no other one is begun."""
        answer, child = self.started()
        answer.cancel()
        self.failureResultOf(answer)
        self.assertEqual(child.signals, [9])
        self.assertIn("has not ended", str(self.assertRaises(LocalError, self.attempt)))
        child.ended(-9)
        child.emptied()
        self.started()
        self.assertEqual(len(self.orders), 2)

    def test_givenUpEarly(self) -> None:
        """One that is given up before it runs is killed as soon as it does."""
        answer, child = self.attempt(), FakeChild()
        answer.cancel()
        self.failureResultOf(answer)
        self.spawned[-1].callback(child)
        self.assertEqual(child.signals, [9])

    def test_missing(self) -> None:
        """One that cannot be run is a failure with the reason; the next attempt is made."""
        for _ in range(2):
            answer = self.attempt()
            self.spawned[-1].errback(OSError("no such file"))
            self.assertIn("cannot be run: no such file", self.failureResultOf(answer).getErrorMessage())


class ConnectionTests(TestCase):
    """Attempts over real sockets."""

    async def attempt(self, kind: Any, value: str) -> str:
        """Empty if it succeeded, else why not."""
        from twisted.internet import reactor

        warden: Any = None
        attempts = Attempts(reactor, warden)
        try:
            await attempts.of(Program(name="web", command=("web",)), Probe(kind, value, timeout=10))()
        except Exception as error:
            return str(error)
        return ""

    async def test_answers(self) -> None:
        """A port that takes a connection is well, so is a page with 2xx; nobody there, or another status, is not."""
        from twisted.internet import reactor as _reactor
        from twisted.web.resource import NoResource, Resource
        from twisted.web.server import Site
        from twisted.web.static import Data

        reactor: Any = _reactor
        root = Resource()
        root.putChild(b"good", Data(b"x" * 1_000_000, "text/plain"))
        root.putChild(b"bad", NoResource())
        port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        self.assertEqual(await self.attempt("tcp", f"127.0.0.1:{number}"), "")
        self.assertEqual(await self.attempt("tcp", f"localhost:{number}"), "")
        self.assertEqual(await self.attempt("http", f"http://127.0.0.1:{number}/good"), "")
        self.assertEqual(
            await self.attempt("http", f"http://127.0.0.1:{number}/bad"), f"http://127.0.0.1:{number}/bad answers 404"
        )
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nobody = closed.getsockname()[1]
        self.assertIn("refused", await self.attempt("tcp", f"127.0.0.1:{nobody}"))
        self.assertIn("refused", await self.attempt("http", f"http://127.0.0.1:{nobody}/"))
