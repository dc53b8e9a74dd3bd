"""The command `nodeset-monitor`, which watches a dispatcher."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from nodeset.cli.identity import findIdentity
from nodeset.cli.logs import isInFront, isLogChosen
from nodeset.cli.options import CommonOptions, flagsOf, parametersOf, twistdOptions
from nodeset.cli.roles import Present
from nodeset.cli.service import Daemon, prepare
from nodeset.core.link import Transport
from nodeset.errors import BadSettings, NotThere, PortTaken
from nodeset.settings import Settings
from nodeset.settings.schema import MONITOR

__all__ = ["DEFAULT_LISTEN", "Options", "main", "makeService"]

_NAME = "nodeset-monitor"
#: Where its node listens unless it is told.
DEFAULT_LISTEN = "localhost:55430"


class Options(CommonOptions):
    """The options of `nodeset-monitor`."""

    synopsis = "Usage: nodeset-monitor [options]"
    longdesc = (
        "Watches a dispatcher: prints a line of figures at every interval, publishes them as the event nodeset.stats, at once "
        "for who publishes the event notify; with --metrics also shows them to Prometheus. Logs to stderr."
    )
    daemon = "Without -n it becomes a daemon, which prints into its --logfile, if it has one."
    example = (
        "  nodeset-monitor -n --interval 2\n"
        "  nodeset-monitor -n --json | jq .events_per_second\n"
        "  nodeset-monitor --metrics 9464 --dispatcher-url @monitor.furl\n"
    )

    service = MONITOR
    optFlags = flagsOf(MONITOR)
    optParameters = parametersOf(MONITOR)

    idle = (*CommonOptions.idle, "rrdsrv")


class Monitor(Present):
    """The node of a monitor.

    :ivar heard: called with each event that comes: its address, its message.
    """

    autosubscribe = False

    def __init__(self, end: Callable[[int, str], None], fixed: bool, *, transport: Transport, **about: Any) -> None:
        super().__init__(end, fixed, transport=transport, **about)
        self.heard: Callable[[str, Any], None] = lambda event, msg: None

    def onEvent(self, event: str, msg: Any) -> None:
        """Pass it on."""
        self.heard(event, msg)


def makeService(options: Options) -> Daemon:
    """The monitor with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:

    from nodeset.cli.node import chooseEndpoints
    from nodeset.monitor.overview import Overview
    from nodeset.monitor.watch import Watch
    from nodeset.transport.default import findSource
    from nodeset.transport.rendezvous import isFixed
    from nodeset.transport.tub import TubTransport

    overview = Overview(found.max_labels)
    page = None if found.metrics is None else _makePage(found.metrics, overview, reactor)
    source = findSource(found, os.environ)
    try:
        source.read()
    except NotThere:
        pass  # it may start later
    identity = findIdentity(found)
    endpoints = chooseEndpoints(reactor, found, DEFAULT_LISTEN)
    daemon = Daemon(_NAME, found, twistd, reactor, is_script, prints=True)
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    node = Monitor(
        daemon.end,
        isFixed(source),
        transport=TubTransport(source, reactor, endpoints, identity, found.host),
        name=found.name or _NAME,
        host=found.host,
        settings=found,
        clock=reactor,
    )
    say = daemon.say if isInFront(twistd) or isLogChosen(twistd) else None
    watch = Watch(node, reactor, overview, found.interval, say, found.json)
    node.heard = watch.heard
    for service in (node, watch, page):
        if service is not None:
            service.setServiceParent(daemon)
    daemon.reload.takers.append(node.adjust)
    return daemon


def _makePage(place: str, overview: Any, reactor: Any) -> Any:
    """The service of `--metrics`. Raises BadSettings, PortTaken."""
    from nodeset.cli.listen import probe, readListen

    try:
        listening = readListen(place, advertises=False)
        probe(listening)
    except (BadSettings, PortTaken) as error:
        raise type(error)(str(error).replace("--listen", "--metrics")) from None
    try:
        from nodeset.monitor.exposition import Exposition
    except ImportError:
        raise BadSettings("--metrics needs the package prometheus-client: pip install 'nodeset[metrics]'") from None
    from nodeset.monitor.page import MetricsPage, PageService

    if listening.address is None:
        raise BadSettings(f"--metrics {place!r} is no place to listen: give a port, or host:port")
    host, port = listening.address
    return PageService(MetricsPage(Exposition(overview).text, reactor.seconds), host, port, reactor)


def main(in_front: bool = False) -> None:
    """Run as a console script; `in_front` as the sub-command of `nodeset`, which never becomes a daemon."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService, in_front)
