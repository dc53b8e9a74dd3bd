"""The command `nodeset-web`, which bridges a dispatcher to HTTP."""

from __future__ import annotations

import ipaddress
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from nodeset.cli.listen import Listening, checkEndpoint, probe, readListen
from nodeset.cli.options import CommonOptions, flagsOf, parametersOf, twistdOptions
from nodeset.cli.service import Daemon, naming, prepare
from nodeset.errors import BadSettings, NotThere
from nodeset.settings import Settings
from nodeset.settings.schema import WEB
from nodeset.settings.shown import helpOf

if TYPE_CHECKING:
    from nodeset.cli.https import Certificates

__all__ = ["Options", "main", "makeService"]

_NAME = "nodeset-web"
#: Connections that may wait to be accepted. Of a thousand at once Twisted's 50 would leave most to try again, seconds later.
_BACKLOG = 1024
#: Files that the bridge has open beside its connections, at most.
_FILES = 1024


class Options(CommonOptions):
    """The options of `nodeset-web`."""

    synopsis = "Usage: nodeset-web [web] [options]"
    longdesc = (
        "Bridges a dispatcher to HTTP: publish, subscribe, call by HTTP, server-sent events, WebSocket; a live dashboard is at "
        "its root."
    )
    daemon = "Without -n it becomes a daemon."
    example = (
        "  nodeset-web -n\n"
        "  nodeset-web web --path /var/www/rpy --port 8080 --logfile nodeset-web.log\n"
        "  twistd -n nodeset-web web --interface 127.0.0.1 --port 8080\n"
    )

    service = WEB
    optFlags = flagsOf(WEB)
    optParameters = parametersOf(WEB)
    #: The original could do nothing without it.
    meaningful = ("web",)

    def opt_allowed_origins(self, origin: str) -> None:
        self.addTo("allowed_origins", origin)

    def opt_allowed_hosts(self, name: str) -> None:
        self.addTo("allowed_hosts", name)

    opt_allowed_origins.__doc__ = helpOf(WEB, "allowed_origins")
    opt_allowed_hosts.__doc__ = helpOf(WEB, "allowed_hosts")

    def stayInFront(self, name: str) -> str:
        """See `CommonOptions`; the word of the original would stand there twice."""
        self.example = self.example.replace(f"{name} web ", f"{name} ")
        self.synopsis = self.synopsis.replace(f"{name} [web] ", f"{name} ")
        return super().stayInFront(name)

    def readWords(self, words: list[str]) -> None:
        """Take the word of the original."""
        super().readWords(words[1:] if words[:1] == ["web"] else words)


def makeService(options: Options) -> Daemon:
    """The bridge with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    from twisted.internet.endpoints import serverFromString

    from nodeset.cli.identity import findIdentity
    from nodeset.transport.default import findSource
    from nodeset.transport.granted import Granted
    from nodeset.transport.rendezvous import stateDirectory
    from nodeset.transport.tub import TubTransport

    try:
        from nodeset.web.access.agents import Doorway
        from nodeset.web.access.opening import isOpen, openGate
        from nodeset.web.assembly import assemble
        from nodeset.web.bridge import Bridge
        from nodeset.web.bridge_node import BridgeNode
        from nodeset.web.legacy.files import Files
        from nodeset.web.legacy.node import WebBridgeNode
        from nodeset.web.limits import Limits
        from nodeset.web.listening import HttpService
        from nodeset.web.serving import WebService
    except ImportError as error:
        raise BadSettings(f"it needs the extra 'web' ({error.name} cannot be imported): pip install 'nodeset[web]'") from None
    listening = _readPlace(found, reactor)
    tls = _findCertificate(found, reactor)
    files = None if found.path is None else Files(_findDirectory(found))
    source = findSource(found, os.environ)
    try:
        source.read()
    except NotThere:
        pass  # it may start later
    identity = findIdentity(found)
    daemon = Daemon(_NAME, found, twistd, reactor, is_script)
    _makeRoom(found.max_connections)
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    if tls is None:
        _warn(daemon, listening)
    transport = TubTransport(source, reactor, (), identity, found.host)
    node = WebBridgeNode(name=found.name or _NAME, host=found.host, settings=found, transport=transport, clock=reactor)
    bridge = Bridge(node, reactor, Limits.of(found))

    kept = [found]  # what SIGHUP changes

    def nodeFor(grant: str) -> BridgeNode:
        # A Tub of its own: who is cut off by the dispatcher loses his connection, with all that goes over it.
        there = TubTransport(Granted(source, grant), reactor, (), None, found.host)
        return BridgeNode(name=f"{node.name}-guest", host=found.host, settings=kept[0], transport=there, clock=reactor)

    interface = "" if listening.address is None else listening.address[0]
    doorway = Doorway(transport.furl, nodeFor)
    gate = openGate(bridge, found, interface, stateDirectory(os.environ, found.state_dir), doorway)
    daemon.reload.readers.append(gate.reload)
    if isOpen(found, interface):
        who = "whoever reaches the port" if found.anonymous == "allow" else "each user of this machine"
        daemon.log.info(
            "nobody is asked who he is: {who} may do what this bridge may: --keys FILE or --anonymous refuse ends that",
            who=who,
        )
    site = assemble(bridge, files)
    endpoint = serverFromString(reactor, listening.endpoint)
    http = HttpService(site, endpoint, lambda error: daemon.end(1, str(error)), tls)
    service: Any = WebService(bridge, http, lambda: kept[0].drain_timeout)
    service.setServiceParent(daemon)
    daemon.names["node"], daemon.names["bridge"] = node, bridge

    def adjust(settings: Settings) -> None:
        kept[0] = settings
        node.adjust(settings)
        bridge.limits = Limits.of(settings)

    daemon.reload.takers.append(adjust)
    return daemon


def _makeRoom(connections: int) -> None:
    """Let the process have so many connections, as far as the machine lets it: a shell gives it 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _readPlace(found: Settings, reactor: Any) -> Listening:
    """Where to listen for HTTP. Raises BadSettings, PortTaken."""
    if not found.isDefault("listen"):
        with naming(found, "listen"):
            listening = readListen(found.listen, advertises=False)
            checkEndpoint(reactor, listening.endpoint)
        probe(listening)
        return listening
    host = f"[{found.interface}]" if ":" in found.interface else found.interface
    try:
        with naming(found, "interface"):
            listening = readListen(f"{host}:{found.port}", advertises=False)
            checkEndpoint(reactor, listening.endpoint)
    except BadSettings as error:
        # What was read here never stood in --listen, and its port is named by another option.
        why = str(error).replace("--listen: ", "").replace(f":{found.port}", "")
        raise BadSettings(why.replace("--listen", "--interface")) from None
    probe(listening, "--port")
    return attrs.evolve(listening, endpoint=f"{listening.endpoint}:backlog={_BACKLOG}")


def _findCertificate(found: Settings, reactor: Any) -> Certificates | None:
    """What makes HTTPS of it, if anything. Raises BadSettings."""
    if found.certificate is None:
        if found.private_key is not None:
            raise BadSettings("--private-key has no certificate: name its file by --certificate")
        return None
    from nodeset.cli.https import Certificates

    key = None if found.private_key is None else Path(found.private_key)
    return Certificates(Path(found.certificate), key, reactor.seconds)


def _findDirectory(found: Settings) -> Path:
    """What `--path` names. Raises BadSettings."""
    path = Path(str(found.path)).expanduser().absolute()
    try:
        if path.is_dir() and os.access(path, os.R_OK | os.X_OK):
            return path
    except (OSError, ValueError):
        pass  # a name that is too long, or with a NUL in it
    raise BadSettings(f"--path {str(found.path)[:200]!r} is no directory that can be read: make it, or name another")


def _warn(daemon: Daemon, listening: Listening) -> None:
    if listening.address is None:
        return  # of systemd's, of a socket's: who is behind it knows
    host = listening.address[0]
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host.lower() == "localhost"
    if not is_local:
        daemon.log.warn(
            "HTTP on {host} is not encrypted: who is on the way can read it, grants and tickets included: give --certificate, "
            "or let a proxy with TLS stand before 127.0.0.1",
            host=host or "every address",
        )


def main(in_front: bool = False) -> None:
    """Run as a console script; `in_front` as the sub-command of `nodeset`, which never becomes a daemon."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService, in_front)
