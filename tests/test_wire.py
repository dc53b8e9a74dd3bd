"""Past the queues of Twisted's TLS: the same bytes in the same order, sooner."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.protocols import tls as _tls
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset.transport import wire
from nodeset.transport.certificate import createCertificate
from nodeset.transport.fastpath import FastBroker
from nodeset.transport.inlet import Inlet
from nodeset.transport.outlet import Outlet
from nodeset.transport.tls import makeContext
from nodeset.transport.wire import isOurs


class Turns(Clock):
    """A reactor that turns when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard

    @property
    def quiet(self) -> bool:
        """Whether nothing waits for a turn."""
        return not self.writers and not self.getDelayedCalls()

    def turn(self) -> None:
        """What is due, then the sockets."""
        self.advance(0)
        for waiting, does in ((self.readers, "doRead"), (self.writers, "doWrite")):
            for each in list(waiting):
                why = getattr(each, does)()
                if why is not None:
                    each.connectionLost(Failure(why))


class End(Connection):
    """One end of a connection: keeps what comes, and why it ended."""

    def __init__(self, turns: Turns, sock: socket.socket, is_client: bool) -> None:
        self._tlsClientDefault = is_client
        self.heard: list[bytes] = []
        self.ends: list[Failure] = []
        protocol: Any = Protocol()
        protocol.dataReceived, protocol.connectionLost = self.heard.append, self.ends.append
        reactor: Any = turns
        super().__init__(sock, protocol, reactor)
        self.connected = 1
        self.startReading()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """A pair of sockets knows no such thing."""

    @property
    def text(self) -> bytes:
        """All that came."""
        return b"".join(self.heard)


class WireCase(SynchronousTestCase):
    """Two ends of one TLS connection."""

    def setUp(self) -> None:
        """Connect, shake hands, come to rest."""
        self.turns = Turns()
        self.patch(_tls, "_get_default_clock", lambda: self.turns)
        near, far = socket.socketpair()
        self.near, self.far = End(self.turns, near, True), End(self.turns, far, False)
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        self.far.startTLS(PrivateCertificate.loadPEM(createCertificate()).options())
        self.near.startTLS(CertificateOptions())
        self.settle()

    def settle(self, turns: int = 20) -> None:
        """Let the reactor turn."""
        for _ in range(turns):
            self.turns.turn()


class OutletTests(WireCase):
    """What leaves."""

    def setUp(self) -> None:
        """Write by an outlet."""
        super().setUp()
        self.outlet = Outlet(self.near)

    def test_atOnce(self) -> None:
        """What is written is in the socket when `write` returns: nothing waits for a turn of the reactor."""
        for data in (b"batch", b"x" * 65_536, b"y" * 100_000):
            self.far.heard.clear()
            self.outlet.write(data)
            self.assertTrue(self.turns.quiet)
            for _ in range(9):
                self.far.doRead()
            self.assertEqual(self.far.text, data)

    def test_order(self) -> None:
        """What others write to the same connection stays in its place, before and behind."""
        for data in (b"a", b"c", b"e"):
            self.near.write(data)
            self.outlet.write(bytes((data[0] + 1,)))
        self.settle()
        self.assertEqual(self.far.text, b"abcdef")

    def test_full(self) -> None:
        """A socket that takes no more gets the rest when it does, in order, with what was written behind it."""
        sent = b"".join(bytes((number,)) * 300_000 for number in range(20))
        for at in range(0, len(sent), 300_000):
            self.outlet.write(sent[at : at + 300_000])
        self.assertIn(self.near, self.turns.writers)
        self.outlet.write(b"end")
        self.settle(600)
        self.assertEqual(self.far.text, sent + b"end")
        self.assertTrue(self.turns.quiet)

    def test_handshake(self) -> None:
        """What is written before TLS is ready leaves when it is."""
        near, far = socket.socketpair()
        ends = End(self.turns, near, True), End(self.turns, far, False)
        ends[1].startTLS(PrivateCertificate.loadPEM(createCertificate()).options())
        ends[0].startTLS(CertificateOptions())
        outlet = Outlet(ends[0])
        outlet.write(b"early ")
        outlet.write(b"bird")
        self.settle()
        self.assertEqual(ends[1].text, b"early bird")
        for end in ends:
            end.abortConnection()
        self.settle()

    def test_waits(self) -> None:
        """While TLS waits for the peer what is written waits too, and leaves in order."""
        encrypt, calls = self.outlet._encrypt, [SSL.WantReadError()]

        def balk(data: bytes) -> int:
            if calls and len(data) < 16_384:
                raise calls.pop()
            sent: int = encrypt(data)
            return sent

        self.outlet._encrypt = balk
        data = b"x" * 16_384 + b"y" * 1000
        self.outlet.write(data)
        self.outlet.write(b"z")
        self.settle()
        self.assertEqual(self.far.text, data + b"z")

    def test_close(self) -> None:
        """Losing the connection loses nothing that was written before, and drops what is written after."""
        self.outlet.write(b"x" * 1_000_000)
        self.near.loseConnection()
        self.outlet.write(b"late")
        self.settle(200)
        self.assertEqual(self.far.text, b"x" * 1_000_000)
        self.assertEqual((len(self.near.ends), len(self.far.ends)), (1, 1))
        self.outlet.write(b"much too late")

    def test_abort(self) -> None:
        """Nothing leaves after an abort."""
        self.near.abortConnection()
        self.outlet.write(b"late")
        self.settle()
        self.assertEqual(self.far.text, b"")
        self.outlet.write(b"much too late")

    def test_lost(self) -> None:
        """A peer that is gone is found by the reactor, in a later turn, and told once."""
        self.far.socket.close()
        self.far.stopReading()
        for _ in range(3):
            self.outlet.write(b"x")
        self.assertEqual(self.near.ends, [])
        self.settle()
        self.assertEqual(len(self.near.ends), 1)

    def test_broken(self) -> None:
        """TLS that is broken is found by Twisted, which cuts the connection; `write` does not raise."""

        def fail(data: bytes) -> int:
            raise SSL.Error([("", "", "broken")])

        self.outlet._encrypt = fail
        self.patch(self.outlet._tls, "_tlsConnection", _Broken(self.outlet._tls._tlsConnection, fail))
        self.outlet.write(b"x")
        self.assertEqual(self.near.ends, [])
        self.settle()
        self.assertEqual(len(self.near.ends), 1)


class _Broken:
    """TLS that cannot send."""

    def __init__(self, real: Any, send: Any) -> None:
        self._real, self.send = real, send

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Sink:
    """A socket that takes everything."""

    def __init__(self, written: bytearray) -> None:
        self._written = written

    def send(self, data: bytes) -> int:
        """Take it."""
        self._written += data
        return len(data)


class InletTests(WireCase):
    """What comes."""

    def setUp(self) -> None:
        """Read by an inlet."""
        super().setUp()
        self.heard = self.near.heard
        self.inlet = Inlet(self.near, self.heard.append)

    def record(self, *batches: bytes) -> bytes:
        """What the far end writes to its socket for these."""
        written, sock = bytearray(), self.far.socket
        self.far.socket = cast(Any, Sink(written))
        for batch in batches:
            Outlet(self.far).write(batch)
        self.far.socket = sock
        return bytes(written)

    def test_single(self) -> None:
        """A batch that came as one record is heard in the same read, as a whole."""
        Outlet(self.far).write(b"batch")
        self.near.doRead()
        self.assertEqual(self.heard, [b"batch"])
        self.assertTrue(self.turns.quiet)

    def test_cuts(self) -> None:
        """However the records are cut and joined on their way, all that was sent is heard, in order."""

        @settings(max_examples=60, deadline=None)
        @example([b"x"], [3])
        @given(st.lists(st.binary(min_size=1, max_size=300), max_size=12), st.lists(st.integers(1, 200), max_size=30))
        def feed(batches: list[bytes], cuts: list[int]) -> None:
            self.heard.clear()
            rest, protocol = self.record(*batches), self.near.protocol
            for cut in [*cuts, len(rest)]:
                if rest:
                    protocol.dataReceived(rest[:cut])
                    rest = rest[cut:]
            self.assertEqual(b"".join(self.heard), b"".join(batches))

        feed()

    def test_large(self) -> None:
        """Much at once is read in larger pieces for as long as it lasts."""
        written = self.record(b"x" * 400_000, b"end")
        sizes = []
        while written:
            size = self.near.bufferSize
            self.near.protocol.dataReceived(written[:size])
            written = written[size:]
            sizes.append(size)
        self.assertEqual(self.near.text, b"x" * 400_000 + b"end")
        self.assertEqual(sizes, [64 * 1024, 256 * 1024, 256 * 1024])
        self.near.protocol.dataReceived(self.record(b"more"))
        self.assertEqual(self.near.bufferSize, 64 * 1024)

    def test_close(self) -> None:
        """The peer's goodbye, which is a single record as well, ends the connection as it does without us."""
        self.far.loseConnection()
        self.settle()
        self.assertEqual((len(self.near.ends), len(self.far.ends)), (1, 1))

    def test_nonsense(self) -> None:
        """A record that cannot be decrypted ends the connection, and nobody hears of it."""
        self.near.protocol.dataReceived(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        self.settle()
        self.assertEqual((self.heard, len(self.near.ends)), ([], 1))

    def test_abort(self) -> None:
        """After an abort nothing is heard."""
        self.near.abortConnection()
        Outlet(self.far).write(b"late")
        self.near.doRead()
        self.settle()
        self.assertEqual((self.heard, len(self.near.ends)), ([], 1))

    def test_letsGo(self) -> None:
        """Closed, it leaves the connection as Twisted made it."""
        self.inlet.close()
        self.inlet.close()
        self.assertNotIn("dataReceived", vars(self.near.protocol))
        Outlet(self.far).write(b"batch")
        self.settle()
        self.assertEqual(self.heard, [b"batch"])


class OursTests(WireCase):
    """Which connections we take over."""

    def test_ours(self) -> None:
        """With the Twisted that is installed here TLS over a socket is ours; no other transport is."""
        self.assertTrue(isOurs(self.near))
        self.assertFalse(isOurs(StringTransport()))
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        self.assertFalse(isOurs(End(self.turns, near, True)))

    def test_changed(self) -> None:
        """A Twisted that keeps things elsewhere makes us leave all to it, said once."""
        said: list[Any] = []
        self.patch(wire, "_log", type("Log", (), {"warn": staticmethod(lambda text, **fields: said.append(fields))}))
        for group in ("_CONNECTION", "_TLS", "_AGGREGATOR"):
            wire._say.cache_clear()
            self.addCleanup(wire._say.cache_clear)
            said.clear()
            self.patch(wire, group, (*getattr(wire, group), "_elsewhere"))
            self.assertFalse(isOurs(self.near))
            self.assertFalse(isOurs(self.near))
            self.assertEqual(len(said), 1)

    def test_broker(self) -> None:
        """A broker writes and reads past Twisted's queues where it may, and lets go of the connection when it is lost."""
        broker: Any = FastBroker(None, {"initial-vocab-table-index": 1})
        broker.makeConnection(self.near)
        self.assertTrue(broker.sendBatch(1, b"x"))
        self.assertTrue(self.turns.quiet)
        broker.connectionLost(Failure(ConnectionError()))
        self.assertNotIn("dataReceived", vars(self.near.protocol))

    def test_stockBroker(self) -> None:
        """A broker on a connection that is not ours leaves its batches to Twisted."""
        self.patch(wire, "_TLS", ("_elsewhere",))
        self.patch(wire, "_say", lambda names: None)
        broker: Any = FastBroker(None, {"initial-vocab-table-index": 1})
        broker.makeConnection(self.near)
        self.assertTrue(broker.sendBatch(1, b"x"))
        self.assertFalse(self.turns.quiet)
        self.settle()
        self.assertIn(b"batch", self.far.text)
        broker.connectionLost(Failure(ConnectionError()))


class ContextTests(SynchronousTestCase):
    """The TLS context that the connections of a Tub share."""

    def test_noResumption(self) -> None:
        """Each connection shakes hands in full and proves its certificate: no session of an earlier one is taken up again."""
        shared = makeContext(PrivateCertificate.loadPEM(createCertificate()))
        self.assertIs(shared.getContext(), shared.getContext())
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = context.maximum_version = version
            first = self._shake(shared, context, None)
            again = self._shake(shared, context, first.session)
            self.assertEqual((first.session_reused, again.session_reused), (False, False))

    def _shake(self, shared: Any, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
        server = SSL.Connection(shared.getContext(), None)
        server.set_accept_state()
        come, gone = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(come, gone, session=session)
        for _ in range(5):
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            if gone.pending:
                server.bio_write(gone.read())
            with contextlib.suppress(SSL.WantReadError):
                server.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                come.write(server.bio_read(100_000))
        server.send(b"hello")
        come.write(server.bio_read(100_000))
        self.assertEqual(client.read(), b"hello")
        server.shutdown()  # a session that did not end well would never be taken up
        return client
