"""`nodeset doctor` and the network, without one."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.error import ConnectionRefusedError as Refusal
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.doctor.examination import codeOf
from nodeset.cli.doctor.findings import Finding, Verdict
from nodeset.cli.doctor.probing import Network, ask, linkOf, tryHint, tryHints
from nodeset.cli.outcome import Exit
from nodeset.errors import GrantRefused, LinkLost, NodeSetError, Refused, TimedOut, UnknownMethod, WrongIdentity


class HintTests(SynchronousTestCase):
    """Names and ports."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.dialled: list[tuple[str, int]] = []
        self.resolve: Any = lambda host: succeed(["192.0.2.1"])
        self.connect: Any = self.accept

    def accept(self, host: str, port: int) -> Deferred[None]:
        self.dialled.append((host, port))
        return succeed(None)

    def network(self) -> Network:
        return Network(
            self.clock,
            lambda host: self.resolve(host),
            lambda host, port: self.connect(host, port),
            lambda path: self.connect(path, 0),
        )

    def attempt(self, hint: str = "tcp:bus.example:5333", patience: float = 2.0) -> Deferred[Finding]:
        return Deferred.fromCoroutine(tryHint(hint, self.network(), patience))

    def test_reached(self) -> None:
        """A port that accepts is fine; IPv6 loses its brackets."""
        found = self.successResultOf(self.attempt())
        self.assertEqual(found.verdict, Verdict.FINE)
        self.assertIn("192.0.2.1", found.told)
        self.successResultOf(self.attempt("tcp:[::1]:5333"))
        self.assertEqual(self.dialled, [("bus.example", 5333), ("::1", 5333)])

    def test_socket(self) -> None:
        """A socket is tried by its path, with no name to look up; one that refuses or hangs says so."""
        hint = "unix:%2Frun%2Fnerve.sock"
        self.assertIn("/run/nerve.sock accepts", self.successResultOf(self.attempt(hint)).told)
        self.assertEqual(self.dialled, [("/run/nerve.sock", 0)])
        self.connect = lambda path, port: fail(Refusal(111))
        self.assertIn("Connection refused", self.successResultOf(self.attempt(hint)).told)
        self.connect = lambda path, port: Deferred()
        trying = self.attempt(hint, patience=2.0)
        self.clock.advance(2.0)
        self.assertIn("does not answer in 2 s", self.successResultOf(trying).told)

    def test_unknownName(self) -> None:
        """A name that nobody knows says so, and that it is the DNS."""
        self.resolve = lambda host: fail(socket.gaierror(-2, "Name or service not known"))
        found = self.successResultOf(self.attempt())
        self.assertEqual(found.verdict, Verdict.FAILED)
        self.assertIn("Name or service not known", found.told)
        self.assertIn("DNS", found.todo)

    def test_silentNameServer(self) -> None:
        """A name server that says nothing costs no more than the time that there is."""
        self.resolve = lambda host: Deferred()
        trying = self.attempt(patience=2.0)
        self.assertNoResult(trying)
        self.clock.advance(2.0)
        self.assertIn("DNS", self.successResultOf(trying).todo)

    def test_dropped(self) -> None:
        """A host that drops packets costs no more either, and is told from one that refuses."""
        self.connect = lambda host, port: Deferred()
        trying = self.attempt(patience=2.0)
        self.clock.advance(2.0)
        self.assertIn("firewall", self.successResultOf(trying).todo)
        address = HostnameAddress(b"bus.example", 5333)
        # As the endpoints of Twisted's take their being cancelled.
        self.connect = lambda host, port: Deferred(lambda connecting: connecting.errback(ConnectingCancelledError(address)))
        trying = self.attempt(patience=2.0)
        self.clock.advance(2.0)
        self.assertIn("firewall", self.successResultOf(trying).todo)
        self.connect = lambda host, port: fail(Refusal(osError=111))
        found = self.successResultOf(self.attempt())
        self.assertIn("Connection refused", found.told)
        self.assertIn("nodeset dispatcher", found.todo)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oneIsEnough(self) -> None:
        """One place that is reached makes the others worth a warning only; none is a failure."""
        self.connect = lambda host, port: succeed(None) if port == 1 else fail(Refusal())
        both = Deferred.fromCoroutine(tryHints(("tcp:a:1", "tcp:a:2"), self.network(), 2.0))
        self.assertEqual([each.verdict for each in self.successResultOf(both)], [Verdict.FINE, Verdict.WARNING])
        none = Deferred.fromCoroutine(tryHints(("tcp:a:3", "tcp:a:2"), self.network(), 2.0))
        self.assertEqual([each.verdict for each in self.successResultOf(none)], [Verdict.FAILED] * 2)


class LinkTests(SynchronousTestCase):
    """Linking, as a node does."""

    def test_link(self) -> None:
        """Whoever answers there: each way to fail has an advice of its own; none shows a secret."""
        self.assertEqual(linkOf(None, 0.01).verdict, Verdict.FINE)
        secret = "pb://abcdefghijklmnopqrstuvwxyz234567@tcp:127.0.0.1:5333/thesecret"
        advices = set()
        for kind in (WrongIdentity, GrantRefused, Refused, LinkLost):
            found = linkOf(kind(f"cannot link to {secret}\x1b[2J"), 1.0)
            self.assertEqual(found.verdict, Verdict.FAILED)
            self.assertNotIn("thesecret", found.told)
            self.assertTrue(found.told.isprintable())
            advices.add(found.todo)
        self.assertEqual(len(advices), 4)

    def test_code(self) -> None:
        """0 if no check failed, 1 if one did, 3 if there is no dispatcher."""
        fine, bad = Finding("x", Verdict.FINE, ""), Finding("state", Verdict.FAILED, "")
        gone, warning = Finding("reach", Verdict.FAILED, ""), Finding("clock", Verdict.WARNING, "")
        self.assertEqual(codeOf([fine, warning], True, False), Exit.OK)
        self.assertEqual(codeOf([fine, bad], True, False), Exit.FAILED)
        self.assertEqual(codeOf([bad, gone], False, False), Exit.NO_DISPATCHER)
        self.assertEqual(codeOf([Finding("link", Verdict.FAILED, "")], False, True), Exit.FAILED)


class AskTests(SynchronousTestCase):
    """Calls of the dispatcher."""

    def play(self, *results: Any, seconds: float = 0.125) -> Any:
        """Ask somebody who answers so, each time after so many seconds."""
        clock = Clock()
        given = list(results)

        def call(timeout: float) -> Deferred[Any]:
            answer: Deferred[Any] = Deferred()
            result = given.pop(0) if len(given) > 1 else given[0]
            result = TimedOut() if seconds > timeout else result
            tell = answer.errback if isinstance(result, NodeSetError) else answer.callback
            clock.callLater(min(seconds, timeout), tell, result)
            return answer

        asking = Deferred.fromCoroutine(ask(call, clock, lambda: 1000.0 + clock.seconds(), 3.0))
        clock.pump([0.0625] * 100)
        return self.successResultOf(asking)

    def test_figures(self) -> None:
        """Each call is timed, and Unix time taken in the middle of the quickest."""
        found = self.play({"wall": 1.0})
        self.assertEqual((len(found.seconds), found.figures), (5, {"wall": 1.0}))
        self.assertEqual(found.seconds[0], 0.125)
        self.assertEqual(found.middle, 1000.0625)

    def test_refused(self) -> None:
        """A refusal, or a dispatcher without figures, is an answer that can be timed."""
        for error in (Refused("its grant does not let it"), UnknownMethod("no method 'stats'")):
            found = self.play(error)
            self.assertEqual((len(found.seconds), found.figures), (5, {}))
            self.assertIn(str(error), found.why)

    def test_nonsense(self) -> None:
        """What is no mapping counts as no figures."""
        self.assertEqual(self.play([1, 2]).figures, {})

    def test_silence(self) -> None:
        """No answer ends it when the time is over; a lost link at once."""
        self.assertEqual(self.play({}, seconds=60.0).seconds, [])
        self.assertEqual(len(self.play({"a": 1}, LinkLost("gone")).seconds), 1)
