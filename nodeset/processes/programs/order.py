"""In which order programs that depend on each other start, or stop."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

import attrs

from nodeset.processes.program import Dependency, Program
from nodeset.processes.states import OVER, State

__all__ = ["Course", "Standing", "circleIn", "lackOf"]


class Standing(Protocol):
    """How far a program has come; a `Life` says it."""

    @property
    def state(self) -> State:
        """Its state."""

    @property
    def alive(self) -> bool:
        """Whether its process is there."""

    @property
    def completed(self) -> bool:
        """Whether it ended as it should."""


def circleIn(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Names of which each needs the next, the last being the first again; empty if there is no such circle."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1][::-1]
        # Begin with the one that comes first in the file, whatever the sorter began with.
        first = min(range(len(circle) - 1), key=lambda at: list(needs).index(circle[at]))
        return (*circle[first:-1], *circle[:first], circle[first])
    return ()


def lackOf(dependency: Dependency, standing: Standing | None) -> str:
    """What keeps this dependency from being met, in words for a reason; empty if it is met. None is a program not known."""
    if standing is None:
        return f"waits for {dependency.name}, which is not there"
    state = standing.state
    match dependency.until:
        case "started":
            # What did its work and went was started, whoever asks later.
            met = standing.completed or (standing.alive and state in (State.STARTING, State.RUNNING))
        case "ready":
            met = state is State.RUNNING
        case "completed":
            met = standing.completed
    if met:
        return ""
    stuck = f", which is {state.name}" if state in OVER else ""
    return f"waits for {dependency.name} to be {dependency.until}{stuck}"


@attrs.frozen
class Course:
    """The way up and down for programs without circles.

    :ivar start_order: their names, each after those that it needs, else as they were given; the reverse is for stopping.
    """

    needs: Mapping[str, tuple[Dependency, ...]]
    start_order: tuple[str, ...] = attrs.field(init=False)
    _needed_by: Mapping[str, tuple[str, ...]] = attrs.field(init=False)

    @classmethod
    def of(cls, programs: Iterable[Program]) -> Course:
        """That of these programs, which know all that they depend on."""
        return cls({each.name: each.depends_on for each in programs})

    @start_order.default
    def _sort(self) -> tuple[str, ...]:
        names = {name: [each.name for each in needs] for name, needs in self.needs.items()}
        return tuple(name for name in TopologicalSorter(names).static_order() if name in names)

    @_needed_by.default
    def _turn(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for name, needs in self.needs.items():
            for each in needs:
                found.setdefault(each.name, []).append(name)
        return {name: tuple(dict.fromkeys(users)) for name, users in found.items()}

    def lackOf(self, name: str, standings: Mapping[str, Standing]) -> str:
        """What this program must wait for, in words for a reason; empty if it may start."""
        return next((lack for each in self.needs[name] if (lack := lackOf(each, standings.get(each.name)))), "")

    def neededBy(self, name: str) -> tuple[str, ...]:
        """Those that depend on this one, without a step between."""
        return self._needed_by.get(name, ())

    def mayStop(self, name: str, live: Container[str]) -> bool:
        """Whether none of the live ones depends on it."""
        return not any(user in live for user in self.neededBy(name))
