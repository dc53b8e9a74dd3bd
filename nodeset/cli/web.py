"""The command `nodeset-web`, which bridges a dispatcher to HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nodeset.cli.options import CommonOptions, flagsOf, parametersOf, twistdOptions
from nodeset.cli.service import Daemon, naming, prepare
from nodeset.errors import BadSettings, NotThere
from nodeset.settings import Settings
from nodeset.settings.schema import WEB
from nodeset.settings.shown import helpOf

__all__ = ["Options", "main", "makeService"]

_NAME = "nodeset-web"


class Options(CommonOptions):
    """The options of `nodeset-web`."""

    synopsis = "Usage: nodeset-web [web] [options]"
    longdesc = (
        "Bridges a dispatcher to HTTP: publish, subscribe, call by HTTP, server-sent events, WebSocket; a live dashboard is at "
        "its root. Logs to stderr."
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
    from nodeset.cli.listen import checkEndpoint, probe, readListen
    from nodeset.transport.default import findSource
    from nodeset.transport.granted import Granted
    from nodeset.transport.rendezvous import stateDirectory
    from nodeset.transport.tub import TubTransport
    from nodeset.web.access.agents import Doorway
    from nodeset.web.access.opening import openGate
    from nodeset.web.assembly import assemble
    from nodeset.web.bridge import Bridge
    from nodeset.web.bridge_node import BridgeNode
    from nodeset.web.limits import Limits
    from nodeset.web.listening import HttpService

    host = f"[{found.interface}]" if ":" in found.interface else found.interface
    with naming(found, "interface"):
        try:
            listening = readListen(f"{host}:{found.port}", advertises=False)
            checkEndpoint(reactor, listening.endpoint)
        except BadSettings as error:
            raise BadSettings(str(error).replace("--listen", "--interface")) from None
    probe(listening, "--port")
    source = findSource(found, os.environ)
    try:
        source.read()
    except NotThere:
        pass  # it may start later
    daemon = Daemon(_NAME, found, twistd, reactor, is_script)
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    transport = TubTransport(source, reactor, (), findIdentity(found), found.host)
    node = BridgeNode(name=found.name or _NAME, host=found.host, settings=found, transport=transport, clock=reactor)
    bridge = Bridge(node, reactor, Limits.of(found))

    def nodeFor(grant: str) -> BridgeNode:
        # A Tub of its own: who is cut off by the dispatcher loses his connection, with all that goes over it.
        there = TubTransport(Granted(source, grant), reactor, (), None, found.host)
        return BridgeNode(name=f"{node.name}-guest", host=found.host, settings=found, transport=there, clock=reactor)

    gate = openGate(bridge, found, stateDirectory(os.environ, found.state_dir), Doorway(transport.furl, nodeFor))
    daemon.reload.readers.append(gate.reload)
    site = assemble(bridge)
    http = HttpService(site, serverFromString(reactor, listening.endpoint), "http", lambda error: daemon.end(1, str(error)))
    services: list[Any] = [bridge, http]
    for service in services:
        service.setServiceParent(daemon)

    def adjust(settings: Settings) -> None:
        node.adjust(settings)
        bridge.limits = Limits.of(settings)

    daemon.reload.takers.append(adjust)
    return daemon


def main(in_front: bool = False) -> None:
    """Run as a console script; `in_front` as the sub-command of `nodeset`, which never becomes a daemon."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService, in_front)
