"""The nodes of one name, of which a call goes to one in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nodeset.core.address import LOCALHOST, isIntroduction, parseTarget
from nodeset.core.calls.callframes import MAX_CALLEES, Call, Ending
from nodeset.core.calls.party import Party
from nodeset.core.session import Session
from nodeset.core.streams.matchmaker import nobody
from nodeset.errors import InvalidAddressing, Refused

__all__ = ["Crews"]

#: Methods of NodeSet's own, which no node lists.
_OURS = "nodeset."


class _Crew:
    """Nodes that bear one name, each called in its turn; `site` is the host name of the dispatcher itself."""

    def __init__(self, site: str) -> None:
        self._hosts = (LOCALHOST, site)
        self._parties: list[Party] = []
        self._turn = 0

    def __len__(self) -> int:
        return len(self._parties)

    def add(self, party: Party) -> None:
        """One more."""
        self._parties.append(party)

    def remove(self, party: Party) -> None:
        """One less."""
        self._parties.remove(party)

    def every(self, host: str) -> Iterator[Party]:
        """Those on `host` that may be called."""
        for party in self._parties:
            if self._answers(party, host):
                yield party

    def _answers(self, party: Party, host: str) -> bool:
        session = party.session
        return party.speaks and session.answers and not party.retiring and (host in self._hosts or host == session.host)

    def pick(self, host: str, method: str) -> tuple[Party | None, Ending, str]:
        """Whose turn it is: one that exposes `method` and is there, if there is such a one; else why there is none.

        One that is away, or silent, is passed over as long as there is another.
        """
        parties = self._parties
        count, turn = len(parties), self._turn
        ours = method.startswith(_OURS)
        found: Party | None = None
        found_at = 0
        best = 4
        full: Party | None = None
        for step in range(count):
            at = (turn + step) % count
            party = parties[at]
            if not self._answers(party, host):
                continue
            has_it = ours or method in party.methods
            rank = (0 if has_it else 2) + (0 if party.live else 1)
            if party.full:
                full = party if has_it else full
            elif rank < best:
                found, found_at, best = party, at, rank
                if not rank:
                    break
        if full is not None and best >= 2:
            return None, Ending.BUSY, f"too many calls wait for {full.session.name}"
        if found is None:
            return None, Ending.NO_NODE, "no node of this name takes calls"
        self._turn = found_at + 1
        return found, Ending.VALUE, ""


class Crews:
    """All nodes by their names."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._crews: dict[str, _Crew] = {}
        self._parties: dict[str, Party] = {}
        #: The stream id of whom a node may call by an introduction, for a method. Raises `Refused`.
        self.admit: Callable[[Session, str, str], str] = nobody

    def add(self, party: Party) -> None:
        """One more."""
        self._parties[party.stream] = party
        self._crews.setdefault(party.session.name, _Crew(self._site)).add(party)

    def remove(self, party: Party) -> None:
        """One less."""
        self._parties.pop(party.stream, None)
        crew = self._crews[party.session.name]
        crew.remove(party)
        if not len(crew):
            del self._crews[party.session.name]

    def _find(self, target: str) -> tuple[_Crew | None, str, str]:
        """The nodes of a name with the host that is meant; else why there are none."""
        try:
            name, host = parseTarget(target)
        except InvalidAddressing as error:
            return None, "", str(error)
        return self._crews.get(name), host, f"no node named {target} is here"

    def pick(self, call: Call, caller: Party) -> tuple[Party | None, Ending, str]:
        """Whose turn it is to be called; else why nobody's."""
        if isIntroduction(call.target):
            return self._introduced(call, caller)
        crew, host, reason = self._find(call.target)
        return (None, Ending.NO_NODE, reason) if crew is None else crew.pick(host, call.method)

    def _introduced(self, call: Call, caller: Party) -> tuple[Party | None, Ending, str]:
        try:
            party = self._parties.get(self.admit(caller.session, call.target, call.method))
        except Refused as error:
            return None, Ending.REFUSED, str(error)
        if party is None or party.retiring:
            return None, Ending.NO_NODE, "the node is not here any more"
        if party.full:
            return None, Ending.BUSY, f"too many calls wait for {party.session.name}"
        return party, Ending.VALUE, ""

    def every(self, target: str) -> tuple[list[Party], str]:
        """All that `target` means, with why there is none."""
        crew, host, reason = self._find(target)
        return [] if crew is None else list(crew.every(host))[:MAX_CALLEES], reason
