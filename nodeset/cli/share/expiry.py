"""When a grant ends, as people write it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from nodeset.errors import BadGrant

__all__ = ["readExpiry"]

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhdw])", re.ASCII)
_SPAN: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[smhdw])+|[0-9]{1,12}", re.ASCII)


def readExpiry(text: str) -> float | datetime:
    """Seconds from now for a span such as `1h30m` or `90`, else a moment; one without a time zone is of this machine's.

    Raises `BadGrant` for what is neither.

    >>> readExpiry("1h30m")
    5400.0
    """
    text = text.strip()
    if _SPAN.fullmatch(text):
        parts = _PART.findall(text)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else float(text)
    try:
        moment = datetime.fromisoformat(text)
        # The zone of this machine is what somebody means who writes none.
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError):
        raise BadGrant(f"expires {text[:40]!r} is no time: give a span such as 90s, 1h or 7d, or 2030-12-31T18:00") from None
