"""The samples of the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from nodeset.web.figures.reading import Sample

__all__ = ["SPAN", "History"]

#: Seconds for which a sample is kept.
SPAN: Final = 600.0
#: Samples that are kept at most, however often a link comes and goes.
_MOST: Final = 2400


class History:
    """Samples in the order of their times, as many as fit into ten minutes."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=_MOST)

    def add(self, sample: Sample) -> None:
        """A new one; those that are too old for it go. A clock that was set back makes no older one come after a newer."""
        samples = self._samples
        while samples and samples[-1].at >= sample.at:
            samples.pop()
        samples.append(sample)
        while sample.at - samples[0].at > SPAN:
            samples.popleft()

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def last(self) -> Sample | None:
        """The newest, None before the first."""
        return self._samples[-1] if self._samples else None
