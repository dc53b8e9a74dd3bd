"""How much the bridge takes from whom."""

from __future__ import annotations

from typing import Self

import attrs

from nodeset.settings import Settings

__all__ = ["Limits"]


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds, each as the setting of its name; times are in seconds, sizes in bytes."""

    max_body: int = 1024 * 1024
    max_header: int = 16 * 1024
    request_timeout: float = 30.0
    idle_timeout: float = 75.0
    max_connections: int = 10_000
    max_agents: int = 256
    max_subscriptions: int = 100
    max_streams: int = 1000
    stream_rate: float = 10.0
    stream_events: int = 1000
    stream_bytes: int = 1024 * 1024
    feed_events: int = 1000
    feed_bytes: int = 8 * 1024 * 1024
    feed_age: float = 600.0
    max_feeds: int = 1000
    max_feeds_bytes: int = 64 * 1024 * 1024
    figures_interval: float = 2.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that were set."""
        return cls(**{field.name: getattr(settings, field.name) for field in attrs.fields(cls)})
