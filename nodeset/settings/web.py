"""What can be set of the web bridge alone."""

from __future__ import annotations

import attrs

from nodeset.settings import readers as read
from nodeset.settings.about import WEB, about

__all__ = ["WebPart"]


@attrs.frozen(kw_only=True)
class WebPart:
    """The part of `Settings` that `nodeset-web` reads."""

    path: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about(
            "A directory whose files are served to everybody, whose .rpy files are run, which are Python", (WEB,), "none"
        ),
    )
    port: int = attrs.field(
        default=8080,
        converter=read.readPort,
        metadata=about("The TCP port for HTTP, 0 for any", (WEB,)),
    )
    interface: str = attrs.field(
        default="127.0.0.1",
        converter=read.readText,
        metadata=about("The address of this machine to listen on for HTTP, 0.0.0.0 for all", (WEB,)),
    )
    certificate: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The PEM file with the certificate chain for HTTPS", (WEB,), "none: plain HTTP"),
    )
    private_key: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about("The PEM file with the key of --certificate", (WEB,), "in the file of --certificate"),
    )
    keys: str | None = attrs.field(
        default=None,
        converter=read.readOptionalText,
        metadata=about(
            "A TOML file with the keys that sign requests, which only its user may read; without a signature or a grant nobody "
            "is let in then. SIGHUP reads it again",
            (WEB,),
            "none",
        ),
    )
    anonymous: str = attrs.field(
        default="loopback",
        converter=read.readAnonymous,
        metadata=about(
            "Who may act without credentials, as the bridge itself, where there are no keys: 'loopback' for this machine's "
            "users if --interface is of this machine alone, 'allow' for everybody, 'refuse' for nobody",
            (WEB,),
        ),
    )
    allowed_origins: tuple[str, ...] = attrs.field(
        default=(),
        converter=read.readList,
        metadata=about(
            "Sites whose pages may use the bridge from a browser, such as https://shop.example; with commas for more of them",
            (WEB,),
            "its own alone",
        ),
    )
    allowed_hosts: tuple[str, ...] = attrs.field(
        default=(),
        converter=read.readList,
        metadata=about(
            "Names by which requests may call the bridge, with commas; '*' is any",
            (WEB,),
            "on a loopback interface its names, else any",
        ),
    )
    max_agents: int = attrs.field(
        default=256,
        converter=read.readNodes,
        metadata=about("How many grants may be linked at a time, each by a node of its own", (WEB,), reloads=True),
    )
    max_body: int = attrs.field(
        default=1024 * 1024,
        converter=read.readRoom,
        metadata=about("The largest body of a request, in bytes", (WEB,), reloads=True),
    )
    max_header: int = attrs.field(
        default=16 * 1024,
        converter=read.readRoom,
        metadata=about("The largest head of a request, in bytes", (WEB,), reloads=True),
    )
    request_timeout: float = attrs.field(
        default=30.0,
        converter=read.readSeconds,
        metadata=about("Seconds for a whole request, from its first byte to the answer", (WEB,), reloads=True),
    )
    idle_timeout: float = attrs.field(
        default=75.0,
        converter=read.readSeconds,
        metadata=about("Seconds for which a connection is kept that asks nothing", (WEB,), reloads=True),
    )
    max_connections: int = attrs.field(
        default=10_000,
        converter=read.readNodes,
        metadata=about("How many HTTP connections may be open at a time", (WEB,), reloads=True),
    )
    max_subscriptions: int = attrs.field(
        default=100,
        converter=read.readNodes,
        metadata=about("How many patterns one connection may subscribe to", (WEB,), reloads=True),
    )
    max_streams: int = attrs.field(
        default=1000,
        converter=read.readNodes,
        metadata=about("How many streams of events may be open at a time", (WEB,), reloads=True),
    )
    stream_rate: float = attrs.field(
        default=10.0,
        converter=read.readRate,
        metadata=about("How many streams one address may open a second", (WEB,), reloads=True),
    )
    stream_events: int = attrs.field(
        default=1000,
        converter=read.readNodes,
        metadata=about("Events that may wait for one slow client before it is cut", (WEB,), reloads=True),
    )
    stream_bytes: int = attrs.field(
        default=1024 * 1024,
        converter=read.readRoom,
        metadata=about("Bytes that may wait for one slow client before it is cut", (WEB,), reloads=True),
    )
    feed_events: int = attrs.field(
        default=1000,
        converter=read.readNodes,
        metadata=about("Events of a set of patterns that are kept for clients who come back", (WEB,), reloads=True),
    )
    feed_bytes: int = attrs.field(
        default=8 * 1024 * 1024,
        converter=read.readRoom,
        metadata=about("Bytes of a set of patterns that are kept for clients who come back", (WEB,), reloads=True),
    )
    feed_age: float = attrs.field(
        default=600.0,
        converter=read.readSeconds,
        metadata=about(
            "Seconds for which they are kept; so long patterns stay subscribed after their last client", (WEB,), reloads=True
        ),
    )
    max_feeds: int = attrs.field(
        default=1000,
        converter=read.readNodes,
        metadata=about("How many sets of patterns are kept at a time", (WEB,), reloads=True),
    )
    max_feeds_bytes: int = attrs.field(
        default=64 * 1024 * 1024,
        converter=read.readRoom,
        metadata=about("Bytes of all sets of patterns together that are kept", (WEB,), reloads=True),
    )
    figures_interval: float = attrs.field(
        default=2.0,
        converter=read.readInterval,
        metadata=about("Seconds between two figures of the dashboard, 0.5 or more", (WEB,)),
    )
