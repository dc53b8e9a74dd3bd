"""Which nodes keep the last value of which events.

A tree of event names by their parts, so that a pattern finds its keepers without a look at every name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nodeset.core.address import matches, parse

__all__ = ["Keepers"]

#: Parts of a name that have branches of their own; longer names lie side by side at the last one, so that nobody can
#: make us grow a branch for each of 128 parts.
_DEPTH = 6


class _Branch:
    """A place in the tree: the names that end here, each with its keepers; the branches; all keepers of what is on those."""

    __slots__ = ("above", "branches", "names")

    def __init__(self) -> None:
        self.names: dict[str, Counter[str]] = {}
        self.branches: dict[str, _Branch] = {}
        self.above: Counter[str] = Counter()


class Keepers:
    """Nodes by their stream ids, each with the events, as they were published, whose last values it keeps."""

    def __init__(self) -> None:
        self._root = _Branch()
        self._kept: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def __bool__(self) -> bool:
        return bool(self._kept)

    def kept(self, stream: str) -> list[str]:
        """What this node keeps."""
        return list(self._kept.get(stream, ()))

    def count(self, stream: str) -> int:
        """How many that is."""
        return len(self._kept.get(stream, ()))

    def add(self, stream: str, event: str) -> None:
        """`stream` keeps `event`. Raises `InvalidAddressing` for what is no address."""
        name = parse(event).eventName
        kept = self._kept.setdefault(stream, {})
        if event not in kept:
            kept[event] = None
            *path, last = self._path(name, True)
            for branch in path:
                branch.above[stream] += 1
            last.names.setdefault(name, Counter())[stream] += 1

    def remove(self, stream: str, event: str) -> None:
        """`stream` keeps it no longer, if it did."""
        kept = self._kept.get(stream, {})
        if event not in kept:
            return
        del kept[event]
        if not kept:
            del self._kept[stream]
        name = parse(event).eventName
        path: list[_Branch] = self._path(name, False)
        for branch in path[:-1]:
            _less(branch.above, stream)
        keepers = path[-1].names[name]
        _less(keepers, stream)
        if not keepers:
            del path[-1].names[name]
        for parent, child, part in zip(path[-2::-1], path[:0:-1], reversed(name.split(".")[: len(path) - 1]), strict=True):
            if not child.names and not child.branches:
                del parent.branches[part]

    def leave(self, stream: str) -> None:
        """`stream` keeps nothing any more."""
        for event in self.kept(stream):
            self.remove(stream, event)

    def _path(self, name: str, grow: bool) -> list[_Branch]:
        path = [self._root]
        for part in name.split(".")[:_DEPTH]:
            path.append(path[-1].branches.setdefault(part, _Branch()) if grow else path[-1].branches[part])
        return path

    def find(self, pattern: str) -> set[str]:
        """Who keeps something that `pattern`, without node or host, matches."""
        found: set[str] = set()
        for keepers in self._find(self._root, pattern, pattern.split("."), 0):
            found.update(keepers)
        return found

    def _find(self, branch: _Branch, pattern: str, parts: list[str], index: int) -> Iterator[Counter[str]]:
        if index == _DEPTH or index == len(parts):
            yield from (keepers for name, keepers in branch.names.items() if matches(pattern, name))
        elif parts[index] == ">":
            yield branch.above
        elif parts[index] == "*":
            for child in branch.branches.values():
                yield from self._find(child, pattern, parts, index + 1)
        elif parts[index] in branch.branches:
            yield from self._find(branch.branches[parts[index]], pattern, parts, index + 1)


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
