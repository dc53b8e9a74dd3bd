"""The works with the rows that each has in the table, with the bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from benchmarks.supervision.systems import System
from benchmarks.supervision.works import Sizes, doFail, doFlood, doMany, doOutput, pipeByCat

__all__ = ["WORKS", "Row", "Work"]

_ALL: Final = ("nodeset", "supervisord", "circusd")
_OURS: Final = ("nodeset",)
#: circusd reads 1 KiB at a time: an eighth of the others' bytes takes it longer.
_CIRCUS_SHARE: Final = 8
#: What is shipped is a quarter of what is only logged.
_SHIPPED_SHARE: Final = 4


@attrs.frozen
class Row:
    """One figure of a work.

    :ivar form: how it is written.
    :ivar at_most: what ours may be as a share of the better peer's, `aim` what it should be; 0 for a figure without a bar.
    :ivar at_least: the same where more is better.
    :ivar limit: what ours must stay below, whatever the others have; 0 for none.
    """

    figure: str
    title: str
    form: str
    at_most: float = 0.0
    at_least: float = 0.0
    aim: float = 0.0
    limit: float = 0.0
    is_more_better: bool = False


@attrs.frozen
class Work:
    """What is done by whom.

    :ivar do: does it once; `cat` stands for no supervisor at all.
    """

    name: str
    title: str
    systems: tuple[str, ...]
    rows: tuple[Row, ...]
    do: Callable[[str, System | None, Sizes], dict[str, float]]


def _with(do: Callable[[System, Sizes], dict[str, float]]) -> Callable[[str, System | None, Sizes], dict[str, float]]:
    def play(name: str, system: System | None, sizes: Sizes) -> dict[str, float]:
        assert system is not None
        return do(system, sizes)

    return play


def _output(name: str, system: System | None, sizes: Sizes) -> dict[str, float]:
    if system is None:
        return pipeByCat(sizes.output)
    return doOutput(system, sizes.output // (_CIRCUS_SHARE if name == "circusd" else 1), False)


_FAIL: Final = (
    Row("cpu", "% of a core", ".1f", limit=20),
    Row("starts", "starts a second", ".1f", is_more_better=True),
    Row("each", "ms of processor for each start", ".2f"),
    Row("forked", "the same with what it forks", ".2f"),
    Row("stop", "s to stop, inf: not in 15", ".2f"),
)
_IDLE: Final = (
    Row("idle", "% of a core, idle", ".2f", 1, aim=0.5),
    Row("resident", "MiB resident", ".1f", 1, aim=0.5),
    Row("share", "MiB of its own (PSS)", ".1f", 1, aim=0.5),
)

WORKS: Final = (
    Work(
        "fail",
        "200 failing programs, each system's own pauses",
        _ALL,
        _FAIL,
        _with(lambda system, sizes: doFail(system, sizes, False)),
    ),
    Work(
        "hasty",
        "the same, pauses that do not grow",
        _ALL,
        tuple(attrs.evolve(row, limit=0) for row in _FAIL),
        _with(lambda system, sizes: doFail(system, sizes, True)),
    ),
    Work(
        "many",
        "500 sleeping programs",
        _ALL,
        (
            Row("run", "s until all run", ".2f", 1, aim=0.5),
            Row("said", "s until it says so", ".2f", 1, aim=0.5),
            Row("stop", "s to stop", ".2f", 1, aim=0.5),
            *_IDLE,
        ),
        _with(lambda system, sizes: doMany(system, sizes, False, True)),
    ),
    Work(
        "few",
        "10 sleeping programs",
        _ALL,
        tuple(attrs.evolve(row, at_most=0) for row in _IDLE),
        _with(lambda system, sizes: doMany(system, attrs.evolve(sizes, programs=10, seconds=5.0), False, True)),
    ),
    Work(
        "told",
        "500, figures told to a center each 10 s",
        _OURS,
        tuple(attrs.evolve(row, at_most=0) for row in _IDLE),
        _with(lambda system, sizes: doMany(system, sizes, True, True)),
    ),
    Work(
        "untold",
        "500, linked to a center, no figures",
        _OURS,
        tuple(attrs.evolve(row, at_most=0) for row in _IDLE),
        _with(lambda system, sizes: doMany(system, sizes, True, False)),
    ),
    Work(
        "output",
        "output of one program into a file",
        (*_ALL, "cat"),
        (
            Row("rate", "MB/s", ",.0f", at_least=1, aim=2, is_more_better=True),
            Row("cpu", "s of processor for each GB", ".2f"),
        ),
        _output,
    ),
    Work(
        "shipped",
        "the same, told to a center that logs it too",
        _OURS,
        (
            Row("shipped", "MB/s", ",.0f", is_more_better=True),
            Row("cpu", "s of processor for each GB", ".2f"),
            Row("peak", "MiB at the peak", ".0f"),
        ),
        _with(lambda system, sizes: doOutput(system, sizes.output // _SHIPPED_SHARE, True)),
    ),
    Work(
        "flood",
        "20 x yes",
        _ALL,
        (Row("peak", "MiB at the peak", ".0f", limit=250), Row("rate", "MB/s taken", ",.0f", is_more_better=True)),
        _with(lambda system, sizes: doFlood(system, sizes, False)),
    ),
    Work(
        "flooded",
        "the same, linked to a center",
        _OURS,
        (Row("peak", "MiB at the peak", ".0f", limit=250), Row("rate", "MB/s taken", ",.0f", is_more_better=True)),
        _with(lambda system, sizes: doFlood(system, sizes, True)),
    ),
)
