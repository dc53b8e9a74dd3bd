"""How a process of a measurement talks with the one that started it: `word [json]`, a line each.

    <- up                 it can be asked
    -> where {...}        which dispatcher is meant
    -> task {...}         one side of one work
    <- ready              its nodes are linked, subscribed
    -> go                 to a publisher: begin
    <- at 1200            so many are confirmed, or answered, or have come
    <- done {...}         a publisher: all is confirmed
    -> expect [1200]      to a taker: so many are to come from each publisher
    <- full               they have come
    -> end
    <- tally [{...}]      what came, of each node; its nodes have left
    <- failed {...}       it cannot be done

The end of its stdin ends the process at once, whatever it does, so that nobody stays behind.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["listen", "read", "say"]


#: twistd makes a log of sys.stdout once it runs.
_OUT = sys.stdout


def say(word: str, *values: Any) -> None:
    """Tell the other side."""
    _OUT.write(" ".join([word, *map(json.dumps, values)]) + "\n")
    _OUT.flush()


def read(line: str) -> tuple[str, Any]:
    """A line as its word with its value. Raises ValueError for what is none.

    >>> read('at 12'), read('ready')
    (('at', 12), ('ready', None))
    """
    word, _, rest = line.strip().partition(" ")
    return word, json.loads(rest) if rest else None


def listen(heard: Callable[[str, Any], object], leave: Callable[[], object] = lambda: None) -> None:
    """Call `heard` with each line of stdin, from a thread of its own. When it is closed, `leave`, then the process ends."""

    def attend() -> None:
        for line in sys.stdin:
            heard(*read(line))
        leave()
        os._exit(0)

    threading.Thread(target=attend, daemon=True).start()
