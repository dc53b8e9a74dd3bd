"""What a stream says, in each form that a client may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import msgspec

from nodeset.web.feeds.formats import Batch, gapJson
from nodeset.web.feeds.tap import Opening

__all__ = ["NDJSON", "SSE", "Form"]

_encode: Final = msgspec.json.Encoder().encode


@attrs.frozen(eq=False)
class Form:
    """One form of a stream.

    :ivar name: what it is counted as.
    :ivar alive: what is sent now and then, so that both ends notice when the other is gone.
    :ivar of: a batch in this form.
    """

    name: str
    media_type: str
    alive: bytes
    of: Callable[[Batch], bytes]
    _begin: bytes
    _note: Callable[[str, bytes], bytes]
    _place: Callable[[str], bytes]

    def head(self, opening: Opening) -> bytes:
        """What comes before the entries that a stream begins with."""
        said = [self._begin]
        if opening.gap:
            said.append(self._note("gap", gapJson(opening.gap, opening.gap_id)))
        if not opening.is_linked:
            said.append(self.link(False))
        return b"".join(said)

    def place(self, opening: Opening) -> bytes:
        """What comes behind them: where the client is, so that it misses nothing even if nothing came before it comes back."""
        return self._place(opening.id)

    def link(self, is_linked: bool) -> bytes:
        """That the dispatcher is gone, or back."""
        return self._note("link", _encode({"linked": is_linked}))

    def slow(self, reason: str) -> bytes:
        """That the client is cut, since it read too slowly: `events` or `bytes` were too many, or it `stalled`."""
        return self._note("slow", _encode({"reason": reason}))

    def ended(self, reason: str, detail: str) -> bytes:
        """That there will be no more."""
        return self._note("ended", _encode({"reason": reason, "detail": detail}))


SSE: Final = Form(
    "sse",
    "text/event-stream",
    b":\n\n",
    lambda batch: batch.sse,
    b"retry: 2000\n\n",
    lambda name, data: b"event: nodeset.%b\ndata: %b\n\n" % (name.encode(), data),
    # An event without data is none, but its id counts.
    lambda ident: b"id: %b\n\n" % ident.encode(),
)

NDJSON: Final = Form(
    "ndjson",
    "application/x-ndjson",
    b"\n",
    lambda batch: batch.lines,
    b"",
    lambda name, data: b'{"%b":%b}\n' % (name.encode(), data),
    lambda ident: b"",
)
