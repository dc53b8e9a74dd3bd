"""What the bridge counts of its own work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from nodeset.core.figures.histogram import Histogram
from nodeset.web.routes import Route

__all__ = ["Tolls"]

#: Requests for which there was no address.
_NOWHERE: Final = "nowhere"


class Tolls:
    """Requests by what they were for, with how long they took; beside that what parts of the bridge want shown.

    :ivar requests: how many by name of the route, method, class of the status (`2xx`).
    :ivar durations: by name of the route.
    :ivar streams: by kind how many are open.
    :ivar gauges: by name, each called when it is asked for: `streams:socket` is how many streams of that kind are open, then
        `agents`, `ring_bytes`; for who has something to show. A name is written in the program, never taken from a request.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.durations: dict[str, Histogram] = {}
        self.streams: Counter[str] = Counter()
        self.gauges: dict[str, Callable[[], float]] = {}

    def took(self, route: Route | None, status: int, seconds: float) -> None:
        """A request was answered; without a route there was nothing at its address, whatever it asked. See `Door.observers`."""
        name, method = (_NOWHERE, "any") if route is None else (route.name, route.method)
        self.requests[name, method, f"{status // 100}xx"] += 1
        durations = self.durations.get(name)
        if durations is None:
            durations = self.durations[name] = Histogram()
        durations.take(seconds)
