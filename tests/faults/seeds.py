"""Runs of the world by name: `mixed/123` is seed 123 of the kind `mixed`."""

from __future__ import annotations

import random
from collections.abc import Iterator

import attrs

from nodeset.errors import Receipt
from tests.faults.ledger import Violation, check
from tests.faults.world import World

__all__ = ["KINDS", "Run", "parseRun", "play", "sweep", "trace"]

#: What is special about the runs of a kind: no faults, handlers that publish in turn, a dispatcher that is away for 75 s.
KINDS: dict[str, dict[str, bool]] = {
    "mixed": {},
    "calm": {"faults": False},
    "chains": {"chains": True},
    "outage": {"outage": True, "slow": False},
}


@attrs.frozen
class Run:
    """One run, at rest: what was published, what was found wrong."""

    name: str
    world: World
    violations: list[Violation]


def parseRun(name: str) -> tuple[str, int]:
    """The kind with the seed of a name. ValueError for what is none."""
    kind, slash, seed = name.partition("/")
    if kind not in KINDS or not slash or not seed.isdigit():
        raise ValueError(f"{name!r} names no run: write KIND/NUMBER, KIND one of {', '.join(KINDS)}")
    return kind, int(seed)


def play(name: str) -> Run:
    """Run it to its end, look at the ledger."""
    kind, seed = parseRun(name)
    kept = random.getstate()
    random.seed(seed)  # who takes the first turn is drawn by the core itself
    try:
        world = World(seed, **KINDS[kind]).run(110.0 if kind == "mixed" else 160.0)
    finally:
        random.setstate(kept)
    return Run(name, world, check(world))


def sweep(kind: str, count: int, first: int = 0) -> Iterator[Run]:
    """`count` runs of a kind, from the seed `first` on."""
    for seed in range(first, first + count):
        yield play(f"{kind}/{seed}")


def trace(run: Run) -> Iterator[str]:
    """All that happened, by time, a line each; then what was wrong with it."""
    world = run.world
    lines: list[tuple[float, str]] = list(world.story)
    for one in world.published:
        what = f"{one.name} {one.mode.name.lower()} {one.level.name.lower()}"
        lines.append((one.at, f"{one.node.tub} publishes #{one.number} ({what})"))
        if one.over is not None:
            told = one.result if isinstance(one.result, Receipt) else f"{type(one.result).__name__}: {one.result}"
            lines.append((one.over, f"{one.node.tub} is told of #{one.number}: {told}"))
    lines += [(at, f"{node.tub} is called with #{number}") for at, node, number in world.calls]
    for at, line in sorted(lines, key=lambda pair: pair[0]):
        yield f"{at:9.3f}  {line}"
    for invariant, number, text in run.violations:
        yield f"{invariant} does not hold for #{number}: {text}"
    yield f"{run.name}: {len(world.published)} published, {len(world.calls)} calls, {len(run.violations)} violations"
