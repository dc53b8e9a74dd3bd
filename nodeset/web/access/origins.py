"""Which pages of which sites may use the bridge."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from nodeset.errors import BadSettings

__all__ = ["REQUEST_HEADERS", "Origins", "readHost", "readOrigin"]

#: Headers that a page of an allowed origin may send, with those that it may read.
REQUEST_HEADERS: Final = (
    "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID, NodeSet-Confirm, NodeSet-Delivery, "
    "NodeSet-Idempotent, NodeSet-Retain, NodeSet-TTL, NodeSet-Timeout, traceparent, "
    "x-verify-key, x-verify-nonce, x-verify-signature, x-verify-timestamp"
)
RESPONSE_HEADERS: Final = "Allow, Idempotency-Replayed, Retry-After, WWW-Authenticate"
#: Seconds for which a browser need not ask again.
_REMEMBER: Final = 600

_ORIGIN: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(?::([0-9]{1,5}))?", re.ASCII)
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)\.?(?::([0-9]{1,5}))?", re.ASCII)
_PORTS: Final = {"http": "80", "https": "443"}


def readOrigin(text: str) -> str:
    """An origin as browsers send it, such as `https://shop.example`, without the port that goes without saying.

    :raise BadSettings: for what is none: `*` and `null` are none, since everybody has them.
    """
    found = _ORIGIN.fullmatch(text.strip().lower())
    if found is None:
        raise BadSettings(f"{text[:80]!r} is no origin: write each as https://shop.example, or with a port, without a path")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != _PORTS[scheme] else "")


def readHost(text: str) -> tuple[str, str] | None:
    """Name and port that a Host header has, the port empty when it has none; None for what is no host."""
    found = _HOST.fullmatch(text.strip().lower())
    return None if found is None else (found[1], found[2] or "")


class Origins:
    """The origins whose pages may use the bridge beside its own.

    :param allowed: origins; none of them is the default.
    :raise BadSettings: for one that is none.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(readOrigin(each) for each in allowed)

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def isListed(self, origin: str | None) -> bool:
        """Whether this origin is in the list."""
        return origin is not None and origin.strip().lower() in self._allowed

    def isOurs(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin came from here, as the Host of its request says."""
        found = None if origin is None else _ORIGIN.fullmatch(origin.strip().lower())
        here = None if host is None else readHost(host)
        if found is None or here is None:
            return False
        scheme, name, port = found.groups()
        # A proxy that ends TLS before us makes http of https: the port that goes without saying is that of the page.
        usual = _PORTS[scheme]
        return name == here[0] and (port or usual) == (here[1] or usual)

    def mayAct(self, origin: str | None, fetch_site: str | None, host: str | None) -> bool:
        """Whether a request without credentials may have an effect: not when a page of somebody else's makes it.

        :param origin: the header Origin, which browsers send with all but plain GETs.
        :param fetch_site: the header Sec-Fetch-Site, which they send with these too.
        """
        if origin is not None:
            return self.isListed(origin) or self.isOurs(origin, host)
        # `same-site` is another port of this host, or a neighbour's name: whoever serves pages there is not us.
        return fetch_site is None or fetch_site.strip().lower() in ("same-origin", "none")

    def headers(self, origin: str | None) -> list[tuple[str, str]]:
        """What to add to every response; credentials of the browser's own are never allowed, there are none."""
        if not self._allowed:
            return []
        told = [("Vary", "Origin")]
        if origin is not None and self.isListed(origin):
            told += [("Access-Control-Allow-Origin", origin.strip()), ("Access-Control-Expose-Headers", RESPONSE_HEADERS)]
        return told

    def preflight(self, origin: str | None, methods: Iterable[str]) -> list[tuple[str, str]]:
        """What to say to a page that asks beforehand: that it may, or nothing that would let it."""
        told = self.headers(origin)
        if self.isListed(origin):
            told += [
                ("Access-Control-Allow-Methods", ", ".join(methods)),
                ("Access-Control-Allow-Headers", REQUEST_HEADERS),
                ("Access-Control-Max-Age", str(_REMEMBER)),
            ]
        return told
