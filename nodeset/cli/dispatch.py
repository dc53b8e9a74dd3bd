"""The command `nodeset-dispatcher`, which routes events between nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodeset.cli.options import CommonOptions, flagsOf, parametersOf, twistdOptions
from nodeset.cli.service import Daemon, naming, prepare
from nodeset.errors import BadSettings
from nodeset.settings import DEFAULT_URL, Settings
from nodeset.settings.schema import DISPATCHER
from nodeset.settings.shown import helpOf

__all__ = ["Options", "main", "makeService"]

_NAME = "nodeset-dispatcher"


class Options(CommonOptions):
    """The options of `nodeset-dispatcher`."""

    synopsis = "Usage: nodeset-dispatcher [options]"
    longdesc = (
        "Routes events between nodes. Nodes on this host find it by the FURL file that it writes to its state directory; "
        "give others a copy of that file."
    )
    daemon = "Without -n it becomes a daemon."
    example = (
        "  nodeset-dispatcher -n --listen localhost:5333\n"
        "  nodeset-dispatcher --listen 0.0.0.0:5333 --advertise tcp:bus.example.org:5333 --furlfile /srv/bus.furl\n"
        "  twistd -n nodeset-dispatcher --listen localhost:5333\n"
    )

    service = DISPATCHER
    optFlags = flagsOf(DISPATCHER)
    optParameters = parametersOf(DISPATCHER)

    def opt_advertise(self, hint: str) -> None:
        self.addTo("advertise", hint)

    def opt_furlfile(self, path: str) -> None:
        self.addTo("furlfile", path)

    opt_advertise.__doc__ = helpOf(DISPATCHER, "advertise")
    opt_furlfile.__doc__ = helpOf(DISPATCHER, "furlfile")


def makeService(options: Options) -> Daemon:
    """The dispatcher with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    import os

    from nodeset.cli.listen import checkEndpoint, checkHints, probe, readListen
    from nodeset.core.dispatcher import EventDispatcher
    from nodeset.transport.rendezvous import claim, stateDirectory
    from nodeset.transport.tub import TubAcceptor

    listening = readListen(DEFAULT_URL if found.listensByDefault() else found.listen)
    hints = checkHints(found.advertise)
    checkEndpoint(reactor, listening.endpoint)
    # Absolute, since a daemon changes its directory.
    files = [Path(name).absolute() for name in found.furlfile]
    for path in files:
        if not path.parent.is_dir():
            raise BadSettings(f"--furlfile {str(path)[:200]!r} is in no directory: make that, or name another file")
    with naming(found, "state_dir"):
        held = claim(stateDirectory(os.environ, found.state_dir), listening.place)
    try:
        probe(listening)
        if listening.is_local and not hints:
            held.notes.append("without --advertise, the FURL only works on this host")
        daemon = Daemon(_NAME, found, twistd, reactor, is_script)
    except BaseException:
        held.release()
        raise
    dispatcher = EventDispatcher(
        reactor,
        found.site,
        found.max_nodes,
        found.max_message,
        found.drain_timeout,
        found.verbose,
        fresh=held.fresh,
    )
    acceptor = TubAcceptor(dispatcher, held, listening.endpoint, hints or listening.hints, reactor, files)
    acceptor.setServiceParent(daemon)
    daemon.names["dispatcher"] = dispatcher

    def take(found: Settings) -> None:
        # Who is here may stay, with the size that it was told.
        dispatcher.exchange.max_nodes, dispatcher.exchange.max_event = found.max_nodes, found.max_message
        dispatcher.drain_timeout, dispatcher.verbose = found.drain_timeout, found.verbose

    daemon.reload.takers.append(take)
    return daemon


def main(in_front: bool = False) -> None:
    """Run as a console script; `in_front` as the sub-command of `nodeset`, which never becomes a daemon."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService, in_front)
