"""Nodes with grants of every kind, on a site of their own."""

from __future__ import annotations

from typing import Any

from nodeset.core.grants import chain as grants
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.errors import Receipt, Refused
from tests.chains import OTHER_KEY
from tests.sites import Order, Quiet, SiteCase

__all__ = ["GrantCase"]


class GrantCase(SiteCase):
    """A site with an owner, with a member to hear what others publish."""

    def setUp(self) -> None:
        super().setUp()
        self.owner = self.holder(self.site.owner, "owner")
        self.listener = self.holder(self.site.member, "listener")
        for pattern in (">", "nodeset.>"):
            self.site.wait(self.listener.subscribe(pattern))
        self.listener.heard.clear()

    def granted(self, node: Node | None = None, **says: Any) -> str:
        """A FURL that `node`, else the owner, makes."""
        furl: str = self.site.wait((node or self.owner).grant(**says))
        return furl

    def holder(self, furl: str, name: str = "holder", **options: Any) -> Quiet:
        """A node with this FURL."""
        return self.site.node(Quiet, name=name, grant=furl, **options)

    def heard(self) -> list[str]:
        """What the listener has heard since the last time, of what nodes publish."""
        events = [event for event in self.listener.events() if not event.startswith("nodeset.node.")]
        self.listener.heard.clear()
        return events

    def publishesTo(self, node: Node, event: str) -> bool:
        """Whether `node` may publish this; who may not is told so, nobody hears of it, its link stays."""
        try:
            receipt: Receipt = self.site.wait(node.publish(event, Order, id=1))
        except Refused as error:
            self.assertEqual(self.heard(), [])
            self.assertIn("was refused", str(error))
            assert node._peer is not None and node._peer.linked
            return False
        self.assertGreaterEqual(receipt.delivered, 1)
        self.assertEqual(self.heard(), [event])
        return True

    def subscribesTo(self, node: Node, pattern: str) -> bool:
        """Whether `node` may subscribe to this."""
        try:
            return bool(self.site.wait(node.subscribe(pattern)))
        except Refused:
            return False

    @staticmethod
    def change(furl: str, kind: str) -> str:
        """A FURL as somebody might change it who has no key."""
        place, _slash, name = furl.rpartition("/")
        start, known, *packed, tag = name.split(".")
        match kind:
            case "forged":
                tag = ("B" if tag[0] != "B" else "C") + tag[1:]
            case "truncated":
                tag = tag[:-4]
            case "swapped":
                packed = packed[::-1]
            case "removed":
                packed = packed[:-1]
            case "resigned":
                last = grants.caveatsOf(name)[-1]
                return f"{place}/{grants.mint(OTHER_KEY, last)}"
        return f"{place}/{'.'.join([start, known, *packed, tag])}"

    @staticmethod
    def metaOf(heard: list[tuple[str, NodeMessage]]) -> list[tuple[str, str]]:
        """Who published what was heard."""
        return [(msg.meta.publisher, msg.meta.grant) for _event, msg in heard if msg.meta is not None]
