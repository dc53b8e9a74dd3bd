"""Where a center is, as its users write it: `ipc://PATH` or `tcp://HOST:PORT`."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

import attrs

from nodeset.errors import BadFurl, BadSettings

__all__ = ["ANY_HOST", "LONGEST_PATH", "Endpoint", "endpointOf", "hintOf", "isEndpoint", "pathOf"]

#: The host that stands for all interfaces.
ANY_HOST = "*"
#: Of a socket, in bytes: percent-encoded it must fit into a FURL twice.
LONGEST_PATH = 1000

_FORMS = "write ipc://PATH or tcp://HOST:PORT, such as ipc://nerve.sock or tcp://localhost:44444"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9.])?")
_HOST_PORT = re.compile(r"[A-Za-z0-9.*-]+:[0-9]{1,5}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15}):")
#: Parts of a FURL, which is a secret.
_SECRET = re.compile(r"pbu?:/|[a-z2-7]{32}@")


@attrs.frozen
class Endpoint:
    """One endpoint: a path for `ipc`, else a host with a port; the host is `*`, a name, or an address without brackets."""

    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def isSocket(self) -> bool:
        """Whether it is a socket in the file system."""
        return bool(self.path)

    def __str__(self) -> str:
        if self.path:
            return f"ipc://{self.path}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


def isEndpoint(text: str) -> bool:
    """Whether this means to be an endpoint, well written or not."""
    return text.startswith(("ipc:", "tcp://"))


def endpointOf(text: str) -> Endpoint:
    """The endpoint in this text. BadSettings says in one line what is wrong with it.

    >>> endpointOf("tcp://*:44444").port
    44444
    """
    if _SECRET.search(text):
        raise BadSettings("a FURL is no endpoint: keep it in a file, then name that with --furl")
    if text.startswith("ipc://"):
        return _socket(text)
    if text.startswith("tcp://"):
        return _port(text)
    hint = _FORMS
    if _HOST_PORT.fullmatch(text):
        hint = f"write tcp://{text}"
    elif (scheme := _SCHEME.match(text)) is None and text.isprintable() and 0 < len(text) <= 80:
        hint = f"write ipc://{text} for a socket, tcp://HOST:PORT for a port"
    elif scheme is not None and scheme[1] in ("ipc", "tcp"):
        hint = f"two slashes follow {scheme[1]}: {_FORMS}"
    _refuse(text, hint)


def _socket(text: str) -> Endpoint:
    path = text.removeprefix("ipc://")
    if not path.isprintable():
        _refuse(text, "its path has unprintable characters: choose another")
    if path.startswith("@") or path == ANY_HOST:
        _refuse(text, f"a socket needs a path here, {path[:1]!r} stands for none: {_FORMS}")
    if posixpath.basename(path) in ("", ".", ".."):
        _refuse(text, "it does not end in the name of a socket: write ipc://nerve.sock")
    if (size := len(path.encode("utf-8", "surrogateescape"))) > LONGEST_PATH:
        _refuse(text, f"its path has {size} bytes, at most {LONGEST_PATH} are allowed")
    return Endpoint(path=path)


def _port(text: str) -> Endpoint:
    host, colon, port = text.removeprefix("tcp://").rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        _refuse(text, f"it has no port from 1 to 65535: {_FORMS}")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Endpoint(host=str(ipaddress.IPv6Address(host[1:-1])), port=int(port))
        except ValueError:
            _refuse(text, "what is in brackets is no IPv6 address")
    if host != ANY_HOST and not _HOST.fullmatch(host):
        _refuse(text, f"its host is neither a name, nor an address (IPv6 in brackets), nor '*': {_FORMS}")
    return Endpoint(host=host.lower(), port=int(port))


def _refuse(text: str, why: str) -> NoReturn:
    raise BadSettings(f"{text[:80]!r}{'...' if len(text) > 80 else ''} is no endpoint: {why}")


def hintOf(path: str) -> str:
    """A socket's absolute path as a hint in a FURL: `unix:`, then all of it percent-encoded."""
    return f"unix:{quote(path.encode('utf-8', 'surrogateescape'), safe='')}"


def pathOf(hint: str) -> str:
    """The path in such a hint. BadFurl for one that is none, or that `hintOf` would have written otherwise."""
    path = unquote_to_bytes(hint.removeprefix("unix:")).decode("utf-8", "surrogateescape")
    if not path.startswith("/") or "\0" in path or posixpath.normpath(path) != path or path.endswith("/"):
        raise BadFurl(f"the hint {hint[:80]!r} has no absolute path: write unix:%2FPATH%2FSOCKET")
    if len(path.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
        raise BadFurl(f"the path in the hint {hint[:40]!r}… is longer than {LONGEST_PATH} bytes")
    if hintOf(path) != hint:
        raise BadFurl(f"the hint {hint[:80]!r} is not percent-encoded throughout: write {hintOf(path)[:80]}")
    return path
