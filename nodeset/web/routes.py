"""Which address of the bridge means what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import attrs

from nodeset.web.problem import Problem

if TYPE_CHECKING:
    from nodeset.web.inquiry import Inquiry, Reply

__all__ = ["ACCESS", "Endpoint", "Route", "Routes"]

#: Called with an inquiry; None means that it took the request over and will end it itself.
Endpoint = Callable[["Inquiry"], Awaitable["Reply | None"]]
#: Who may use a route: whoever the bridge lets in, or everybody, without being asked who he is.
ACCESS: Final = ("credentials", "open")
#: Requests whose route is remembered, if their paths are no longer than so many bytes.
_REMEMBERED: Final = 1024
_SHORT: Final = 200


@attrs.frozen
class Route:
    """One method at one address.

    :ivar template: `/v1/events/{event}`; what stands in braces is any text without a slash.
    :ivar name: what it is counted as.
    :ivar changes: whether it changes anything, so that no foreign page may use it on behalf of its reader.
    """

    method: str
    template: str
    endpoint: Endpoint
    name: str
    access: str = attrs.field(default="credentials", validator=attrs.validators.in_(ACCESS))
    changes: bool = False


class Routes:
    """The addresses of a bridge. Templates of the same shape share their parameters' places, whatever they are called."""

    def __init__(self) -> None:
        self._fixed: dict[bytes, dict[str, Route]] = {}
        self._shaped: dict[tuple[str | None, ...], dict[str, Route]] = {}
        self._remembered: dict[tuple[bytes, bytes], tuple[Route, dict[str, str]]] = {}

    def add(
        self,
        method: str,
        template: str,
        endpoint: Endpoint,
        name: str,
        access: str = "credentials",
        changes: bool | None = None,
    ) -> None:
        """Serve `template` by `endpoint`; a POST changes something unless it is said that it does not."""
        route = Route(method, template, endpoint, name, access, method != "GET" if changes is None else changes)
        if "{" in template:
            shape = tuple(None if part[:1] == "{" else part for part in template[1:].split("/"))
            known = self._shaped.setdefault(shape, {})
        else:
            known = self._fixed.setdefault(template.encode(), {})
        if method in known:
            raise ValueError(f"{method} {template} is served already, by {known[method].name}")
        known[method] = route
        self._remembered.clear()

    def leave(self, template: str) -> list[Route]:
        """Serve this address, which has no parameters, no more; returns what was there."""
        self._remembered.clear()
        return list(self._fixed.pop(template.encode(), {}).values())

    def __iter__(self) -> Iterator[Route]:
        for known in (*self._fixed.values(), *self._shaped.values()):
            yield from known.values()

    def methods(self, path: bytes) -> list[str]:
        """What may be asked at `path`, HEAD and OPTIONS included; nothing if it is no address."""
        known = self._known(path)[0]
        return sorted({*known, "OPTIONS", *(["HEAD"] if "GET" in known else [])}) if known else []

    def find(self, method: bytes, path: bytes) -> tuple[Route, dict[str, str]]:
        """The route with its parameters, which nobody changes.

        Raises `Problem`: 404, or 405 with what is allowed, or 400 for what is no text.
        """
        remembered = self._remembered.get((method, path))
        if remembered is not None:
            return remembered
        found = self._find(method, path)
        if len(path) <= _SHORT:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[method, path] = found
        return found

    def _find(self, method: bytes, path: bytes) -> tuple[Route, dict[str, str]]:
        known, parts = self._known(path)
        if not known:
            raise Problem(404, f"there is nothing at {_shown(path)}: see /openapi.json for what there is")
        wanted = "GET" if method == b"HEAD" else method.decode("latin-1")
        route = known.get(wanted)
        if route is None:
            allowed = ", ".join(self.methods(path))
            raise Problem(
                405, f"{_shown(method)} is not for {_shown(path)}, only {allowed}", headers=[(b"Allow", allowed.encode())]
            )
        if not parts:
            return route, {}
        names = (part[1:-1] for part in route.template[1:].split("/") if part[:1] == "{")
        return route, dict(zip(names, map(_text, parts), strict=True))

    def _known(self, path: bytes) -> tuple[dict[str, Route], list[str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, []
        if path[:1] != b"/":
            return {}, []
        parts = path.decode("latin-1")[1:].split("/")
        for shape, known in self._shaped.items():
            if len(shape) == len(parts) and all(
                wanted == part if wanted is not None else part for wanted, part in zip(shape, parts, strict=True)
            ):
                return known, [part for wanted, part in zip(shape, parts, strict=True) if wanted is None]
        return {}, []


def _text(part: str) -> str:
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise Problem(400, f"{_shown(part.encode('latin-1'))} in the path is not UTF-8") from None
    if not text.isprintable():
        raise Problem(400, f"{_shown(part.encode('latin-1'))} in the path has control characters")
    return text


def _shown(text: bytes) -> str:
    return repr(text[:100].decode("ascii", "backslashreplace"))
