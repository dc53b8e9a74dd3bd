"""Where a service listens."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from typing import Any

import attrs

from nodeset.cli.options import oneLine
from nodeset.errors import BadFurl, BadSettings, PortTaken
from nodeset.transport.endpoint import ANY_HOST, Endpoint, endpointOf, hintOf, isEndpoint
from nodeset.transport.furl import DEFAULT_PLACE, Furl, Place, parsePlace
from nodeset.transport.places import SocketPlace, placeOf, socketPath
from nodeset.transport.socketfile import describeSocket, probeSocket

__all__ = ["Listening", "checkEndpoint", "checkHints", "listenAt", "lookUp", "probe", "readListen"]

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):([0-9]{1,5})")
#: Words before a colon that start an endpoint string although a number follows.
_ENDPOINTS = frozenset({"tcp", "tcp4", "tcp6", "ssl", "unix", "systemd", "fd"})
_LOOPBACK = "127.0.0.1"
#: The port in the names of the FURL files of a dispatcher that takes any port.
_NAMED = parsePlace(DEFAULT_PLACE).port
_FORMS = "write host:port, pbu://host:port/ref, ipc://PATH, or an endpoint such as tcp:5333:interface=127.0.0.1"


@attrs.frozen
class Listening:
    """One place to listen: for Twisted (`endpoint`), for the FURL (`hints`), for the names of the FURL files (`place`).

    `address` is the host with the port to probe, None if it is no plain TCP; `path` is that of a socket. `is_local` means that
    the hints work on this host only, although others may be able to connect.
    """

    endpoint: str
    hints: tuple[str, ...]
    place: Place | SocketPlace
    address: tuple[str, int] | None
    is_local: bool
    path: str = ""


def readListen(text: str, advertises: bool = True) -> Listening:
    """What `--listen` says. BadSettings in one line for what cannot be; `advertises` says whether there is an --advertise.

    >>> readListen("localhost:5333").endpoint
    'tcp:5333:interface=127.0.0.1'
    """
    if len(text) > 1000 or not text.isprintable():
        raise BadSettings(f"--listen has {len(text)} characters, or unprintable ones: {_FORMS}")
    ref = parsePlace(DEFAULT_PLACE).ref
    if isEndpoint(text):
        return listenAt(endpointOf(text), advertises)
    if text.startswith("pbu://"):
        head, _slash, ref = text.removeprefix("pbu://").partition("/")
        found = _HOST_PORT.fullmatch(head)
    else:
        found = _HOST_PORT.fullmatch(text)
        if text.lower().startswith("pb:") or (found is None and not re.match(r"\w+:", text)):
            raise BadSettings(f"--listen {oneLine(text)[:80]!r} is no place to listen: {_FORMS}")
        if found is None or found[1].lower() in _ENDPOINTS:
            return _readEndpoint(text, advertises)
    if found is None or int(found[2]) > 65535:
        raise BadSettings(f"--listen {text[:80]!r} has no host with a port from 0 to 65535: {_FORMS}")
    return _readHostPort(found[1].strip("[]"), int(found[2]), ref, advertises)


def listenAt(endpoint: Endpoint, advertises: bool = True, option: str = "--listen") -> Listening:
    """Where a service listens at this endpoint. BadSettings in one line, which names the option, for what cannot be."""
    if endpoint.isSocket:
        return _readSocket(socketPath(endpoint))
    ref = parsePlace(DEFAULT_PLACE).ref
    if endpoint.host == ANY_HOST:
        return _tcp(None, endpoint.port, ref, "")
    try:
        everywhere = f"tcp://*:{endpoint.port}" if option != "--listen" else ""
        found = _readHostPort(endpoint.host, endpoint.port, ref, advertises, everywhere)
    except BadSettings as error:
        raise BadSettings(str(error).replace("--listen", option, 1)) from None
    # By whatever name of this machine it was given, of which watchers may not know that they are.
    return attrs.evolve(found, place=placeOf(Endpoint(host=ANY_HOST, port=endpoint.port)))


def _readSocket(path: str, endpoint: str = "") -> Listening:
    return Listening(endpoint or describeSocket(path), (hintOf(path),), SocketPlace(path), None, False, path)


def _readHostPort(host: str, port: int, ref: str, advertises: bool, everywhere: str = "") -> Listening:
    interface = _LOOPBACK if host.lower() == "localhost" else _ownAddress(host)
    if interface is None:
        why = f"{host[:80]!r} is not an address of this machine"
        more = f" with --advertise tcp:{host[:80]}:{port}" if advertises else ""
        raise BadSettings(f"--listen: {why}: use {everywhere or f'0.0.0.0:{port}'}{more}")
    address = ipaddress.ip_address(interface)
    if address.is_unspecified:
        return _tcp(interface, port, ref, "")
    hint = f"[{interface}]" if address.version == 6 else interface
    return _tcp(interface, port, ref, hint, name="localhost" if address.is_loopback or ":" in host else host)


def _tcp(interface: str | None, port: int, ref: str, hint: str, name: str = "localhost") -> Listening:
    # A wildcard has no name of its own. 0 is any port: nodes look for the file of the usual one.
    where = "" if not interface else f":interface={interface.replace(':', chr(92) + ':')}"
    kind = "tcp6" if interface and ":" in interface else "tcp"
    place = Place(name, port or _NAMED, ref)
    return Listening(f"{kind}:{port}{where}", (f"tcp:{hint or _LOOPBACK}:{port}",), place, (interface or "", port), not hint)


def _readEndpoint(text: str, advertises: bool) -> Listening:
    default = parsePlace(DEFAULT_PLACE)
    kind, *rest = (part.replace(chr(92), "") for part in re.split(r"(?<!\\):", text))
    if kind.lower() in ("tcp", "tcp4", "tcp6"):
        interface = next((part.removeprefix("interface=") for part in rest if part.startswith("interface=")), "")
        port = next((part.removeprefix("port=") for part in rest if part.removeprefix("port=").isdigit()), "")
        if len(port) > 5 or not port.isascii() or not port or int(port) > 65535:
            raise BadSettings(f"--listen {text[:80]!r} has no port from 0 to 65535: {_FORMS}")
        found = _tcp(interface or None, int(port), default.ref, "")
        if interface and not _isWild(interface):
            found = _readHostPort(interface, int(port), default.ref, advertises)
        return attrs.evolve(found, endpoint=text, address=(interface or ("::" if kind == "tcp6" else ""), int(port)))
    if kind.lower() == "unix" and rest:
        # What it says beside a path is for who listens to judge: our Tubs take none of it, a page of Twisted's does.
        return _readSocket(socketPath(Endpoint(path=rest[0].removeprefix("address="))), text if len(rest) > 1 else "")
    # Whatever it is, the port that it gets is told when it listens.
    return Listening(text, (f"tcp:{_LOOPBACK}:0",), default, None, True)


def _isWild(interface: str) -> bool:
    try:
        return ipaddress.ip_address(interface).is_unspecified
    except ValueError:
        return False


def _ownAddress(host: str) -> str | None:
    """The address of this machine that is meant by an address or a name, None for somebody else's."""
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        found = lookUp(host)
    return next((address for address in found if _isOwn(address)), None)


def lookUp(host: str) -> list[str]:
    """The addresses that this machine knows for a host name, none if it knows it not."""
    try:
        return [str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def _isOwn(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
            trial.bind((address, 0))
    except (OSError, OverflowError):
        return False
    return True


def checkHints(hints: tuple[str, ...]) -> tuple[str, ...]:
    """`--advertise` as `tcp:host:port` each; port 0 stands for the one that we get. BadSettings for one that is no hint."""
    try:
        for hint in hints:
            Furl("a" * 32, [re.sub(r":0$", ":1", hint)], "x")
    except BadFurl as error:
        raise BadSettings(f"--advertise: {oneLine(error)}") from None
    return tuple(hint if hint.startswith("tcp:") else f"tcp:{hint}" for hint in hints)


def checkEndpoint(reactor: Any, text: str) -> None:
    """Raises BadSettings if Twisted cannot make an endpoint of this text."""
    from twisted.internet.endpoints import serverFromString

    try:
        serverFromString(reactor, text)
    except Exception as error:
        # Endpoint parsers raise whatever their arguments lead to; systemd's without its environment a KeyError.
        why = "no such socket was handed to us" if isinstance(error, IndexError) else oneLine(error) or type(error).__name__
        raise BadSettings(f"--listen {text[:80]!r} is no endpoint to listen on ({why[:120]}): {_FORMS}") from None


def probe(listening: Listening, option: str = "--listen") -> None:
    """Raises PortTaken now, in one line, if we could not listen there."""
    if listening.path:
        probeSocket(listening.path)
    if listening.address is None or not listening.address[1]:
        return
    host, port = listening.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            trial.listen(1)
    except OSError as error:
        where = f"port {port} of {host}" if host else f"port {port}"
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"{where} is taken: stop whoever listens there, or choose another {option}") from None
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise PortTaken(f"cannot listen on {where} ({why}): choose another {option}") from None
