"""What a node hears of all that it does after its grant has ended."""

from __future__ import annotations

from nodeset.errors import GrantRefused, OutcomeUnknown, Refused
from tests.grantees import GrantCase
from tests.sites import Order


class EndedTests(GrantCase):
    """A revoked grant; the node that lives by it goes on trying."""

    def test_told(self) -> None:
        """Publishing and calling fail within a second or two, with the reason, not by their time-outs."""
        furl = self.granted(publish=["orders.>"], call=["listener"])
        holder = self.holder(furl)
        self.assertTrue(self.publishesTo(holder, "orders.a"))
        self.site.wait(self.owner.revoke(furl))
        self.site.advance(1)
        before = self.site.clock.seconds()
        for attempt in range(2):
            with self.subTest(attempt=attempt):
                published = holder.publish("orders.b", Order, id=1)
                called = holder.call("listener", "anything")
                error = self.assertRaises(GrantRefused, self.site.wait, published)
                self.assertIn("'orders.b' was not sent", str(error))
                self.assertIn("revoked", str(error))
                self.assertRaises(Refused, self.site.wait, called)
        self.assertLess(self.site.clock.seconds() - before, 5)
        self.assertEqual(self.heard(), [])

    def test_underWay(self) -> None:
        """What was sent and is not answered when the grant ends may have arrived, and is told so soon."""
        furl = self.granted(publish=["orders.>"])
        holder = self.holder(furl)
        self.site.wire.blackhole(self.site.wire.links()[-1].peer)
        published = holder.publish("orders.c", Order, id=1)
        self.site.flush()
        self.site.wait(self.owner.revoke(furl))
        self.assertRaises(OutcomeUnknown, self.site.wait, published, 40)
