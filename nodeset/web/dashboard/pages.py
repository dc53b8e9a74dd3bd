"""The files of the dashboard, served as they are."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Final

import attrs

from nodeset.web.inquiry import Reply
from nodeset.web.problem import Problem

if TYPE_CHECKING:
    from nodeset.web.bridge import Bridge
    from nodeset.web.inquiry import Inquiry
    from nodeset.web.routes import Endpoint, Routes

__all__ = ["Page", "install", "readPages"]

#: What is served, by the end of its name: nothing else in the folder is.
TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
FOLDERS: Final = ("", "panels/", "vendor/")
#: The page runs its own scripts alone, none of them inline; talks to this bridge alone; makes no markup of text.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = (
    (b"Content-Security-Policy", _POLICY),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"X-Frame-Options", b"DENY"),
    (b"Vary", b"Accept-Encoding"),
    # A browser keeps them, asks each time whether they are still the same: after an upgrade no old script meets a new page.
    (b"Cache-Control", b"no-cache"),
)


@attrs.frozen
class Page:
    """One file.

    :ivar packed: the same by gzip.
    :ivar tag: another one for another content; weak, as either form has it.
    """

    body: bytes
    packed: bytes
    content_type: bytes
    tag: bytes


@functools.cache
def readPages() -> dict[str, Page]:
    """Every file that is served, by its name below `/dashboard/`: a name that is no key here leads nowhere."""
    return dict(_walk(files("nodeset.web.dashboard")))


def _walk(top: Traversable) -> Iterator[tuple[str, Page]]:
    for folder in FOLDERS:
        for each in (top / folder.rstrip("/") if folder else top).iterdir():
            content_type = TYPES.get("." + each.name.rpartition(".")[2])
            if content_type is not None:
                body = each.read_bytes()
                tag = b'W/"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
                yield folder + each.name, Page(body, gzip.compress(body, mtime=0), content_type, tag)


def install(routes: Routes, bridge: Bridge) -> None:
    """Serve the page at `/`, its files below `/dashboard/`, to everybody: they hold no data."""
    routes.add("GET", "/", _serving(""), "dashboard", access="open")
    for folder in FOLDERS:
        routes.add("GET", f"/dashboard/{folder}{{file}}", _serving(folder), "dashboard", access="open")


def _serving(folder: str) -> Endpoint:
    async def serve(inquiry: Inquiry) -> Reply:
        return _answer(inquiry, folder + inquiry.params.get("file", "index.html"))

    return serve


def _answer(inquiry: Inquiry, name: str) -> Reply:
    page = readPages().get(name)
    if page is None:
        raise Problem(404, "the dashboard has no such file: the page itself is at /")
    headers = (*_HEADERS, (b"ETag", page.tag))
    known = inquiry.header("if-none-match")
    if known is not None and page.tag.decode() in (each.strip() for each in known.split(",")):
        return Reply(304, b"", page.content_type, headers)
    if "gzip" in _codings(inquiry.header("accept-encoding") or ""):
        return Reply(200, page.packed, page.content_type, (*headers, (b"Content-Encoding", b"gzip")))
    return Reply(200, page.body, page.content_type, headers)


def _codings(accepted: str) -> set[str]:
    """What may be sent, by Accept-Encoding; one with a weight of 0 may not."""
    found = set()
    for each in accepted.lower().split(","):
        coding, _semicolon, weight = each.partition(";")
        if weight.replace(" ", "").removeprefix("q=").strip("0.") or not weight:
            found.add(coding.strip())
    return found
