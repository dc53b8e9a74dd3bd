"""On whose behalf a request acts."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.logger import Logger

from nodeset.core.grants.rights import Rights
from nodeset.web.bridge_node import BridgeNode

__all__ = ["Agent"]

_log = Logger()


@attrs.define(eq=False)
class Agent:
    """A node that is linked by somebody's own grant, so that the dispatcher itself keeps him within it.

    :ivar name: who that is, safe to be logged.
    :ivar rights: what the grant allows, for quick refusals, for what a page shows; the dispatcher has the last word.
    :ivar is_anonymous: whether he showed no credentials.
    :ivar ended: why he may do nothing any more, in one line; empty while he may.
    """

    name: str
    node: BridgeNode = attrs.field(repr=False)
    rights: Rights = attrs.field(repr=False)
    is_anonymous: bool = False
    ended: str = attrs.field(default="", init=False)
    _cuts: dict[object, Callable[[str], object]] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def is_held(self) -> bool:
        """Whether anything lives by him that lasts."""
        return bool(self._cuts)

    def hold(self, cut: Callable[[str], object]) -> Callable[[], None]:
        """Something that lasts, such as a stream, lives by him: he stays linked for it until the function is called that this
        returns, which may be called again.

        :param cut: called with the reason, in one line, when he may do nothing any more; then nothing is to be released.
        """
        mark = object()

        def release() -> None:
            self._cuts.pop(mark, None)

        if self.ended:
            cut(self.ended)
        else:
            self._cuts[mark] = cut
        return release

    def end(self, reason: str) -> None:
        """He may do nothing any more: cut what lives by him. Again is fine."""
        if self.ended:
            return
        self.ended = reason
        cuts, self._cuts = self._cuts, {}
        for cut in cuts.values():
            try:
                cut(reason)
            except Exception:
                _log.failure("what lived by {name} could not be cut", name=self.name)
