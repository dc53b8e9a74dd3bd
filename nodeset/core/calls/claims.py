"""The calls that nodes have from an earlier dispatcher, by what they said when they came back."""

from __future__ import annotations

from nodeset.core.calls.party import Party
from nodeset.core.ranges import holds, merged

__all__ = ["Claims"]


class Claims:
    """Who runs which calls, or knows their answers."""

    def __init__(self) -> None:
        self._parties: dict[str, list[Party]] = {}

    def add(self, party: Party, calls: list[tuple[str, list[tuple[int, int]]]]) -> None:
        """`party` has these calls: the stream id of each caller, ranges of ids."""
        for caller, ranges in calls:
            party.claims[caller] = merged(ranges)
            parties = self._parties.setdefault(caller, [])
            if party not in parties:
                parties.append(party)

    def remove(self, party: Party) -> None:
        """It is gone."""
        for caller in party.claims:
            parties = self._parties[caller]
            parties.remove(party)
            if not parties:
                del self._parties[caller]
        party.claims.clear()

    def claimers(self, caller: str, number: int) -> list[Party]:
        """Those that have this call: one, unless it was of all nodes of a name."""
        return [party for party in self._parties.get(caller, ()) if holds(party.claims[caller], number)]
