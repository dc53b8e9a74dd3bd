"""The one settings value of this process."""

from __future__ import annotations

import os

from nodeset.settings.layers import load
from nodeset.settings.schema import Settings

__all__ = ["current", "use"]


class _Process:
    settings: Settings | None = None


def current() -> Settings:
    """The settings of this process: what `use` was given, else what `load` makes of the environment of the first look."""
    if _Process.settings is None:
        _Process.settings = load(os.environ, {})
    return _Process.settings


def use(settings: Settings | None) -> None:
    """Make these the settings of this process, for all that is made from now on; None forgets them."""
    _Process.settings = settings
