"""Peers that ask and do not read, over real Tubs."""

from __future__ import annotations

from nodeset.core import batch as wire
from nodeset.core.hello import Hello, packHello
from nodeset.transport import broker as room
from nodeset.transport.faces import LinkFace
from tests.sites import Shop
from tests.test_contract import until
from tests.test_tub import TubCase, played


class UnreadTests(TubCase):
    @played
    async def test_cutOff(self) -> None:
        """Who asks without end and reads no answer is cut off before the answers fill the memory; others are not."""
        self.patch(room, "MAX_UNREAD", 1 << 20)
        self.patch(room, "MAX_UNREAD_LINK", 1 << 20)
        acceptor = await self.acceptor()
        shop = self.node(Shop)
        await shop.start()
        opening = await self.stranger().getReference(self.file.read_text().strip())
        hello = packHello(Hello(stream="s" * 20, name="stock", host="localhost"))
        link, _answer = await opening.callRemote("open", LinkFace(), hello)
        connection = link.tracker.broker.transport
        connection.stopReading()
        asking = wire.pack([wire.Sub("somebody@/else")] * 4000)
        stats = acceptor.dispatcher.getStats

        def askedEnough() -> bool:
            link.callRemoteOnly("batch", asking)
            return bool(stats().get("cut_off"))

        await until(askedEnough)
        self.assertEqual(stats().get("cut_off"), 1)
        await until(lambda: stats()["nodes"] == 1)
        connection.abortConnection()  # it may know by now, or not
        assert shop._peer is not None
        self.assertTrue(shop._peer.linked)
