"""The kinds of metrics: values that can be added to."""

from __future__ import annotations

import math
from typing import NoReturn

from nodeset.errors import LocalError

__all__ = ["Absolute", "BadUpdate", "Counter", "Derive", "Gauge"]


class BadUpdate(LocalError, ValueError):
    """A metric cannot be updated by this."""


class Counter(int):
    """A whole number that only grows."""

    def __add__(self, other: int) -> Counter:
        """A counter of the same kind with `other` more. Raises `BadUpdate` for what is no number, or is below 0."""
        if isinstance(other, bool) or not isinstance(other, int):
            raise BadUpdate(f"{other!r:.60} cannot be counted: a {type(self).__name__} takes whole numbers")
        if other < 0:
            raise BadUpdate(f"{other} cannot be counted: a {type(self).__name__} only grows")
        return type(self)(int(self) + int(other))

    def __sub__(self, other: int) -> NoReturn:
        """Always `BadUpdate`."""
        raise BadUpdate(f"a {type(self).__name__} only grows: nothing can be taken from it")


class Absolute(Counter):
    """A counter that begins anew each time that it is read."""


class Derive(Counter):
    """A counter of which the rate is of interest."""


class Gauge(float):
    """A value that goes up and down."""

    def __new__(cls, value: float = 0.0) -> Gauge:
        """Raises `BadUpdate` for what is no number, or none that can be shown."""
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            raise BadUpdate(f"{value!r:.60} cannot be shown: a gauge is a finite number")
        return super().__new__(cls, value)

    def __add__(self, other: float) -> Gauge:
        """A gauge with `other` more."""
        return Gauge(float(self) + other)

    def __sub__(self, other: float) -> Gauge:
        """A gauge with `other` less."""
        return Gauge(float(self) - other)
