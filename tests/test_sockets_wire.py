"""What peers may send on a WebSocket, down to its bytes."""

from __future__ import annotations

import struct
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.filepath import FilePath
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from nodeset.web.sockets.bounds import MAX_CONTROLS, MAX_PIECES, PERIOD
from nodeset.web.sockets.wire import CLOSE_PATIENCE, LINGER
from tests.test_sockets import SocketCase

#: By which a connection may end that was sent anything at all.
CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009}


def frame(opcode: int, payload: bytes = b"", fin: bool = True, length: int | None = None, masked: bool = True) -> bytes:
    """One frame of RFC 6455 by its parts, the length that it declares among them."""
    length = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if length < 126:
        head += bytes([bit | length])
    elif length < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", length)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", length)
    return head + (bytes(4) if masked else b"") + payload


PIECES = st.one_of(
    st.binary(max_size=64),
    st.builds(
        frame,
        st.integers(0, 15),
        st.binary(max_size=200),
        st.booleans(),
        st.none() | st.sampled_from([0, 5, 125, 126, 70_000, 1 << 20, 1 << 30, 1 << 62]),
        st.booleans(),
    ),
    st.builds(lambda text: frame(1, text.encode()), st.sampled_from(['{"op":"ping"}', "{}", "[", '{"op":"sub","id":"a"}'])),
)


class GarbageTests(SocketCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(PIECES, max_size=8), st.integers(1, 50))
    def test_anything(self, pieces: list[bytes], cut: int) -> None:
        """Whatever comes, in whatever pieces, the connection goes on or ends by a code that says why; others do not notice."""
        bystander, client = self.open(), self.open()
        data = b"".join(pieces)
        client.raw(data[:cut])
        client.raw(data[cut:])
        self.site.advance(CLOSE_PATIENCE + LINGER)
        client.read()
        if client.closed is not None:
            code = client.closed[0]
            own = code >= 3000  # what the client itself closed with comes back to it
            self.assertTrue(code in CODES or own or code in (1005, 1010, 1011, 1012, 1013), client.closed)
            self.assertTrue(client.client.is_closed)
        bystander.say("ping", id="x")
        bystander.next("pong", id="x")
        for each in (bystander, client):
            each.leave()

    def test_codes(self) -> None:
        """What is wrong with a frame of RFC 6455 is told by the code of the close, with a reason."""
        for data, code, word in (
            (frame(1, b"{}", masked=False), 1002, "mask"),
            (frame(3, b"{}"), 1002, "opcode"),
            (b"\xff" + frame(1, b"{}")[1:], 1002, "opcode"),
            (b"\xc1" + frame(1, b"{}")[1:], 1002, "bit"),
            (frame(0, b"{}"), 1002, "CONTINUATION"),
            (frame(9, b"x" * 126), 1002, "125"),
            (frame(9, fin=False), 1002, "fragment"),
            (frame(1, b"{", fin=False) + frame(1, b"}"), 1002, "CONTINUATION"),
            (frame(8, struct.pack("!H", 1005)), 1002, "local"),
            (frame(8, b"x"), 1002, "1 byte"),
            (frame(2, b"{}"), 1003, "text"),
            (frame(1, b"\xff\xfe"), 1007, "utf-8"),
            (frame(1, b"{"), 1007, "JSON"),
            (frame(1, b""), 1007, "JSON"),
            (frame(1, length=1 << 62), 1009, "bytes"),
            (frame(1, length=2 << 20), 1009, "bytes"),
        ):
            client = self.open()
            client.raw(data)
            closed = client.ended()
            self.assertEqual(closed[0], code, closed)
            self.assertIn(word.lower(), closed[1].lower())
            self.site.advance(LINGER)
            self.assertTrue(client.client.is_closed)

    def test_afterwards(self) -> None:
        """What comes after a breach is thrown away, however much that is; who never hangs up is cut."""
        client = self.open()
        client.raw(frame(3))
        for _ in range(200):
            client.client.send(bytes(65_536))
        self.site.advance(LINGER + CLOSE_PATIENCE)
        self.assertTrue(client.client.wire.is_over)

    def test_hugeLength(self) -> None:
        """A frame that declares 4 EiB costs nothing: it is refused by its head."""
        client = self.open()
        tracemalloc.start()
        try:
            client.raw(frame(1, length=1 << 62)[:10])
            client.raw(b"\x00\x00")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertEqual(client.ended()[0], 1009)
        self.assertLess(peak, 200_000)

    def test_pieces(self) -> None:
        """A message in pieces is put together; all pieces together may be as large as one message, so many may they be."""
        client = self.open()
        text = b'{"op":"ping","id":"x"}'
        client.raw(b"".join(frame(1 if at == 0 else 0, text[at : at + 1], at == len(text) - 1) for at in range(len(text))))
        client.next("pong", id="x")
        client.raw(frame(1, b" " * 1_000_000, False) + frame(0, b" " * 100_000, False))
        self.assertEqual(client.ended()[0], 1009)
        client = self.open()
        client.raw(frame(1, b" ", False) + frame(0, b"", False) * MAX_PIECES)
        self.assertEqual(client.ended(), (1008, f"flood: a message may come in {MAX_PIECES} pieces"))

    def test_trickle(self) -> None:
        """A large message that comes byte by byte costs time in proportion to its length."""
        client = self.open()
        message = b'{"op":"ping","id":"x"' + b" " * 200_000 + b"}"
        for at in range(0, len(message) + 14, 100):
            client.client.send(frame(1, message)[at : at + 100])
        client.next("pong", id="x")

    def test_largest(self) -> None:
        """A message of the largest payload is taken, in its frame."""
        client = self.open()
        letters = "x" * (1024 * 1024 - 9)
        text = f'{{"op":"pub","id":"p","event":"orders.new","message":{{"a":"{letters}"}}}}'
        client.text(text)
        client.next("receipt", id="p")


class ControlTests(SocketCase):
    def test_pings(self) -> None:
        """Pings are answered, with what they carry."""
        client = self.open()
        client.send(Ping(b"hello"))
        self.assertEqual(client.pongs, 1)

    def test_pingFlood(self) -> None:
        """Who sends more control frames than anybody needs is cut; the same number over a longer time is fine."""
        client = self.open()
        for _ in range(3):
            client.raw(frame(9, b"x") * MAX_CONTROLS)
            self.site.advance(PERIOD)
        self.assertIsNone(client.closed)
        client.raw(frame(10, b"x") * (MAX_CONTROLS + 1))
        self.assertEqual(client.ended()[0], 1008)

    def test_cleanClose(self) -> None:
        """A client that closes is answered with its own code, then both are done."""
        for code in (1000, 1001, 4000):
            client = self.open()
            client.send(CloseConnection(code, "bye"))
            self.assertEqual(client.ended(), (code, "bye"))
            self.assertTrue(client.client.is_closed)

    def test_ourClose(self) -> None:
        """After a close of ours no frame is sent, none is heard; the connection goes with the answer."""
        client = self.open()
        client._ws.receive_data(b"")
        client.client.send(client._ws.send(BytesMessage(b"x")))
        data = client.client.received
        client.client.send(client._ws.send(TextMessage('{"op":"ping"}')))
        self.assertEqual(client.client.received, data)
        self.assertFalse(client.client.is_closed)
        client.read()
        self.assertEqual(client.closed, (1003, "a message must be text: JSON"))
        self.assertTrue(client.client.is_closed)

    def test_silence(self) -> None:
        """A ping goes out every 25 s; who does not answer for 20 s is cut, who does is kept."""
        quiet, lively = self.open(answers_pings=False), self.open()
        for _ in range(26):
            self.site.advance(1)
            lively.read()
            quiet.read()
        self.assertEqual((quiet.pings, lively.pings), (1, 1))
        for _ in range(60):
            self.site.advance(1)
            lively.read()
        quiet.read()
        self.assertEqual(quiet.closed, (1008, "silent: no pong came"))
        self.assertIsNone(lively.closed)
        self.assertGreaterEqual(lively.pings, 3)

    def test_fence(self) -> None:
        """Nothing but the fence imports wsproto, or twisted.web's WebSocket."""
        rooms = FilePath(__file__).parent().sibling("nodeset").child("web").walk()
        found = {room.basename() for room in rooms if room.path.endswith(".py") and b"wsproto" in room.getContent()}
        self.assertEqual(found, {"bounds.py", "handshake.py", "wire.py"})
