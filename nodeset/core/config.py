"""The seed's way to ask for a setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nodeset import settings

__all__ = ["Configurator"]

#: What the original knew, with nothing behind it any more: there is no DHT.
_GONE = {"dht-nodes": None, "dht-port": None}


class Configurator:
    """A view of the one settings value: by the original's names (`config["dispatcher-url"]`) or as attributes.

    Every instance shows the same, always what `nodeset.settings.current()` is now. KeyError or AttributeError for a name that
    is no setting.

    >>> Configurator()["listen"]
    'localhost:5444'
    """

    #: The original's daemons put the chosen sub-command here.
    subCommand: str | None = None

    def __getitem__(self, name: str) -> Any:
        if name in _GONE:
            return _GONE[name]
        known = name.replace("-", "_")
        if known not in _names():
            raise KeyError(name)
        return getattr(settings.current(), known)

    def __getattr__(self, name: str) -> Any:
        if name not in _names():
            raise AttributeError(f"there is no setting {name!r:.60}")
        return getattr(settings.current(), name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in _GONE or name.replace("-", "_") in _names())

    def __iter__(self) -> Iterator[str]:
        return iter([*(name.replace("_", "-") for name in _names()), *_GONE])

    def has_key(self, name: str) -> bool:
        """Whether there is a setting of this name."""
        return name in self

    def keys(self) -> list[str]:
        """The names of all settings, with dashes."""
        return list(self)

    def get(self, name: str, default: Any = None) -> Any:
        """The setting, or `default` if there is none of this name."""
        try:
            return self[name]
        except KeyError:
            return default


def _names() -> list[str]:
    return list(settings.NAMES)
