"""Which subscriptions an event matches.

A table of subscriptions by pattern, with a bounded memory of recent answers: looking up an address that was looked up before
costs one dictionary access. It is a data structure and nothing else: it knows no link, no clock, no message.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from nodeset.core.address import ANY_NODE, LOCALHOST, OWN, EventURI, isPattern
from nodeset.core.interfaces import IRouteEntry

__all__ = ["RREntrySet", "RouteEntry", "RoutingTable"]

#: Addresses whose matches are remembered; past it the one that was longest unused is forgotten.
REMEMBERED = 4096


@implementer(IRouteEntry)
@attrs.frozen(slots=True, cache_hash=True)
class RouteEntry:
    """One subscription: the peer that holds it, the label and host of that peer, the pattern.

    :param own: whether the peer wants its own events too (D3: an autosubscribed route does not).
    """

    peer: Hashable
    pattern: str
    nodeName: str = ANY_NODE
    hostName: str = LOCALHOST
    own: bool = attrs.field(default=True, eq=False)

    def accepts(self, uri: EventURI, site: str) -> bool:
        """Whether the node and host of `uri` mean this peer; `site` is the host name of the dispatcher itself."""
        return uri.nodeName in (ANY_NODE, self.nodeName) and uri.hostName in (LOCALHOST, site, self.hostName)


class RREntrySet:
    """Entries in turn: who was served goes to the end, so that each gets every n-th event exactly."""

    def __init__(self) -> None:
        self._entries: OrderedDict[RouteEntry, None] = OrderedDict()

    def add(self, entry: RouteEntry) -> None:
        """Add `entry` as the next in turn but all. Raises IndexError when it is there already."""
        if entry in self._entries:
            raise IndexError(f"{entry.pattern!r} is there already for this peer")
        self._entries[entry] = None

    def remove(self, entry: RouteEntry) -> None:
        """Remove `entry`. Raises KeyError when it is not there."""
        del self._entries[entry]

    def order(self) -> list[RouteEntry]:
        """All entries, the one whose turn it is first; that one then goes to the end."""
        entries = list(self._entries)
        if entries:
            self._entries.move_to_end(entries[0])
        return entries

    def take(self, usable: Callable[[RouteEntry], bool]) -> RouteEntry | None:
        """The first in turn that is `usable`, which then goes to the end; None when none is."""
        for entry in self._entries:
            if usable(entry):
                self._entries.move_to_end(entry)
                return entry
        return None

    def keepOnly(self, entries: list[RouteEntry]) -> None:
        """Become `entries`, those known before in the turn they had, new ones behind them."""
        wanted = dict.fromkeys(entries)
        for gone in [entry for entry in self._entries if entry not in wanted]:
            del self._entries[gone]
        for entry in wanted:
            self._entries.setdefault(entry, None)

    def __iter__(self) -> Iterator[RouteEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class _Branch:
    """A place in the tree of patterns: entries that end here, and one branch for each part that may follow."""

    __slots__ = ("branches", "entries")

    def __init__(self) -> None:
        self.entries: dict[RouteEntry, None] = {}
        self.branches: dict[str, _Branch] = {}


Observer = Callable[[RouteEntry], object]


class RoutingTable:
    """All subscriptions of one dispatcher.

    :param site: the host name by which an address may mean this dispatcher, beside `localhost`.
    """

    def __init__(self, site: str = LOCALHOST) -> None:
        self.site = site
        self._exact: dict[str, dict[RouteEntry, None]] = {}
        self._patterns = _Branch()
        self._matches: OrderedDict[EventURI, list[RouteEntry]] = OrderedDict()
        self._turns: OrderedDict[EventURI, tuple[int, RREntrySet]] = OrderedDict()
        self._version = 0
        self._observers: dict[str, list[Observer]] = {"add": [], "remove": [], "fail": []}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    # -- changing it

    def add(self, entry: RouteEntry) -> bool:
        """Add `entry`; False when it was there already (it then takes over `own`)."""
        place = self._place(entry.pattern)
        known = entry in place
        if known:
            del place[entry]
        place[entry] = None
        self._changed()
        if not known:
            self._size += 1
            self._tell("add", entry)
        return not known

    def remove(self, entry: RouteEntry) -> bool:
        """Remove `entry`; False when it was not there."""
        place = self._place(entry.pattern)
        if entry not in place:
            self._prune(entry.pattern)
            return False
        del place[entry]
        self._prune(entry.pattern)
        self._changed()
        self._size -= 1
        self._tell("remove", entry)
        return True

    def _changed(self) -> None:
        self._matches.clear()
        self._version += 1

    def _place(self, pattern: str) -> dict[RouteEntry, None]:
        if not isPattern(pattern):
            return self._exact.setdefault(pattern, {})
        branch = self._patterns
        for part in pattern.split("."):
            branch = branch.branches.setdefault(part, _Branch())
        return branch.entries

    def _prune(self, pattern: str) -> None:
        """Forget the empty places that `pattern` leaves, so that churn leaves nothing behind."""
        if not isPattern(pattern):
            if not self._exact.get(pattern, True):
                del self._exact[pattern]
            return
        path = [self._patterns]
        parts = pattern.split(".")
        for part in parts:
            path.append(path[-1].branches[part])
        for part, parent, child in zip(reversed(parts), path[-2::-1], path[:0:-1], strict=True):
            if child.entries or child.branches:
                return
            del parent.branches[part]

    # -- asking it

    def lookup(self, uri: EventURI) -> list[RouteEntry]:
        """Every entry that `uri` matches, in the order subscribed; one per peer. Do not change the list."""
        found = self._matches.get(uri)
        if found is None:
            found = self._find(uri)
            self._matches[uri] = found
            if len(self._matches) > REMEMBERED:
                self._matches.popitem(last=False)
        else:
            self._matches.move_to_end(uri)
        return found

    def turn(self, uri: EventURI) -> RREntrySet:
        """The entries that `uri` matches, in turn: exactly fair for each address, whatever joins or leaves."""
        version, turn = self._turns.get(uri) or (-1, RREntrySet())
        if version != self._version:
            turn.keepOnly(self.lookup(uri))
            self._turns[uri] = (self._version, turn)
            if len(self._turns) > REMEMBERED:
                self._turns.popitem(last=False)
        self._turns.move_to_end(uri)
        return turn

    def get(self, uri: EventURI) -> list[Deferred[RouteEntry]]:
        """The original's form of `lookup`: one fired Deferred for each entry."""
        return [succeed(entry) for entry in self.lookup(uri)]

    def _find(self, uri: EventURI) -> list[RouteEntry]:
        found: dict[Hashable, RouteEntry] = {}
        candidates = list(self._exact.get(uri.eventName, ()))
        branches = self._patterns.branches
        if branches:
            parts = uri.eventName.split(".")
            if len(parts) > 1 and parts[0] == OWN:  # as `matches` has it
                own = branches.get(OWN)
                if own is not None:
                    self._collect(own, parts, 1, candidates)
            else:
                self._collect(self._patterns, parts, 0, candidates)
        for entry in candidates:
            if entry.accepts(uri, self.site):
                other = found.get(entry.peer)
                # A peer that matches twice gets the event once; wanting its own events once is wanting them.
                if other is None or (entry.own and not other.own):
                    found[entry.peer] = entry
        return list(found.values())

    def _collect(self, branch: _Branch, parts: list[str], index: int, into: list[RouteEntry]) -> None:
        if index == len(parts):
            into.extend(branch.entries)
            return
        rest = branch.branches.get(">")
        if rest is not None:
            into.extend(rest.entries)
        for key in (parts[index], "*"):
            child = branch.branches.get(key)
            if child is not None:
                self._collect(child, parts, index + 1, into)

    # -- observers, as in the original

    def addObserver(self, kind: str, observer: Observer) -> None:
        """Call `observer(entry)` on every `add`, `remove` or `fail`. Raises KeyError for another kind."""
        self._observers[kind].append(observer)

    def removeObserver(self, kind: str, observer: Observer) -> None:
        """Undo `addObserver`. Raises ValueError when it was not there."""
        self._observers[kind].remove(observer)

    def onFailure(self, entry: RouteEntry) -> None:
        """Say that delivering to `entry` failed; the `fail` observers hear of it."""
        self._tell("fail", entry)

    def _tell(self, kind: str, entry: RouteEntry) -> None:
        for observer in list(self._observers[kind]):
            observer(entry)
