"""The names of signals."""

from __future__ import annotations

import difflib
import signal
from typing import Final

from nodeset.errors import BadProgram

__all__ = ["exitWords", "signalName", "signalNumber"]

_NUMBERS: Final = {each.name.removeprefix("SIG"): int(each) for each in signal.Signals}


def signalNumber(text: str) -> int:
    """The number of TERM, SIGTERM, term, or 15. BadProgram for what is no signal of this system."""
    word = text.strip().upper().removeprefix("SIG")
    if word in _NUMBERS:
        return _NUMBERS[word]
    if word.isascii() and word.isdigit() and len(word) <= 3 and 0 < int(word) < signal.NSIG:
        return int(word)
    near = difflib.get_close_matches(word[:20], list(_NUMBERS), 1)
    hint = f"did you mean {near[0]!r}?" if near else "give a name such as TERM, INT, QUIT, HUP or USR1, or its number"
    shown = repr(text)[:60]
    raise BadProgram(f"there is no signal {shown}: {hint}")


def signalName(number: int) -> str:
    """TERM for 15; the number itself for one without a name, such as those between RTMIN and RTMAX."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def exitWords(code: int) -> str:
    """How a process ended: `exit code 1`, or `killed by KILL` for -9."""
    return f"exit code {code}" if code >= 0 else f"killed by {signalName(-code)}"
