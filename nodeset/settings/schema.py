"""What can be set.

A field of `Settings` is a setting everywhere: `--max-nodes` of the commands, `max-nodes` in a TOML file, `NODESET_MAX_NODES`
in the environment. What `about` says of it makes the help of the options, the lines of `--print-config`, what SIGHUP may
change, the table of docs/configuration.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from nodeset.core.address import LOCALHOST
from nodeset.core.batch import MAX_EVENT
from nodeset.settings import readers as read
from nodeset.settings.about import (
    CENTER,
    COMMAND,
    DAEMONS,
    DISPATCHER,
    LASTING,
    MONITOR,
    NODE,
    NODES,
    OPEN,
    PROCESSES,
    SERVICES,
    SHELL,
    WEB,
    About,
    about,
)
from nodeset.settings.processes import JOINING, LOGGING, TELLING, ProcessesPart
from nodeset.settings.readers import LOG_LEVELS
from nodeset.settings.web import WebPart

__all__ = [
    "CENTER",
    "COMMAND",
    "DAEMONS",
    "DEFAULT_LISTEN",
    "DEFAULT_URL",
    "DISPATCHER",
    "LASTING",
    "LOG_LEVELS",
    "MONITOR",
    "NAMES",
    "NODE",
    "NODES",
    "OPEN",
    "PROCESSES",
    "SERVICES",
    "SHELL",
    "WEB",
    "About",
    "Settings",
    "about",
    "aboutOf",
    "dashed",
    "environmentName",
    "namesOf",
]

#: Where nodes look for their dispatcher unless they are told: the file that a dispatcher on this machine writes.
DEFAULT_URL: Final = "pbu://localhost:5333/dispatcher"
#: Where `nodeset-node` listens unless it is told.
DEFAULT_LISTEN: Final = "localhost:5444"

#: The variables that the design names; any other is NODESET_ with the setting's name.
_VARIABLES: Final = {"dispatcher_url": "NODESET_DISPATCHER", "state_dir": "NODESET_HOME"}


_LABEL: Final = "The label in addresses that means this node"


@attrs.frozen
class Settings(WebPart, ProcessesPart):
    """Everything that can be set, checked; times are in seconds, sizes in bytes. BadSettings for what cannot be.

    docs/configuration.md has the table of them all.

    >>> Settings(publish_timeout=5).publish_timeout
    5.0
    """

    dispatcher_url: str = attrs.field(
        default=DEFAULT_URL,
        converter=read.readUrl,
        repr=False,
        metadata=about(
            "Where the dispatcher is: pbu://host:port/ref, ipc://PATH of its socket, a file with its FURL (@FILE, file:PATH), "
            "or the FURL itself, which every user of this machine can see if it is given as an option",
            NODES,
            f"$NODESET_DISPATCHER, or {DEFAULT_URL}",
            but=JOINING,
        ),
    )
    listen: str = attrs.field(
        default=DEFAULT_LISTEN,
        converter=read.readText,
        metadata=about(
            "Where to listen for direct peers",
            DAEMONS,
            "localhost:5444, or any free port",
            but={
                WEB: (
                    "Where to listen for HTTP instead of --interface with --port: host:port, or an endpoint such as "
                    "systemd:domain=INET:index=0",
                    "--interface with --port",
                ),
                MONITOR: ("Where to listen for direct peers", "localhost:55430, or any free port"),
                SHELL: (
                    "Where the shell is to be had, with commas: over SSH on PORT of 127.0.0.1 or ADDRESS:PORT, by a socket of "
                    "this machine on unix or unix:PATH",
                    "localhost:10331,unix",
                ),
                DISPATCHER: (
                    "Where to listen: host:port, pbu://host:port/ref, ipc://PATH for a socket, or an endpoint such as "
                    "tcp:5333:interface=127.0.0.1 or systemd:domain=INET:index=0; port 0 is any free one",
                    DEFAULT_URL,
                ),
            },
        ),
    )
    state_dir: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The directory for keys and FURL files", SERVICES, "$NODESET_HOME, or ~/.local/state/nodeset"),
    )
    identity: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The file with this node's certificate, made if missing", LASTING, "a fresh one each time"),
    )
    site: str = attrs.field(
        default=LOCALHOST,
        converter=read.readLabel,
        metadata=about("The host name in addresses that means this dispatcher", (DISPATCHER,)),
    )
    host: str = attrs.field(
        default=LOCALHOST,
        converter=read.readLabel,
        metadata=about("The host name in addresses that means this node", NODES),
    )
    name: str | None = attrs.field(
        default=None,
        converter=read.readOptionalLabel,
        metadata=about(
            _LABEL,
            NODES,
            "a random one",
            but={
                MONITOR: (_LABEL, "nodeset-monitor"),
                SHELL: (_LABEL, "shell"),
                WEB: (_LABEL, "nodeset-web"),
                CENTER: (_LABEL, "center"),
                PROCESSES: (_LABEL, "nodeset-processes"),
                OPEN: (_LABEL, "nodeset-open"),
                COMMAND: (_LABEL, "nodeset- with the sub-command"),
            },
        ),
    )
    verbose: bool = attrs.field(
        default=False,
        converter=read.readFlag,
        metadata=about("Log every event that is routed", (DISPATCHER, CENTER), reloads=True, but=TELLING),
    )
    loglevel: str = attrs.field(
        default="info",
        converter=read.readLevel,
        metadata=about("The lowest level to log: debug, info, notice, warn or crit", DAEMONS, reloads=True),
    )
    publish_timeout: float = attrs.field(
        default=60.0,
        converter=read.readSeconds,
        metadata=about("Seconds that a publish may take", NODES, reloads=True),
    )
    call_timeout: float = attrs.field(
        default=30.0,
        converter=read.readSeconds,
        metadata=about("Seconds that a call may take", NODES, reloads=True),
    )
    handler_timeout: float = attrs.field(
        default=30.0,
        converter=read.readSeconds,
        metadata=about("Seconds that a handler may take before it counts as failed", NODES, reloads=True),
    )
    drain_timeout: float = attrs.field(
        default=10.0,
        converter=read.readSeconds,
        metadata=about("Seconds that a stopping service gives what is under way", DAEMONS, reloads=True),
    )
    max_message: int = attrs.field(
        default=MAX_EVENT,
        converter=read.readBytes,
        metadata=about(
            "The largest event to take, in bytes; SIGHUP changes it for nodes that come from then on",
            (DISPATCHER,),
            reloads=True,
        ),
    )
    max_nodes: int = attrs.field(
        default=100_000,
        converter=read.readNodes,
        metadata=about("How many nodes may be here at a time; those that are here may stay", (DISPATCHER,), reloads=True),
    )
    advertise: tuple[str, ...] = attrs.field(
        default=(),
        converter=read.readList,
        metadata=about(
            "Where others reach this dispatcher, tcp:HOST:PORT; give it again, or with commas, for more of them",
            (DISPATCHER, CENTER),
            "what --listen tells",
            but={
                CENTER: (
                    "Where other machines reach this center, tcp:HOST:PORT; give it again, or with commas, for more of them",
                    "what --endpoint tells",
                )
            },
        ),
    )
    furlfile: tuple[str, ...] = attrs.field(
        default=(),
        converter=read.readList,
        metadata=about("One more file to write the FURL for nodes to; may be given again", (DISPATCHER,), "none"),
    )
    gc: str = attrs.field(
        default="tuned",
        converter=read.readGc,
        metadata=about("'tuned' for few pauses, or Python's 'default'", DAEMONS),
    )
    event: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("subscriber, publisher: the event's name, for a subscriber also a pattern", (NODE,), "simple_event"),
    )
    payload: str | None = attrs.field(
        default=None,
        converter=read.readPayload,
        metadata=about(
            "publisher: a JSON object, whose members become the fields, or a text for the field 'payload'; what starts with "
            "{ is meant as an object",
            (NODE,),
            "no fields",
        ),
    )
    count: int | None = attrs.field(
        default=None,
        converter=read.readOptionalCount,
        metadata=about("subscriber: end after this many events", (NODE,), "never"),
    )
    once: bool = attrs.field(
        default=False,
        converter=read.readFlag,
        metadata=about(
            "publisher: end when the event was delivered; with exit code 1 and the reason on stderr when it was not, or when "
            "--publish-timeout has passed, waiting for a dispatcher included; logs nothing else unless --loglevel is given",
            (NODE,),
        ),
    )
    interval: float = attrs.field(
        default=5.0,
        converter=read.readInterval,
        metadata=about("Seconds between two looks, 0.5 or more", (MONITOR,)),
    )
    metrics: str | None = attrs.field(
        default=None,
        converter=read.readOptionalPlace,
        metadata=about("Show /metrics to Prometheus here: a port, for this machine alone, or host:port", (MONITOR,), "nowhere"),
    )
    max_labels: int = attrs.field(
        default=50,
        converter=read.readLabels,
        metadata=about("How many labels of nodes have metrics of their own, the rest is summed", (MONITOR,)),
    )
    json: bool = attrs.field(
        default=False,
        converter=read.readFlag,
        metadata=about("Print JSON objects, one in a line", (MONITOR,)),
    )
    rrdsrv: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The address of an RRD server, to which nothing is sent: see --metrics", (MONITOR,), "none"),
    )
    manhole: str | None = attrs.field(
        default=None,
        converter=read.readPlaces,
        metadata=about(
            "A Python shell inside this process over SSH, on PORT of 127.0.0.1 or ADDRESS:PORT, or at a socket here: "
            "unix[:PATH]; several with commas; needs the extra 'shell'",
            (DISPATCHER, NODE, MONITOR, WEB, CENTER, PROCESSES),
            "none",
        ),
    )
    authorized_keys: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about(
            "The file with the public keys that open the Python shell over SSH", DAEMONS, "shell_keys in the state directory"
        ),
    )
    config: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The TOML file with settings, read again at SIGHUP", SERVICES, "none", filed=False),
    )
    nodaemon: bool = attrs.field(
        default=False,
        converter=read.readFlag,
        metadata=about("Stay in the foreground instead of becoming a daemon", DAEMONS, twistd=True),
    )
    logfile: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about(
            "The log",
            DAEMONS,
            "as a daemon, the command's name in the rundir, else the terminal",
            twistd=True,
            but=LOGGING,
        ),
    )
    pidfile: str | None = attrs.field(
        default=None,
        converter=read.readPidFile,
        metadata=about(
            "The file for the process id, '' for none", DAEMONS, "as a daemon, the command's name in the rundir", twistd=True
        ),
    )
    rundir: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The directory to change to", DAEMONS, "where it was started", twistd=True),
    )
    uid: str | None = attrs.field(
        default=None,
        converter=read.readUser,
        metadata=about("The user to run as, a name or a number", DAEMONS, "who started it", twistd=True),
    )
    gid: str | None = attrs.field(
        default=None,
        converter=read.readUser,
        metadata=about("The group to run as", DAEMONS, "that of uid", twistd=True),
    )
    umask: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The file creation mask, in octal digits", DAEMONS, "that of who started it", twistd=True),
    )

    #: The names of the settings that options gave, that the environment gave; an option left at its default loses to it.
    given: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()
    #: Where each that was given at all comes from: `--listen`, `$NODESET_LISTEN`, `/etc/nodeset.toml:7`.
    origins: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)
    #: What whoever set them should know, in sentences.
    warnings: tuple[str, ...] = attrs.field(default=(), eq=False, repr=False)

    def isDefault(self, name: str) -> bool:
        """Whether nobody gave this setting."""
        return name not in self.given and name not in self.environment and name not in self.origins

    def listensByDefault(self) -> bool:
        """Whether nobody said where to listen: a dispatcher then takes its own default, `nodeset-node` any free port if
        `listen` is taken, a node that a program makes the port that the program gave.
        """
        return self.isDefault("listen")


_ABOUT: Final[dict[str, About]] = {
    field.name: field.metadata["about"] for field in attrs.fields(Settings) if "about" in field.metadata
}
#: All settings, by their names in Python.
NAMES: Final = tuple(_ABOUT)


def aboutOf(name: str) -> About:
    """What there is to know of the setting of this name."""
    return _ABOUT[name]


def namesOf(service: str) -> list[str]:
    """The names of this service's settings."""
    return [name for name, each in _ABOUT.items() if service in each.services]


def dashed(name: str) -> str:
    """The name as options and files have it."""
    return name.replace("_", "-")


def environmentName(name: str) -> str:
    """The variable of this setting, such as `NODESET_LOGLEVEL`."""
    return _VARIABLES.get(name, f"NODESET_{name.upper()}")
