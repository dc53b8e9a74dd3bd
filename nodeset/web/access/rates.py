"""How many times a second one address may do what costs us something."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

__all__ = ["MOST_ADDRESSES", "Rates", "groupOf"]

#: Addresses that are remembered; those beyond share one bucket.
MOST_ADDRESSES: Final = 10_000
_OTHERS: Final = ""


def groupOf(address: str) -> str:
    """By what an address is counted: IPv4 whole, IPv6 by its first 64 bits, of which one subscriber has all.

    >>> groupOf("2001:db8::1:2")
    '2001:db8::/64'
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((found, 64), strict=False))
    return str(found)


class Rates:
    """A bucket for each address: `rate` times a second, as much as comes in a second at once.

    :param rate: times a second, above 0.
    :param most: addresses that have a bucket of their own; while all of these are in use, newcomers share one.
    """

    def __init__(self, rate: float, most: int = MOST_ADDRESSES) -> None:
        self.rate = rate
        self._most = most
        #: Level and its moment by address, the one that was used longest ago first.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> float:
        """Count one more of `address` at `now`, seconds of a clock that never goes back.

        :return: 0 when it may; else in how many seconds it may next, and nothing is counted.
        """
        group = self._find(groupOf(address), now)
        level = self._level(group, now)
        if level < 1.0:
            return (1.0 - level) / self.rate
        self._buckets[group] = level - 1.0, now
        self._buckets.move_to_end(group)
        return 0.0

    def giveBack(self, address: str, now: float) -> None:
        """What was counted of `address` does not count after all."""
        group = groupOf(address)
        group = group if group in self._buckets else _OTHERS
        self._buckets[group] = min(max(1.0, self.rate), self._level(group, now) + 1.0), now

    def _level(self, group: str, now: float) -> float:
        full = max(1.0, self.rate)
        level, then = self._buckets.get(group, (full, now))
        return min(full, level + max(0.0, now - then) * self.rate)

    def _find(self, group: str, now: float) -> str:
        """The bucket to use: its own, or that of the others while there is no room for one more."""
        if group in self._buckets or len(self._buckets) < self._most:
            return group
        oldest = next(iter(self._buckets))
        if self._level(oldest, now) < max(1.0, self.rate):
            return _OTHERS  # whoever floods us from many addresses must not wash away what we know of any
        del self._buckets[oldest]
        return group
