"""What holders of grants try with the means that they have."""

from __future__ import annotations

from nodeset.core.grants.chain import idOf
from nodeset.errors import Refused, RemoteError, StateUnusable
from tests.grantees import GrantCase


class RevokeTests(GrantCase):
    """Revoking, where it goes wrong or is done too often."""

    def test_notPublished(self) -> None:
        """When what replaces a revoked grant cannot be written down, links that live by it are cut all the same."""
        furl = self.granted(publish=["a"])
        holder = self.holder(furl)

        def full(grant: str) -> None:
            raise StateUnusable("the disk is full")

        assert self.site.dispatcher is not None and self.site.dispatcher.warrants is not None
        self.site.dispatcher.warrants.observe(full)
        error = self.failing(RemoteError, self.owner.revoke(furl))
        self.assertIn("the disk is full", str(error))
        assert holder._peer is not None
        self.assertFalse(holder._peer.linked)
        self.assertFalse(self.site.wait(self.owner.revoke(idOf(furl.rpartition("/")[2]))))

    def test_often(self) -> None:
        """One holder cannot keep the dispatcher busy with writing down what he revokes; an owner can revoke meanwhile."""
        holder = self.holder(self.granted(publish=["a"]))
        furls = [self.granted(holder, expires=60 + number) for number in range(30)]
        revoked = [holder.revoke(furl) for furl in furls]
        self.site.flush()
        for done in revoked[:20]:
            self.assertTrue(self.site.wait(done))
        for done in revoked[20:]:
            self.assertIn("try again in a second", str(self.failing(Refused, done)))
        self.assertTrue(self.site.wait(self.owner.revoke(furls[20])))
        self.site.advance(1.0)
        self.assertTrue(self.site.wait(holder.revoke(furls[21])))
