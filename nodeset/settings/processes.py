"""What can be set of the commands that watch processes."""

from __future__ import annotations

import attrs

from nodeset.settings import readers as read
from nodeset.settings.about import CENTER, OPEN, PROCESSES, about

__all__ = ["DEFAULT_ENDPOINT", "ProcessesPart"]

#: Where a center and its watchers meet unless they are told, as the original's did.
DEFAULT_ENDPOINT = "ipc://nerve.sock"


@attrs.frozen(kw_only=True, slots=False)  # beside another base with slots
class ProcessesPart:
    """The part of `Settings` that `nodeset-center`, `nodeset-processes`, `nodeset-open` read."""

    endpoint: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about(
            "Where the center is: ipc://PATH of a socket, or tcp://HOST:PORT",
            (CENTER, PROCESSES, OPEN),
            DEFAULT_ENDPOINT,
            but={
                CENTER: (
                    "Where to listen: ipc://PATH of a socket, or tcp://HOST:PORT, with * for all interfaces",
                    DEFAULT_ENDPOINT,
                ),
                PROCESSES: ("Where a center is: ipc://PATH of a socket, or tcp://HOST:PORT", "see --dispatcher-url"),
            },
        ),
    )
    furl: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about(
            "The file that holds the center's address, for a center on another machine",
            (CENTER, PROCESSES, OPEN),
            "found by --endpoint",
            but={CENTER: ("One more file to write the address to, for watchers on other machines", "none")},
        ),
    )
