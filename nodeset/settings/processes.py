"""What can be set of the commands that watch processes."""

from __future__ import annotations

import attrs

from nodeset.settings import readers as read
from nodeset.settings.about import CENTER, OPEN, PROCESSES, about

__all__ = ["DEFAULT_ENDPOINT", "JOINING", "LOGGING", "TELLING", "ProcessesPart"]

#: Where a center and its watchers meet unless they are told, as the original's did.
DEFAULT_ENDPOINT = "ipc://nerve.sock"
#: What settings of all services mean to a center.
JOINING = {CENTER: ("A dispatcher to join instead of being one, said as for a node", "$NODESET_DISPATCHER, or its own")}
TELLING = {CENTER: ("Log each change of state, each sample of figures too", "no")}
LOGGING = {CENTER: ("The log of events, to which lines are appended; '-' is stdout", "nerve.log")}


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
    log_bytes: int = attrs.field(
        default=50 * 1024 * 1024,
        converter=read.readCount,
        metadata=about("The largest log of events, in bytes; then it becomes FILE.1, and another one begins", (CENTER,)),
    )
    log_files: int = attrs.field(
        default=5,
        converter=read.readNodes,
        metadata=about("How many older logs of events are kept", (CENTER,)),
    )
    restart: str = attrs.field(
        default="never",
        converter=read.readRestart,
        metadata=about("When the program is started again after it ended: never, on-failure or always", (OPEN,)),
    )
    restart_retries: int = attrs.field(
        default=3,
        converter=read.readRetries,
        metadata=about("How many more starts in a row may fail of a program that is to be restarted", (OPEN,)),
    )
    ping_interval: float = attrs.field(
        default=3.0,
        converter=read.readWait,
        metadata=about("Seconds between two reports of the program's figures, 0 for none", (OPEN,)),
    )
    output: str = attrs.field(
        default="slow",
        converter=read.readOutput,
        metadata=about(
            "When the program writes faster than the center takes it: slow it down, or drop what does not fit into 8 MiB",
            (OPEN,),
        ),
    )
    wait_to_die: float = attrs.field(
        default=3.0,
        converter=read.readPatience,
        metadata=about(
            "Seconds between the first SIGINT or SIGTERM and the SIGKILL that the program gets; inf for never: then it alone "
            "decides what a signal means",
            (OPEN,),
        ),
    )
    linger: float = attrs.field(
        default=1.0,
        converter=read.readWait,
        metadata=about("Seconds to stay for the center once the program has ended", (OPEN,)),
    )
