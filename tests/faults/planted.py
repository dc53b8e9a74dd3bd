"""The rules of delivery, each switched off in its own way, with runs that show what it is there for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import attrs

from nodeset.core import exchange as rules
from nodeset.core import reconnector, settling
from nodeset.core.batch import Events, Outcome
from nodeset.core.exchange import Exchange
from nodeset.core.inbox import Inbox
from nodeset.core.outbox import Outbox
from nodeset.core.pending import Pending, Piece
from nodeset.core.session import Quota, Session
from nodeset.core.takers import Takers
from tests.faults.seeds import sweep

__all__ = ["PLANTED", "Planted"]


@attrs.frozen
class Planted:
    """A rule that can be switched off: `off` patches it away, runs of `kind` break one of `invariants` then, sooner or later.

    `common` ones show within some tens of runs, the others in one of hundreds or thousands. The search begins at the seed
    `first`: one that is known to show it, soon.
    """

    off: Callable[[], Any]
    invariants: frozenset[str]
    kind: str = "mixed"
    common: bool = True
    first: int = 0

    def find(self, runs: int) -> str:
        """The name of the first of so many runs that shows it; empty if none does."""
        with self.off():
            for run in sweep(self.kind, runs, self.first):
                if self.invariants.intersection(invariant for invariant, _number, _text in run.violations):
                    return run.name
        return ""


def _swap(owner: Any, name: str, value: Any) -> Callable[[], Any]:
    return lambda: mock.patch.object(owner, name, value)


def _wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> Callable[[], Any]:
    """`wrapper` is called with the method itself first."""
    original = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    return lambda: mock.patch.object(owner, name, method)


def _neverLate(queue: Callable[..., None], inbox: Inbox, stream: Any, run: Events) -> None:
    queue(inbox, stream, run)
    stream.high = 0


def _lateIsFine(answered: Callable[..., None], piece: Piece, outcome: Outcome, reason: str) -> None:
    answered(piece, Outcome.OK if outcome is Outcome.LATE else outcome, reason)


def _forgetSent(take_back: Callable[..., Any], session: Session) -> Any:
    session._sent.clear()
    return take_back(session)


def _keepParked(link_lost: Callable[..., None], inbox: Inbox) -> None:
    inbox.answers()


def _blindToPending(within: Callable[..., Any], pending: Pending, *args: Any) -> Any:
    return within(pending, *args) if len(args) > 3 else []


def _lastToldWins(told: Callable[..., int], takers: Takers, stream: str, ranges: Any, session: str, *rest: Any) -> int:
    looked = told(takers, stream, ranges, session, *rest)
    for first, last in ranges:
        takers._streams[stream].takers.put(first, last, (session, True))
    return looked


def _nearEnough(outbox: Outbox, count: int, size: int) -> bool:
    return outbox._count <= outbox._most


@contextmanager
def _keepArrived() -> Iterator[None]:
    """What a lost link had not routed is routed after all, beside what is resent."""
    lost, join = Exchange.lost, Exchange.join
    kept: dict[str, list[list[Events]]] = {}

    def keep(exchange: Exchange, session: Session, now: float) -> None:
        kept.setdefault(session.stream, []).extend(session.arrived)
        lost(exchange, session, now)

    def restore(exchange: Exchange, peer: str, hello: Any, now: float, rights: Any) -> Any:
        result = join(exchange, peer, hello, now, rights)
        session = result[0]
        session.arrived.extend(kept.pop(session.stream, []))
        if session.arrived:
            exchange._route(session, now)
        return result

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Exchange, "lost", keep))
        stack.enter_context(mock.patch.object(Exchange, "join", restore))
        yield


def _planted(off: Callable[[], Any], invariants: str, kind: str = "mixed", common: bool = True, first: int = 0) -> Planted:
    return Planted(off, frozenset(invariants.split()), kind, common, first)


PLANTED: dict[str, Planted] = {
    "a pause after a restart": _planted(_swap(settling, "SETTLE", 0.0), "I1", "outage", first=10),
    "a pause after a returning join": _planted(_swap(settling, "REJOIN", 0.0), "I1", common=False),
    "late below the highest taken": _planted(_wrap(Inbox, "_queue", _neverLate), "I3", first=19),
    "late counts as dropped": _planted(_wrap(Piece, "answered", _lateIsFine), "I1 I4"),
    "open tells what is held": _planted(_swap(Inbox, "holds", lambda inbox: []), "I4"),
    "who is new forgets what it has not begun": _planted(
        _swap(Inbox, "forgetUnbegun", lambda inbox: None), "I4", "chains", common=False
    ),
    "a returning link gets what it has not confirmed": _planted(_wrap(Session, "takeBack", _forgetSent), "I5"),
    "a lost link is away before it is gone": _planted(_swap(rules, "AWAY", 0.0), "I1 I4", first=15),
    "parked batches die with the link": _planted(_wrap(Inbox, "linkLost", _keepParked), "I2 I4 I6"),
    # mixed/18 and mixed/76 show it too, by a node that is turned away thousands of times: 7 s, 2 s.
    "an unrouted inbox is forgotten": _planted(_keepArrived, "I2 I3 I4 I5", first=130),
    "what is pending is not routed again": _planted(_wrap(Pending, "within", _blindToPending), "I4 I6", "chains", common=False),
    "own knowledge before begun before told": _planted(_wrap(Takers, "told", _lastToldWins), "I4", common=False),
    "a retry pause never over 1 s": _planted(_swap(reconnector, "LONGEST_PAUSE", 60.0), "I1 I4", "outage"),
    "a receiver's queue is bounded": _planted(_swap(Inbox, "_hasRoom", lambda inbox, batch: True), "I6"),
    "never far past the lowest unconfirmed": _planted(_swap(Outbox, "_hasRoom", _nearEnough), "I6"),
    "a full queue makes its publishers wait": _planted(_swap(Quota, "blocks", False), "I6", "chains"),
}
