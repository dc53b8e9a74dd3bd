"""What becomes of a run at the queue of one subscription: it waits, or the policy decides.

`block` lets the queue fill up; publishers wait for it then, elsewhere. Full for too long, it is dropped, and so is what comes,
until the node takes a batch again. The other policies drop events, oldest or newest first. Every drop is counted and told.
"""

from __future__ import annotations

from collections.abc import Callable

from nodeset.core.alarms import Alarms
from nodeset.core.answers import Answers
from nodeset.core.batch import TARGET, Events, Outcome, Policy
from nodeset.core.lifetime import aged
from nodeset.core.session import STALL, Quota, Session

__all__ = ["STALL", "Queueing"]


class Queueing:
    """Puts runs into the queues of sessions.

    :param room: called with the time when a queue that was full is not any more by our doing.
    """

    def __init__(self, answers: Answers, alarms: Alarms, room: Callable[[float], None], stall: float = STALL) -> None:
        self._answers, self._alarms, self._room, self._patience = answers, alarms, room, stall
        #: Sessions that have something new in their queues.
        self.woken: dict[str, Session] = {}
        #: Those for which something was over before it was sent: there is room now, nothing may be left to wait for.
        self.outlived: list[Session] = []
        #: Called with a session, its quota, how many events were dropped there, the time.
        self.slowed: Callable[[Session, Quota, int, float], None] = lambda session, quota, count, now: None

    def take(self, session: Session, now: float) -> list[Events]:
        """The next batch for `session`, empty when there is none or no credit.

        What came to the end of its life is not in it: that is answered, and made room.
        """
        while batch := session.take(TARGET):
            for run in batch:
                if run.ttl:
                    break
            else:
                return batch
            alive, over = aged(batch, now)
            for run in over:
                self._answers.settle(session, run, Outcome.EXPIRED, "expired")
                session.confirmed(run.stream, run.first, run.last, lambda sent: False)
            if over:
                self.outlived.append(session)
            if alive:
                return alive
            session.credit += 1
        return []

    def put(self, session: Session, quota: Quota, run: Events, now: float) -> None:
        """Queue `run` for `session`, whose answers are awaited already."""
        if quota.stalled:
            self.lose(session, run, f"{session.name} does not take events in")
            return
        kept: Events | None = run
        if quota.policy is Policy.DROP_NEWEST:
            kept = self._thatFits(session, quota, run, now)
        if kept is not None:
            session.put(kept, quota)
            self._answers.counters["pubs"] += len(kept.lengths)
            self.woken[session.stream] = session
        if quota.policy is Policy.DROP_OLDEST:
            self._dropOldest(session, quota, now)
        else:
            self.watch(session, quota, now)

    def watch(self, session: Session, quota: Quota, now: float) -> None:
        """If publishers have to wait for `quota`, see to it that they do not wait for ever."""
        if not quota.blocks or quota.full_since is not None:
            return
        quota.full_since = now

        def stall(later: float) -> None:
            if quota.full_since == now:
                quota.stalled, quota.full_since = True, None
                queued = quota.events
                for run in session.takeQueued(quota):
                    self.lose(session, run, f"{session.name} does not take events in")
                self.slowed(session, quota, queued, later)
                self._room(later)

        self._alarms.at(now + self._patience, stall)

    def _thatFits(self, session: Session, quota: Quota, run: Events, now: float) -> Events | None:
        room, size = quota.max_events - quota.events, quota.max_bytes - quota.bytes
        fits = 0
        for length in run.lengths[: max(0, room)]:
            size -= length
            if size < 0:
                break
            fits += 1
        if fits < len(run.lengths):
            self._answers.settle(session, run.part(run.first + fits, run.last), Outcome.LATE, "dropped_newest")
            self.slowed(session, quota, len(run.lengths) - fits, now)
        return run.part(run.first, run.first + fits - 1) if fits else None

    def _dropOldest(self, session: Session, quota: Quota, now: float) -> None:
        for dropped in session.dropOldest(quota, quota.events - quota.max_events, quota.bytes - quota.max_bytes):
            self._answers.settle(session, dropped, Outcome.LATE, "dropped_oldest")
            self.slowed(session, quota, len(dropped.lengths), now)

    def lose(self, session: Session, run: Events, reason: str) -> None:
        """`session` will not get, or not answer to, what it has not confirmed of `run`."""
        for first, last in self._answers.pending.within(run.stream, run.first, run.last, session.stream):
            self._answers.settle(session, run.part(first, last), Outcome.LOST, "lost", reason)
