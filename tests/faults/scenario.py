"""A scenario: a fault, what must hold under it, what was found."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs

__all__ = ["SCENARIOS", "Findings", "NotHere", "Scenario", "scenario"]


class NotHere(Exception):
    """This machine has not what the scenario needs; the message says what."""


@attrs.define
class Findings:
    """What a scenario found so far. `quick` asks for a short run."""

    quick: bool
    say: Callable[[str], None] = attrs.field(default=lambda line: None)
    measured: list[str] = attrs.field(factory=list)
    broken: list[str] = attrs.field(factory=list)
    skipped: str = ""
    seconds: float = 0.0

    def pick(self, full: int, quick: int) -> int:
        """How many, how long."""
        return quick if self.quick else full

    @property
    def floor(self) -> float:
        """Seconds below which a latency is good enough: a quick run has too few events for its noise to even out."""
        return 0.02 if self.quick else 0.0

    def measure(self, text: str) -> None:
        """A figure for the table."""
        self.measured.append(text)

    def must(self, holds: object, otherwise: str) -> None:
        """Something has to hold; `otherwise` says what was found instead."""
        if not holds:
            self.broken.append(otherwise)
            self.say(f"does not hold: {otherwise}")

    @property
    def verdict(self) -> str:
        """One word, or two."""
        return "not run here" if self.skipped else "no" if self.broken else "yes"


@attrs.frozen
class Scenario:
    """A function that tries one thing, with its row of the table."""

    name: str
    fault: str
    promise: str
    play: Callable[[Findings], None]

    def run(self, quick: bool, say: Callable[[str], None] = lambda line: None) -> Findings:
        """Play it; what goes wrong is a finding."""
        findings = Findings(quick, say)
        began = time.monotonic()
        try:
            self.play(findings)
        except NotHere as reason:
            findings.skipped = str(reason)
        except Exception as error:
            findings.must(False, f"{type(error).__name__}: {error}")
        findings.seconds = time.monotonic() - began
        return findings


#: In the order of the table.
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, fault: str, promise: str) -> Callable[[Callable[[Findings], None]], Callable[[Findings], None]]:
    """Enter a function into the table."""

    def enter(play: Callable[[Findings], None]) -> Callable[[Findings], None]:
        SCENARIOS[name] = Scenario(name, fault, promise, play)
        return play

    return enter
