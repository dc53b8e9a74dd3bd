"""What a supervisor is given to do, what came of it."""

from __future__ import annotations

from pathlib import Path

import attrs
import msgspec

__all__ = ["MARK", "Place", "Result", "Task", "Wrong"]

#: The variable in the environment by which all that a run has started is known, whoever its parent is by now.
MARK = "BENCH_RUN"


class Wrong(Exception):
    """A run counts for nothing: this is why."""


class Result(msgspec.Struct):
    """One system at one work, once.

    :param figures: what was measured, by the names of the table's rows.
    :param wrong: why none of it counts; empty if it does.
    """

    work: str
    system: str
    figures: dict[str, float]
    wrong: str = ""


@attrs.frozen
class Place:
    """A directory of one run's own with what marks its processes.

    :ivar python: the directory of the commands of this environment.
    :ivar center: the directory of the center to link to, None for none.
    """

    path: Path
    mark: str
    python: Path
    center: Path | None = None

    @property
    def environ(self) -> dict[str, str]:
        """What the environment has beside ours."""
        return {MARK: self.mark, "NODESET_HOME": str((self.center or self.path) / "home")}

    @property
    def endpoint(self) -> str:
        """Of the center, empty if there is none."""
        return f"ipc://{self.center}/nerve.sock" if self.center else ""

    @property
    def said(self) -> Path:
        """What the supervisor prints."""
        return self.path / "said.txt"

    def log(self, number: int | str) -> Path:
        """The file for the output of the program with this number, which may be a template's."""
        return self.path / f"out-{number}.log"


@attrs.frozen(kw_only=True)
class Task:
    """Programs, all alike.

    :ivar command: argv of each.
    :ivar fails: whether they are to be started again for ever, as each system does when a program fails.
    :ivar is_hasty: whether the pauses between two starts shall not grow.
    :ivar log_bytes: after which their log becomes an older one, of which one is kept; 0 for never.
    :ivar stats: whether ours samples their figures when it has a link, as it does unless told.
    """

    command: tuple[str, ...]
    count: int = 1
    fails: bool = False
    is_hasty: bool = False
    log_bytes: int = 0
    stats: bool = True
