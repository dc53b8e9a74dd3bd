"""What is to be done when a program file has changed."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from nodeset.processes.program import Program
from nodeset.processes.programs.schema import KEYS

__all__ = ["Differences", "changedFields", "compare", "needsRestart"]


@attrs.frozen
class Differences:
    """Names of programs, by what is to be done with each; all others are as they were.

    :ivar added: to be started, if they start by themselves.
    :ivar removed: to be stopped, then forgotten.
    :ivar restarted: to be stopped, then started as they are described now.
    :ivar adjusted: to be told of their new description while they run.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    restarted: tuple[str, ...]
    adjusted: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.restarted or self.adjusted)


def changedFields(old: Program, new: Program) -> tuple[str, ...]:
    """The fields in which they differ."""
    return tuple(name for name in KEYS if getattr(old, name) != getattr(new, name))


def needsRestart(old: Program, new: Program) -> bool:
    """Whether a process of the old one must be replaced to be one of the new."""
    return any(KEYS[name].restarts for name in changedFields(old, new))


def compare(old: Mapping[str, Program], new: Mapping[str, Program]) -> Differences:
    """What leads from the old programs to the new ones, each in the order of its file."""
    both = [name for name in new if name in old and old[name] != new[name]]
    return Differences(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        restarted=tuple(name for name in both if needsRestart(old[name], new[name])),
        adjusted=tuple(name for name in both if not needsRestart(old[name], new[name])),
    )
