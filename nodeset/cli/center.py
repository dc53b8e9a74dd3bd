"""The command `nodeset-center`, which logs what watched programs do."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.python.usage import UsageError

from nodeset.cli.identity import findIdentity
from nodeset.cli.listen import Listening, checkEndpoint, checkHints, listenAt, probe
from nodeset.cli.logs import isInFront
from nodeset.cli.options import CommonOptions, flagsOf, parametersOf, twistdOptions
from nodeset.cli.roles import Present
from nodeset.cli.service import Daemon, naming, prepare
from nodeset.errors import BadSettings, NotThere, StateUnusable
from nodeset.processes.center.eventlog import EventLog
from nodeset.processes.center.ledger import SIZE, Ledger
from nodeset.processes.center.logfile import FileSink, Sink, StreamSink, openLedger
from nodeset.processes.center.node import CenterNode
from nodeset.processes.center.record import Record
from nodeset.processes.center.service import CenterService
from nodeset.processes.center.table import Table
from nodeset.processes.program import checkName
from nodeset.settings import Settings
from nodeset.settings.processes import DEFAULT_ENDPOINT
from nodeset.settings.schema import CENTER
from nodeset.settings.shown import helpOf
from nodeset.transport.endpoint import ANY_HOST, endpointOf

if TYPE_CHECKING:
    from nodeset.core.dispatcher import EventDispatcher
    from nodeset.transport.rendezvous import Claim

__all__ = ["Options", "main", "makeService"]

_NAME = "nodeset-center"
#: Its label, its log, unless it is told.
_CENTER, _LOG = "center", "nerve.log"
#: An address that is nobody's (RFC 5737): the way to it is that to other machines.
_ELSEWHERE = ("192.0.2.1", 9)
#: What other centers had, what there is instead.
_OTHERS = {
    "listen": "it is --endpoint that says where a center listens",
    "controlpoint": "a center has none: call it where it listens, as in 'nodeset call center ps'",
    "syncpoint": "centers have none: let them join one dispatcher, by --dispatcher-url",
    "ring": "centers form none: let them join one dispatcher, by --dispatcher-url",
    "pub-endpoint": "a center has none: subscribe where it listens, as in 'nodeset sub process.>'",
}


class Options(CommonOptions):
    """The options of `nodeset-center`."""

    synopsis = "Usage: nodeset-center [options]"
    longdesc = (
        "Logs what watched programs do, one line for each event; 'nodeset call center ps' lists them. Programs are watched by "
        "nodeset-open, by nodeset-processes. It stays in the foreground, where it tells of itself on stderr."
    )
    example = (
        "  nodeset-center\n"
        "  nodeset-center --endpoint 'tcp://*:44444' --furl /srv/center.furl\n"
        "  nodeset-center --dispatcher-url @bus.furl --logfile - -v\n"
    )

    service = CENTER
    optFlags = [
        *flagsOf(CENTER),
        ["debug", None, "As --loglevel debug."],
        ["echo-sql", "E", "See nodeset top."],
        ["nodetach", None, "It never does."],
    ]
    optParameters = [
        *parametersOf(CENTER),
        ["logfile", None, None, helpOf(CENTER, "logfile")],
        *([name, None, None, instead] for name, instead in _OTHERS.items() if name != "listen"),
    ]
    idle = (*CommonOptions.idle, "echo-sql", "nodetach")
    elsewhere = tuple(_OTHERS)
    #: As the original had them.
    shorts = {
        "e": "endpoint",
        "n": "name",
        "l": "logfile",
        "d": "debug",
        "v": "verbose",
        "p": "pidfile",
        "c": "controlpoint",
        "s": "syncpoint",
        "R": "ring",
        "o": "pub-endpoint",
        "E": "echo-sql",
    }

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.docs["logfile"] = helpOf(CENTER, "logfile")  # it is not twistd's

    def opt_debug(self) -> None:
        """As --loglevel debug."""
        self["loglevel"] = "debug"

    def opt_advertise(self, hint: str) -> None:
        self.addTo("advertise", hint)

    opt_advertise.__doc__ = helpOf(CENTER, "advertise")

    def readWords(self, words: list[str]) -> None:
        """Say of options that other centers had what there is instead."""
        super().readWords(words)
        for name, instead in _OTHERS.items():
            if self[name] is not None:
                raise UsageError(f"--{name}: {instead}")

    def isShown(self, option: str) -> bool:
        """See `CommonOptions`."""
        return super().isShown(option) and option not in _OTHERS and option != "nodaemon"

    def unheeded(self) -> list[str]:
        """See `CommonOptions`; the log of events is ours, whoever runs us."""
        found = self.settle().origins.get("logfile", "")
        return [each for each in super().unheeded() if not each.startswith(f"{found}: logfile ")]

    def _tellTwistd(self) -> None:
        super()._tellTwistd()
        self["nodaemon"] = 1


def makeService(options: Options) -> Daemon:
    """The center with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


class _Joined(Present, CenterNode):
    """The node of a center that has no dispatcher of its own."""


def _build(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    with naming(found, "name"):
        name = checkName(found.name or _CENTER)
    if _joins(found):
        return _join(found, twistd, reactor, is_script, name)
    return _listen(found, twistd, reactor, is_script, name)


def _joins(found: Settings) -> bool:
    """Whether it joins the dispatcher of somebody else. BadSettings when it is told to listen as well."""
    told = [each for each in ("dispatcher_url", "endpoint") if each in found.given]
    told = told or [each for each in ("dispatcher_url", "endpoint") if not found.isDefault(each)]
    if len(told) > 1:
        where, other = found.origins["endpoint"], found.origins["dispatcher_url"]
        raise BadSettings(f"{where} says where to listen, {other} which dispatcher to join: give one of them")
    return told == ["dispatcher_url"]


def _listen(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool, name: str) -> Daemon:
    """With a dispatcher of its own."""
    from nodeset.core.dispatcher import EventDispatcher
    from nodeset.transport.memory import MemoryTransport, MemoryWire
    from nodeset.transport.rendezvous import claim, stateDirectory
    from nodeset.transport.tub import TubAcceptor

    with naming(found, "endpoint"):
        endpoint = endpointOf(found.endpoint or DEFAULT_ENDPOINT)
        listening = listenAt(endpoint, option="--endpoint")
        checkEndpoint(reactor, listening.endpoint)
    files = _copies(found)
    hints = checkHints(found.advertise)
    with naming(found, "state_dir"):
        held = claim(stateDirectory(os.environ, found.state_dir), listening.place)
    try:
        probe(listening, "--endpoint")
        _noteReach(held, listening, bool(files) and not hints)
        sink = _openSink(found, twistd)
        daemon = _surround(found, twistd, reactor, is_script)
    except BaseException:
        held.release()
        raise
    dispatcher = EventDispatcher(reactor, drain_timeout=found.drain_timeout, fresh=held.fresh)
    record = _record(found, sink, reactor, name, held.directory / f"{held.stem}.seen", daemon)
    transport = MemoryTransport(MemoryWire(reactor, dispatcher), name)
    node = CenterNode(record, name=name, host=found.host, settings=found, transport=transport, clock=reactor)
    if not hints:
        hints = (*listening.hints, *(_hintsFrom(listening) if endpoint.host == ANY_HOST else ()))
    acceptor = TubAcceptor(dispatcher, held, listening.endpoint, hints, reactor, files)
    _assemble(daemon, node, record, CenterService(node, record.log, acceptor), dispatcher)
    return daemon


def _join(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool, name: str) -> Daemon:
    """As a node of somebody else's dispatcher."""
    from nodeset.transport.default import findSource
    from nodeset.transport.rendezvous import isFixed, prepareDirectory, stateDirectory
    from nodeset.transport.tub import TubTransport

    if found.furl is not None or found.advertise:
        option = found.origins["furl" if found.furl is not None else "advertise"]
        raise BadSettings(f"{option}: who joins a dispatcher has no address of his own to tell: leave it out")
    source = findSource(found, os.environ)
    try:
        source.read()
    except NotThere:
        pass  # it may start later
    identity = findIdentity(found)
    with naming(found, "state_dir"):
        directory = stateDirectory(os.environ, found.state_dir)
        prepareDirectory(directory)
    sink = _openSink(found, twistd)
    daemon = _surround(found, twistd, reactor, is_script)
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    record = _record(found, sink, reactor, name, directory / f"center_{name}.seen", daemon)
    node = _Joined(
        daemon.end,
        isFixed(source),
        transport=TubTransport(source, reactor, (), identity, found.host),
        record=record,
        name=name,
        host=found.host,
        settings=found,
        clock=reactor,
    )
    _assemble(daemon, node, record, CenterService(node, record.log))
    return daemon


def _surround(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    # --logfile is the log of events: of itself it tells on stderr, as a daemon in the file of its name.
    daemon = Daemon(_NAME, found, {**twistd, "logfile": None}, reactor, is_script, prints=True)
    text = found.logfile or _LOG
    daemon.log.info("logs what it is told to {file}", file="stdout" if text == "-" else str(Path(text).absolute()))
    return daemon


def _assemble(
    daemon: Daemon,
    node: CenterNode,
    record: Record,
    service: CenterService,
    dispatcher: EventDispatcher | None = None,
) -> None:
    service.setServiceParent(daemon)
    daemon.names["node"] = node
    if dispatcher is not None:
        daemon.names["dispatcher"] = dispatcher

    def take(found: Settings) -> None:
        node.adjust(found)
        record.verbose = found.verbose
        if dispatcher is not None:
            dispatcher.drain_timeout = found.drain_timeout

    daemon.reload.takers.append(take)
    daemon.reload.readers.append(record.log.reopen)


def _copies(found: Settings) -> list[Path]:
    """The file of `--furl`."""
    if found.furl is None:
        return []
    # Absolute, since a daemon changes its directory.
    path = Path(found.furl).absolute()
    origin = found.origins.get("furl", "--furl")
    if not path.parent.is_dir():
        raise BadSettings(f"{origin} {str(path)[:200]!r} is in no directory: make that, or name another file")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # A new file takes its place: as root even that of /dev/stdout.
        raise BadSettings(f"{origin} {str(path)[:200]!r} is there and is no file, but a link or a device: name another")
    return [path]


def _noteReach(held: Claim, listening: Listening, wants_others: bool) -> None:
    if listening.path and wants_others:
        held.notes.append("the address in --furl only works on this machine: listen at tcp://*:PORT for others")


def _hintsFrom(listening: Listening) -> list[str]:
    """Where machines on our way out reach us, if there is a way."""
    assert listening.address is not None, "all interfaces have a port"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(_ELSEWHERE)  # sends nothing
            host = way.getsockname()[0]
        except OSError:
            return []
    return [f"tcp:{host}:{listening.address[1]}"] if not host.startswith("127.") else []


def _openSink(found: Settings, twistd: Mapping[str, Any]) -> Sink:
    """Where events are logged. BadSettings, StateUnusable in one line."""
    text = found.logfile or _LOG
    if text == "-":
        if not isInFront(twistd):
            raise BadSettings("--logfile - is for a center in the foreground: name a file")
        stream = sys.__stdout__
        if stream is None:
            raise BadSettings("--logfile -: stdout is closed: name a file")
        return StreamSink(stream.fileno())
    path = Path(text).absolute()
    try:
        return FileSink(path, found.log_bytes, found.log_files)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        origin = found.origins.get("logfile", "the log of events")
        text = f"{origin} {str(path)[:200]!r} cannot be written ({why})"
        raise StateUnusable(f"{text}: name another file by --logfile") from None


def _record(found: Settings, sink: Sink, reactor: Any, name: str, seen: Path, daemon: Daemon) -> Record:
    block: Any
    try:
        block = openLedger(seen)
    except OSError as error:
        daemon.log.warn(
            "what was logged before is not known ({reason}): events may stand twice in the log, gaps be marked that are none",
            reason=f"{seen}: {error.strerror or error}",
        )
        block = bytearray(SIZE)
    ledger = Ledger(block)
    if (place := sink.prepare(0, begins=False)) is not None:
        ledger.settle(*place)
    return Record(EventLog(sink, ledger, name, reactor), Table(name), found.verbose)


def main(in_front: bool = False) -> None:
    """Run as a console script, which always stays in the foreground; `in_front` as the sub-command of `nodeset`."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService, in_front)
