"""The address of a dispatcher with another grant in it than one's own."""

from __future__ import annotations

import attrs

from nodeset.transport.furl import Furl
from nodeset.transport.rendezvous import FurlSource

__all__ = ["Granted"]


@attrs.frozen
class Granted:
    """See `FurlSource`: what `own` says, whatever that is at the time, with `name` in place of its grant.

    :param whose: what it is called in logs, and in errors, which strangers may get to see.
    """

    own: FurlSource
    name: str = attrs.field(repr=False)
    whose: str = "the dispatcher"

    @property
    def warning(self) -> str | None:
        """See `FurlSource`."""
        return None

    def read(self) -> Furl:
        """See `FurlSource`."""
        return attrs.evolve(self.own.read(), name=self.name)

    def describe(self) -> str:
        """See `FurlSource`."""
        return self.whose
