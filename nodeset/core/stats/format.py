"""How metrics are shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol

__all__ = ["Base", "Dict", "Json"]


class Shown(Protocol):
    """What a formatter needs of a metric."""

    name: str

    def get(self) -> Any:
        """Its value now."""


class Base:
    """Pairs of name with value."""

    def get(self, metrics: Iterable[Shown]) -> Any:
        """A list of pairs, in the order of `metrics`, each of which is read once."""
        return [(metric.name, metric.get()) for metric in metrics]


class Dict(Base):
    """Values by name."""

    def get(self, metrics: Iterable[Shown]) -> Any:
        """A dict."""
        return dict(super().get(metrics))


class Json(Dict):
    """Values by name, as the text of a JSON object."""

    def get(self, metrics: Iterable[Shown]) -> Any:
        """A str."""
        return json.dumps(super().get(metrics), allow_nan=False)
