"""By which names a request may call the bridge.

A page of `http://evil.example` whose name is made to mean 127.0.0.1 would be of the bridge's own origin (DNS rebinding): the
Host that its browser sends gives it away.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from nodeset.errors import BadSettings
from nodeset.web.access.origins import readHost

__all__ = ["Hosts", "isLoopback"]


def isLoopback(interface: str) -> bool:
    """Whether only this machine can connect to this interface.

    >>> isLoopback("127.0.0.1"), isLoopback("0.0.0.0"), isLoopback("")
    (True, False, False)
    """
    name = interface.strip().lower().strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Hosts:
    """The names that count.

    :param interface: where the bridge listens.
    :param named: names beside those of the interface, without a port; `*` is any.
    :raise BadSettings: for a name that is none.
    """

    def __init__(self, interface: str, named: Iterable[str] = ()) -> None:
        names = [each.strip().lower() for each in named]
        for each in names:
            found = readHost(each)
            if each != "*" and (found is None or found[1]):
                raise BadSettings(f"{each[:80]!r} is no name of a host: write each as bridge.example, without a port, or *")
        self._named = frozenset(names)
        self._interface = interface.strip().lower().strip("[]")
        # On an interface that others reach, any name may be ours as long as nobody lists them.
        self._any = "*" in self._named or (not names and not isLoopback(interface))

        #: The last one that was ours: most requests say the same.
        self._last: str | None = None

    def mayBe(self, host: str | None) -> bool:
        """Whether a request with this Host is meant for us; None is one of HTTP/1.0, which no browser sends."""
        if host is None or self._any or host == self._last:
            return True
        found = readHost(host)
        if found is None:
            return False
        name = found[0].strip("[]")
        ours = name in self._named or name == self._interface or isLoopback(name) or name.endswith(".localhost")
        if ours:
            self._last = host
        return ours
