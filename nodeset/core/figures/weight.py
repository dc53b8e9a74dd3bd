"""What this process weighs on its machine."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any, Final

import attrs

__all__ = ["Scales", "Weight", "weigh"]

#: Counting descriptors takes longer the more there are: it may take this share of the time.
_SHARE: Final = 0.001


@attrs.frozen
class Weight:
    """Bytes of resident memory, open descriptors, how many of these there may be; each None where it cannot be told."""

    rss: int | None = None
    fds: int | None = None
    max_fds: int | None = None


class Scales:
    """Weighs this process. Without the package psutil (of the extra `nodeset[metrics]`) it knows the limit alone."""

    def __init__(self) -> None:
        self._process: Any = None
        self._fds: int | None = None
        self._again = 0.0

    def weigh(self) -> Weight:
        """As it is now; the number of descriptors may be a few seconds old when there are tens of thousands."""
        if self._process is None:
            self._process = _process()
        process = self._process
        rss = None
        if process:
            try:
                rss = process.memory_info().rss
                began = time.monotonic()
                if began >= self._again:
                    self._fds = process.num_fds()
                    took = time.monotonic() - began
                    self._again = began + took / _SHARE
            except Exception:  # a system that does not tell
                rss = None
        return Weight(rss, self._fds, _limit())


def _process() -> Any:
    try:
        return import_module("psutil").Process()
    except ImportError:
        return False


def _limit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


#: Weighs this process.
weigh = Scales().weigh
