"""The answers of all nodes of a name to one call."""

from __future__ import annotations

from nodeset.core.calls.callframes import Answer, Ending
from nodeset.core.calls.expose import Exposed
from nodeset.core.calls.parcel import unpackValue
from nodeset.core.calls.replies import Reply, errorOf
from nodeset.errors import NodeSetError, OutcomeUnknown

__all__ = ["Gather"]


class Gather:
    """Who was called, who has answered; `callees` are the stream id, name, host of each."""

    def __init__(self, callees: list[tuple[str, str, str]]) -> None:
        self._replies: dict[str, Reply | None] = {callee[0]: None for callee in callees}
        self._callees = callees
        self._due = len(self._replies)

    @property
    def done(self) -> bool:
        """Whether all have answered."""
        return not self._due

    def answered(self, answer: Answer, what: str, exposed: Exposed | None) -> None:
        """One of them answers; the first answer counts."""
        error: NodeSetError | None = None
        value = None
        if answer.ending is Ending.VALUE:
            try:
                value = unpackValue(answer.payload)
                if exposed is not None:
                    value = exposed.signature.checkResult(value)
            except NodeSetError as wrong:
                error = wrong
        else:
            error = errorOf(answer, what)
        self._fill(answer.callee, value, error)

    def _fill(self, stream: str, value: object, error: NodeSetError | None) -> None:
        if stream in self._replies and self._replies[stream] is None:
            self._due -= 1
            self._replies[stream] = Reply("", "", stream, value, error)

    def miss(self, known: set[str], what: str) -> None:
        """The dispatcher was started anew, and only these are known to have the call."""
        for stream, reply in self._replies.items():
            if reply is None and stream not in known:
                error = OutcomeUnknown(f"{what} may or may not have run: the dispatcher was started anew")
                self._fill(stream, None, error)

    def giveUp(self, error: type[NodeSetError], reason: str) -> None:
        """Wait for nobody any more."""
        for stream in self._replies:
            self._fill(stream, None, error(reason))

    def replies(self) -> list[Reply]:
        """All the answers, in the order in which the nodes were called."""
        found = []
        for stream, node, host in self._callees:
            reply = self._replies[stream]
            assert reply is not None, "all have answered"
            found.append(reply._replace(node=node, host=host))
        return found
