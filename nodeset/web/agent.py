"""On whose behalf a request acts."""

from __future__ import annotations

import attrs

from nodeset.core.grants.rights import Rights
from nodeset.web.bridge_node import BridgeNode

__all__ = ["Agent"]


@attrs.define(eq=False)
class Agent:
    """A node that is linked by somebody's own grant, so that the dispatcher itself keeps him within it.

    :ivar name: who that is, safe to be logged.
    :ivar rights: what the grant allows, for quick refusals, for what a page shows; the dispatcher has the last word.
    :ivar is_anonymous: whether he showed no credentials.
    """

    name: str
    node: BridgeNode = attrs.field(repr=False)
    rights: Rights = attrs.field(repr=False)
    is_anonymous: bool = False
