"""Grants over real Tubs: for nodes, for peers that have only Foolscap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foolscap.api import Tub
from twisted.logger import capturedLogs, formatEvent

from nodeset.errors import GrantRefused, Refused
from nodeset.transport.certificate import createCertificate
from nodeset.transport.entrance import RefusedFace
from nodeset.transport.faces import LinkFace
from nodeset.transport.rendezvous import find
from nodeset.transport.tub import TubAcceptor, TubTransport
from tests.grantees import GrantCase
from tests.sites import Order, Quiet
from tests.test_contract import until
from tests.test_legacy import Stock, StockNode, refusal
from tests.test_tub import TubCase, played, reactor


class GrantTubCase(TubCase):
    """A dispatcher with an owner."""

    async def begin(self, port: int = 0) -> TubAcceptor:
        acceptor = await self.acceptor(port)
        self.dispatcher = acceptor.dispatcher
        self.owner = self.holder(file=self.file.with_suffix(".owner.furl"), name="owner")
        await self.owner.start()
        return acceptor

    def holder(self, furl: str = "", file: Path | None = None, name: str = "holder") -> Quiet:
        source = find(furl or str(file or self.file), environ={}, state_directory=self.home)
        node = Quiet(name=name, transport=TubTransport(source, reactor))
        self.addCleanup(node.stopService)
        node.startService()
        return node

    async def stock(self, furl: str) -> Stock:
        stock = Stock(furl)
        self.addCleanup(stock.stop)
        return await stock.start()


class NodeTests(GrantTubCase):
    """Nodes with FURLs that were granted."""

    @played
    async def test_handedOn(self) -> None:
        """A minted grant and what its holder makes of it work over TLS, before and after the dispatcher's restart, and do
        what they say, no more.
        """
        acceptor = await self.begin()
        port = await acceptor.listening
        listener = self.holder(name="listener")
        await listener.subscribe("orders.>")
        furl = await self.owner.grant(publish=["orders.>"])
        seller = self.holder(furl, name="seller")
        await seller.start()
        narrower = await seller.grant(publish=["orders.created"], expires=600, rate=1000)
        clerk = self.holder(narrower, name="clerk")
        await clerk.start()
        for _ in range(2):
            for node, event, allowed in ((seller, "orders.paid", 1), (clerk, "orders.created", 1), (clerk, "orders.paid", 0)):
                if allowed:
                    self.assertEqual((await node.publish(event, Order, id=1)).delivered, 1)
                else:
                    await self.fails(Refused, node.publish(event, Order, id=1))
            await self.fails(Refused, clerk.subscribe("orders.>"))
            await acceptor.stopService()
            acceptor = await self.acceptor(port or 0)
        grants = [msg.meta.grant for _event, msg in listener.heard if msg.meta is not None]
        publishers = {msg.meta.publisher for _event, msg in listener.heard if msg.meta is not None}
        self.assertEqual((len(grants), len(set(grants)), len(publishers)), (4, 2, 2))
        self.assertTrue(all(len(tub) == 32 for tub in publishers))

    @played
    async def test_revoked(self) -> None:
        """Revoking cuts the link; the node is told why, dials no more. So it stays after a restart."""
        acceptor = await self.begin()
        port = await acceptor.listening
        furl = await self.owner.grant(publish=["orders.>"], subscribe=["orders.>"])
        node = self.holder(furl)
        await node.start()
        attempts, connections = self.attempts(node), self.count(acceptor)
        self.assertTrue(await self.owner.revoke(furl))
        await until(lambda: len(attempts) >= 4)
        self.assertEqual(len(connections), 1, "told once, it asks no more")
        error = await self.fails(GrantRefused, node.start())
        self.assertIn("revoked", str(error))
        self.assertNotIn(furl.rpartition("/")[2], str(error))
        await acceptor.stopService()
        await self.acceptor(port or 0)
        self.assertIn("revoked", str(await self.fails(GrantRefused, self.holder(furl).start())))

    @played
    async def test_memberRevoked(self) -> None:
        """When the grant in the rendezvous file itself is revoked, the file has another at once, nodes read it."""
        acceptor = await self.begin()
        node, before = self.holder(), self.file.read_text()
        await node.start()
        self.assertTrue(await self.owner.revoke(before.strip()))
        self.assertNotEqual(self.file.read_text(), before)
        await until(lambda: node._peer is not None and not node._peer.linked)
        await until(lambda: node._peer is not None and node._peer.linked)
        self.assertIn("revoked", str(await self.fails(GrantRefused, self.holder(before.strip()).start())))
        self.assertEqual(acceptor.dispatcher.getStats()["expelled"], 1)

    @played
    async def test_damaged(self) -> None:
        """A FURL that was forged, cut off, or signed by another dispatcher is refused with the reason; so is one that is
        bound to another Tub, which works in its own. A hello of any size gets the reason.
        """
        await self.begin()
        member = self.file.read_text().strip()
        bound = await self.owner.grant(tub="a" * 32)
        cases = [(GrantCase.change(member, kind), words) for kind, words in (("forged", "signed"), ("truncated", "copy it"))]
        cases += [(GrantCase.change(member, "resigned"), "key of this dispatcher"), (bound, "another Tub")]
        with capturedLogs() as logged:
            for furl, words in cases:
                node = self.holder(furl)
                for number in range(1000):
                    node.subscribe(f"some.rather.long.name.of.an.event.{number}").addErrback(lambda failure: None)
                self.assertIn(words, str(await self.fails(GrantRefused, node.start())))
        said = [formatEvent(event) for event in logged]
        self.assertTrue(any("a grant that somebody shows is refused" in line for line in said), "the dispatcher says so too")
        self.assertFalse([line for line in said for furl, _words in cases if furl[-20:] in line], "no log has a FURL")
        own = Quiet(transport=self._bindable())
        self.addCleanup(own.stopService)
        own.startService()
        await until(lambda: own._peer is not None and own._peer.linked)

    def _bindable(self) -> TubTransport:
        """A transport whose FURL is bound to its own certificate."""
        from nodeset.core.grants import chain as grants
        from nodeset.transport.certificate import tubId
        from tests.chains import caveat

        identity = self.home / "own.pem"
        identity.write_bytes(createCertificate())
        identity.chmod(0o600)
        place, _slash, name = self.file.read_text().strip().rpartition("/")
        furl = f"{place}/{grants.narrow(name, caveat(tub=tubId(identity.read_bytes())))}"
        return TubTransport(find(furl, environ={}, state_directory=self.home), reactor, identity=identity)


class StrangerTests(GrantTubCase):
    """Who shows what does not count stays a stranger."""

    @played
    async def test_limits(self) -> None:
        """A refused name gives an object that says why to every question, and raises no limit."""
        await self.begin()
        furl = GrantCase.change(self.file.read_text().strip(), "forged")
        peer = await self.stock(furl)
        node = StockNode()
        for call in (
            peer.call("open", LinkFace(), b"hello"),
            peer.call("publish", "a", {}),
            peer.call("subscribe", "a", node, "n"),
            peer.call("unsubscribe", "a", node, "n"),
            peer.call("get_stats"),
        ):
            self.assertIn("not signed", await refusal(call))
        self.assertIn("lost", (await refusal(peer.call("open", LinkFace(), b"x" * 20_000))).lower())

    @played
    async def test_memory(self) -> None:
        """Nothing is kept of names that were refused, however many are shown; faces of good ones are bounded."""
        acceptor = await self.begin()
        from nodeset.core.grants import chain as grants
        from nodeset.transport import entrance
        from tests.chains import caveat

        self.patch(entrance, "_FACES", 20)
        lookUp = acceptor._tub.nameLookupHandlers[0]
        name = self.file.read_text().strip().rpartition("/")[2]
        faces = {lookUp(f"{name[:-10]}{number:010}") for number in range(500)}
        self.assertTrue(all(isinstance(face, RefusedFace) for face in faces))
        self.assertLessEqual(len(faces), 2)
        kept = [lookUp(grants.narrow(name, caveat())) for _ in range(100)]
        self.assertEqual(len(set(kept)), 100)
        self.assertLessEqual(len(lookUp.__self__._faces), 20)
        self.assertIs(lookUp(name), lookUp(name))
        self.assertIsNone(lookUp("dispatcher"))


class PlainTests(GrantTubCase):
    """Peers with Foolscap alone have the same rights."""

    @played
    async def test_table(self) -> None:
        """A plain peer publishes and subscribes as its grant allows: a member's, an owner's, a narrowed one."""
        await self.begin()
        listener = self.holder(name="listener")
        for pattern in (">", "nodeset.test"):
            await listener.subscribe(pattern)
        member = self.file.read_text().strip()
        tight = await self.owner.grant(publish=["orders.>"], subscribe=["orders.*"], answer=["plain"])
        table: list[tuple[str, str]] = [
            (member, "publish subscribe"),
            (self.file.with_suffix(".owner.furl").read_text().strip(), "publish subscribe reserved"),
            (await self.owner.grant(publish=["orders.>"]), "publish"),
            (await self.owner.grant(subscribe=["orders.>"]), "subscribe"),
            (tight, "publish subscribe"),
            (await self.owner.grant(publish=["nodeset.>"]), "reserved"),
        ]
        for furl, allowed in table:
            peer, node = await self.stock(furl), StockNode()
            for verb, arguments in (
                ("publish", ("publish", "orders.a", {"id": 1})),
                ("subscribe", ("subscribe", "orders.*", node, "plain")),
                ("reserved", ("publish", "nodeset.test", {"id": 1})),
            ):
                listener.heard.clear()
                answer = await refusal(peer.call(*arguments))
                self.assertEqual(answer == "no error but True", verb in allowed, (allowed, verb, answer))
                if verb != "subscribe" and verb in allowed:
                    await until(lambda: bool(listener.heard))
                    (_event, msg), *_more = listener.heard
                    assert msg.meta is not None
                    self.assertEqual((msg.meta.publisher, len(msg.meta.grant)), ("", 24))
            await peer.stop()

    @played
    async def test_rate(self) -> None:
        """What a plain peer publishes too fast is refused; a revoked grant ends what it holds, link and all."""
        await self.begin()
        furl = await self.owner.grant(rate=5)
        peer, node = await self.stock(furl), StockNode()
        await peer.call("subscribe", "a", node, "plain")
        answers = [await refusal(peer.call("publish", "b", {})) for _ in range(10)]
        self.assertIn("5 events and calls a second", answers[-1])
        self.assertEqual(answers[:5], ["no error but True"] * 5)
        await self.owner.revoke(furl)
        await until(lambda: "a" not in [entry.pattern for entry in self._entries()])
        self.assertNotIn("no error", await refusal(peer.call("publish", "b", {})))

    def _entries(self) -> list[Any]:
        return [entry for session in self.dispatcher.exchange.answers.sessions.values() for entry in session.entries.values()]

    @played
    async def test_bound(self) -> None:
        """A grant that is bound to a Tub serves no other peer, whatever it asks for."""
        await self.begin()
        tub = Tub(certData=createCertificate())
        furl = await self.owner.grant(tub=tub.tubID)
        peer = await self.stock(furl)
        self.assertIn("another Tub", await refusal(peer.call("publish", "a", {})))
        bound = Stock(furl)
        bound.tub = tub
        self.addCleanup(bound.stop)
        await bound.start()
        self.assertIs(await bound.call("publish", "a", {}), True)
