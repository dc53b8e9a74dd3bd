"""Requests with a key, which act once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.errors import NodeSetError
from nodeset.web.api.memory import Different, Memory
from nodeset.web.inquiry import Reply
from nodeset.web.problem import Problem

__all__ = ["Once"]

_REPLAYED: Final = (b"Idempotency-Replayed", b"true")

Work = Callable[[], Coroutine[Deferred[Any], Any, tuple[Reply, bool]]]


class Once:
    """Runs each request of an agent's key once, gives its answer to whoever repeats it."""

    log = Logger()

    def __init__(self, seconds: Callable[[], float], counters: Counter[str]) -> None:
        self._seconds, self._counters = seconds, counters
        self._memory: Memory[Reply] = Memory()

    async def answer(self, agent: str, key: str, mark: bytes, work: Work) -> Reply:
        """What `work` answers, or did before to the same request: one with the same `mark`.

        It runs to its end whether or not its client stays, since the next try may want its answer. It says whether that is
        final; one that is not, or fails, is not remembered. Who repeats a request that runs waits for its answer, then, if
        that is not final, runs it himself.

        :raise Problem: 422 for another request with this key.
        """
        try:
            while True:
                known = self._memory.recall(agent, key, mark, self._seconds())
                if known is None:
                    told: Deferred[Reply | None] = Deferred()
                    if not self._memory.join(agent, key, mark, told.callback):
                        break
                    known = await told
                if known is not None:
                    self._counters["idempotency_replayed"] += 1
                    return attrs.evolve(known, headers=(*known.headers, _REPLAYED))
        except Different:
            self._counters["idempotency_refused"] += 1
            raise Problem(
                422, "this Idempotency-Key was used for another request: give each request a key of its own"
            ) from None
        return await self._run(agent, key, mark, work)

    def _run(self, agent: str, key: str, mark: bytes, work: Work) -> Deferred[Reply]:
        left = False

        def leave(deferred: Deferred[Reply]) -> None:
            nonlocal left
            left = True

        mine: Deferred[Reply] = Deferred(leave)

        def answered(result: tuple[Reply, bool]) -> None:
            reply, final = result
            self._memory.end(agent, key, reply if final else None, len(reply.body), self._seconds())
            if not left:
                mine.callback(reply)

        def failed(failure: Failure) -> None:
            self._memory.end(agent, key, None, 0, self._seconds())
            if not left:
                mine.errback(failure)
            elif not failure.check(Problem, NodeSetError):
                self.log.failure("a request whose client had left failed", failure)

        self._memory.begin(agent, key, mark)
        Deferred.fromCoroutine(work()).addCallbacks(answered, failed)
        return mine
