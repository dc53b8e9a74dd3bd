"""One reader of a feed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import attrs

from nodeset.web.feeds.formats import Batch, Entry, batches

if TYPE_CHECKING:
    from nodeset.web.agent import Agent

__all__ = ["Opening", "Sink", "Tap"]

#: Bytes of a batch: more than that is several.
BATCH = 256 * 1024


class Sink(Protocol):
    """Who reads a feed. What it is told is told in order, never from within `Hub.open`, nor after `Tap.close`.

    The hub keeps nothing for a sink that has no room: each bounds what waits for its own client, and closes its tap when that
    is too slow.
    """

    def take(self, batch: Batch) -> None:
        """Entries came in this turn, the same batch for all sinks of the feed. An entry with `gap` is a gap between two events:
        the link to the dispatcher was lost there."""

    def linked(self, is_linked: bool) -> None:
        """The link to the dispatcher is lost, or back; when it is back, a gap follows as an entry."""

    def ended(self, reason: str, detail: str) -> None:
        """There will be no more, the tap is closed already: the bridge stops (`draining`), the agent may do nothing any more
        (`grant`), the dispatcher does not let it subscribe (`refused`). `detail` is a line about it, or empty."""


@attrs.frozen
class Opening:
    """What a sink has to hear first, in the order of these fields.

    :ivar gap: why events before `entries` may be missing, '' when none can be: `epoch` (the id is of another run of the bridge,
        or of a feed given up since), `expired` (what followed it is not kept any more), `unknown` (no id of ours).
    :ivar gap_id: with a gap the id that comes before `entries`.
    :ivar is_linked: whether there is a dispatcher now.
    :ivar entries: events to begin with: those after the id that was given; all that is kept behind a gap; without an id the
        retained values that this feed knows of, then what came while the subscription was being confirmed.
    :ivar id: of the place in the feed where all of them have been seen. A client that heard nothing else comes back with it.
    """

    gap: str
    gap_id: str
    is_linked: bool
    entries: tuple[Entry, ...]
    id: str

    def batches(self) -> Iterator[Batch]:
        """The entries in batches of no more than 256 KiB, but for larger events."""
        return batches(self.entries, BATCH)


@attrs.define(eq=False)
class Tap:
    """One sink at one feed.

    :ivar agent: on whose behalf it reads.
    :ivar opening: what its sink has to hear first.
    """

    agent: Agent
    sink: Sink = attrs.field(repr=False)
    opening: Opening = attrs.field(repr=False)
    _leave: Callable[[Tap], object] = attrs.field(repr=False)
    is_closed: bool = False

    def close(self) -> None:
        """Let nothing come any more; again is fine."""
        if not self.is_closed:
            self.is_closed = True
            self._leave(self)
