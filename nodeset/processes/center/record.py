"""What a center makes of each event: a line, a row, or nothing."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

from nodeset.core import codec
from nodeset.core.address import parse
from nodeset.errors import NodeSetError
from nodeset.processes.center.continuity import Continuity
from nodeset.processes.center.eventlog import EventLog
from nodeset.processes.center.lines import CLASSES, lineOf
from nodeset.processes.center.table import Table
from nodeset.processes.events import KINDS, Kind, ProcessEvent, ProcessState
from nodeset.processes.program import checkName
from nodeset.processes.states import State

__all__ = ["Record"]

_UUID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
#: Addresses of events whose parts are remembered.
_REMEMBERED: Final = 4096
_STATES: Final = {int(state): state.name for state in State}


class Record:
    """Takes the events of programs, from whoever publishes them.

    :param verbose: whether `state` and `stats` get lines too.
    :ivar counters: events by what became of them: `logged`, `told` (of a row alone), `duplicate`, `malformed`.
    """

    def __init__(self, log: EventLog, table: Table, verbose: bool = False) -> None:
        self.log, self.table, self.verbose = log, table, verbose
        self._continuity = Continuity(log)
        self._known: dict[str, tuple[str, Kind]] = {}
        self.counters: Counter[str] = Counter()

    @property
    def missing(self) -> int:
        """Events that never came, as far as the numbers of others tell."""
        return self._continuity.missing

    def take(self, address: str, payload: bytes, stream: str, now: float) -> str:
        """An event came under this address, in this stream of its publisher; when this returns, its line is written.

        :return: why it is ignored, in one line; empty if it is not.
        """
        try:
            name, kind = self._known.get(address) or self._read(address)
            msg: Any = codec.decode(payload, CLASSES[kind])
            _check(msg)
        except NodeSetError as error:
            self.counters["malformed"] += 1
            return str(error)[:300]
        key = f"{msg.uuid} {stream}"
        place = self._continuity.take(key, msg.seq)
        if place is None:
            self.counters["duplicate"] += 1
            return ""
        is_state = isinstance(msg, ProcessState)
        line = b""
        if not is_state or self.verbose or place.missing:
            line = lineOf(name, kind, msg, place.missing, place.late)
        self.log.put(line, key, max(msg.seq, 0))
        self.counters["logged" if line else "told"] += 1
        if is_state and not place.late:
            self.table.heard(name, msg, stream, now)
        return ""

    def _read(self, address: str) -> tuple[str, Kind]:
        head, _dot, kind = parse(address).eventName.rpartition(".")
        word, _dot, name = head.partition(".")
        if word != "process" or kind not in KINDS:
            raise NodeSetError(f"{address[:80]!r} is no event of a program: it is process.NAME.KIND")
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        known = self._known[address] = checkName(name), kind
        return known


def _check(msg: ProcessEvent) -> None:
    if not _UUID.fullmatch(msg.uuid):
        raise NodeSetError(f"uuid {msg.uuid[:70]!r} is none: it has 1 to 64 letters, digits, '-'")
    if isinstance(msg, ProcessState) and _STATES.get(msg.state) != msg.state_name:
        raise NodeSetError(f"there is no state {msg.state} named {msg.state_name[:40]!r}")
