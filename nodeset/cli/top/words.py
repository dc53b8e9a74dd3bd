"""Figures as words of few letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nodeset.core.figures.rates import Quantile

__all__ = ["lasting", "number", "size", "sparkline", "took"]

_BARS: Final = "▁▂▃▄▅▆▇█"


def number(value: float | None) -> str:
    """At most six letters for anything below a thousand millions.

    >>> [number(each) for each in (None, 0, 0.25, 12, 99_999, 150_600, 12_345_678, 10**13)]
    ['-', '0', '0.2', '12', '99,999', '151k', '12.3M', '10.0T']
    """
    if value is None:
        return "-"
    if 0 < value < 9.95 and value != int(value):
        return f"{value:.1f}"
    return f"{value:,.0f}" if round(value) < 100_000 else _scaled(value, 1000, ("k", "M", "G", "T"))


def size(value: float | None) -> str:
    """Bytes.

    >>> [size(each) for each in (None, 0, 999, 1536, 7_340_032, 5 * 2**40)]
    ['-', '0B', '999B', '1.5K', '7.0M', '5.0T']
    """
    if value is None:
        return "-"
    return f"{value:.0f}B" if round(value) < 1000 else _scaled(value, 1024, ("K", "M", "G", "T"))


def _scaled(value: float, step: int, units: Sequence[str]) -> str:
    for unit in units:
        value /= step
        if value < 999.5 or unit == units[-1]:
            break
    return f"{value:.0f}{unit}" if value >= 99.95 else f"{value:.1f}{unit}"


def took(value: Quantile | float | None) -> str:
    """Seconds, as the time that something took.

    >>> [took(each) for each in (None, 0.00042, 0.0123, 0.4, 2.5, Quantile(1.0, True))]
    ['-', '0.42ms', '12.3ms', '400ms', '2.5s', '>1.0s']
    """
    if value is None:
        return "-"
    if isinstance(value, Quantile):
        return f"{'>' if value.beyond else ''}{took(value.seconds)}"
    if value >= 0.9995:
        return f"{value:.1f}s" if value < 99.95 else f"{value:,.0f}s"
    milliseconds = value * 1000
    return f"{milliseconds:.{2 if milliseconds < 9.995 else 1 if milliseconds < 99.95 else 0}f}ms"


def lasting(seconds: float | None) -> str:
    """Seconds, as an age.

    >>> [lasting(each) for each in (None, 3.7, 75, 3723, 200_000)]
    ['-', '3s', '1m15s', '1h02m', '2d07h']
    """
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values as bars, the highest of them as high as a line is.

    >>> sparkline([9, 0, 1, 2], 3)
    '▁▅█'
    """
    shown = list(values)[-width:] if width > 0 else []
    most = max(shown, default=0.0)
    if most <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(7, int(value / most * 7 + 0.5))] for value in shown)
