"""The command `nodeset-processes`, which runs the programs of a file."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.usage import UsageError

from nodeset.cli.identity import findIdentity
from nodeset.cli.options import CommonOptions, flagsOf, parametersOf, twistdOptions
from nodeset.cli.service import Daemon, complain, prepare
from nodeset.cli.shown import printable
from nodeset.errors import BadSettings, NotThere
from nodeset.settings import Settings
from nodeset.settings.file import readDocument
from nodeset.settings.schema import PROCESSES, environmentName

if TYPE_CHECKING:
    from nodeset.processes.programs.file import Programs
    from nodeset.processes.starting.warden import Warden
    from nodeset.processes.watching.supervisor import Supervisor
    from nodeset.processes.watching.supervisor_node import SupervisorNode

__all__ = ["Options", "main", "makeService"]

_NAME = "nodeset-processes"
_ORIGIN = "FILE"


class Options(CommonOptions):
    """The options of `nodeset-processes`."""

    synopsis = "Usage: nodeset-processes [options] FILE"
    longdesc = (
        "Runs the programs of a file, each described in a table [process.NAME]: starts them in order, again when they fail, "
        "tells on the bus what they do. They run whether or not a dispatcher is there. SIGHUP reads the file again."
    )
    daemon = "Without -n it becomes a daemon."
    example = (
        "  nodeset-processes -n nodeset.toml\n"
        "  nodeset-processes --check nodeset.toml\n"
        "  twistd -n nodeset-processes --endpoint ipc:///run/nerve.sock nodeset.toml\n"
    )

    service = PROCESSES
    optFlags = [
        *flagsOf(PROCESSES),
        ["check", None, "Say what is wrong with FILE, or what this machine lacks for it; then end, with 0 if that is nothing."],
        ["json", None, "With --check: say it as one object of JSON, with the programs as they would be run."],
    ]
    optParameters = parametersOf(PROCESSES)

    #: The file, as an absolute path.
    path = ""

    def readWords(self, words: list[str]) -> None:
        """Take the file; settings in it count as well, unless there is a file of settings."""
        if len(words) > 1 and os.path.exists(words[1]):  # noqa: PTH110  # any word
            raise UsageError(f"{words[1][:60]!r} is one FILE too many: give one, with all programs that need each other")
        super().readWords(words[1:])
        if words:
            self.path = str(Path(words[0]).absolute())
            try:
                readDocument(self.path, _ORIGIN)
            except BadSettings as error:
                complain(_NAME, error, 2)  # as settings it would be blamed on --config, which nobody gave
            if self["config"] is None and not os.environ.get(environmentName("config")):
                self["config"] = self.path
        elif not self["print-config"]:
            raise UsageError("FILE is missing: name the file that describes the programs, such as nodeset.toml")
        if self["json"] and not self["check"]:
            raise UsageError("--json goes with --check")

    def postOptions(self) -> None:
        """See `CommonOptions`; `--check` ends here."""
        super().postOptions()
        if self["check"]:
            _check(self.path, bool(self["json"]))


def _check(path: str, as_json: bool) -> NoReturn:
    """Print what is wrong with the programs, or that nothing is; ends the process: 2 for the file, 1 for this machine."""
    from nodeset.processes.programs.file import readPrograms
    from nodeset.processes.programs.inspection import lacksOf

    try:
        found = readPrograms(path, _ORIGIN)
    except BadSettings as error:
        complain(_NAME, error, 2)
    lacks = {name: lacksOf(program) for name, program in found.programs.items()}
    count = sum(map(len, lacks.values()))
    if as_json:
        programs = [
            {
                "name": name,
                "command": list(found.programs[name].command),
                "depends_on": {need.name: need.until for need in found.programs[name].depends_on},
                "autostart": found.programs[name].autostart,
                "wrong": lacks[name],
            }
            for name in found.course.start_order
        ]
        lines = [json.dumps({"file": path, "wrong": count, "programs": programs}, indent=2)]
    else:
        lines = [printable(f"{name}: {lack}") for name, all_lacks in lacks.items() for lack in all_lacks]
        total = len(found.programs)
        lines.append(f"{total} program{'' if total == 1 else 's'}, {f'{count} wrong' if count else 'nothing wrong'}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    raise SystemExit(1 if count else 0)


class Run(Service):
    """A guardian, a node, a supervisor, which start in this order, and stop in reverse, one after the other."""

    log = Logger()

    def __init__(self, daemon: Daemon, warden: Warden, node: SupervisorNode, supervisor: Supervisor, drain: float) -> None:
        self._daemon, self._warden, self._node, self._supervisor, self._drain = daemon, warden, node, supervisor, drain

    def startService(self) -> None:
        """Start the programs. CannotStart if there can be no guardian."""
        Service.startService(self)
        self._warden.start()
        self._node.startService()
        self._supervisor.startService()

    def stopService(self) -> Deferred[None]:
        """Fires when all programs are gone, their last events taken."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # Without a link there is nobody who might take the last events.
        self._supervisor.linger = self._drain if self._node.is_linked else 0.0
        await self._supervisor.stopService()
        if self._supervisor.left:
            self._daemon.exit_code = 1
        await self._node.stopService()
        await self._warden.stop()
        self.log.info(
            "all programs are stopped" if not self._supervisor.left else "ends, though some programs could not be ended"
        )


def makeService(options: Options) -> Daemon:
    """The supervisor with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(options.path, found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(path: str, found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    from nodeset.cli.node import chooseEndpoints
    from nodeset.processes.probing.attempts import Attempts
    from nodeset.processes.probing.probes import Probes
    from nodeset.processes.programs.file import readPrograms
    from nodeset.processes.starting.warden import Warden
    from nodeset.processes.watching.outfit import Outfitter
    from nodeset.processes.watching.sampling import Sampling, threadOf
    from nodeset.processes.watching.supervisor import Supervisor
    from nodeset.processes.watching.supervisor_node import SupervisorNode
    from nodeset.transport.default import findCenter
    from nodeset.transport.tub import TubTransport

    programs = readPrograms(path, _ORIGIN)
    source = findCenter(found, os.environ)
    try:
        source.read()
    except NotThere:
        pass  # it may start later, or never
    identity = findIdentity(found)
    endpoints = chooseEndpoints(reactor, found)
    daemon = Daemon(_NAME, found, twistd, reactor, is_script)
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    node = SupervisorNode(
        name=found.name or _NAME,
        host=found.host,
        settings=found,
        transport=TubTransport(source, reactor, endpoints, identity, found.host),
        clock=reactor,
    )
    node.warden = warden = Warden(reactor)
    node.sampling = sampling = Sampling(reactor, threadOf(reactor))
    outfitter = Outfitter(reactor, node, warden, Probes(reactor, Attempts(reactor, warden)), sampling, socket.gethostname())
    node.supervisor = supervisor = Supervisor(outfitter.make, reactor)
    supervisor.apply(programs.programs, programs.course)
    _warn(daemon, path)
    Run(daemon, warden, node, supervisor, found.drain_timeout).setServiceParent(daemon)

    def reread() -> None:
        _warn(daemon, path)
        for watcher in supervisor.watchers.values():
            outfitter.reopen(watcher)
        try:
            again: Programs = readPrograms(path, _ORIGIN)
        except BadSettings as error:
            daemon.log.error("the programs stay as they were: {reason}", reason=str(error))
        else:
            daemon.log.info("{file}: {what}", file=path, what=supervisor.apply(again.programs, again.course))

    daemon.reload.readers.append(reread)
    daemon.reload.takers.append(node.adjust)
    daemon.hurries.append(supervisor.kill)
    daemon.names["supervisor"] = supervisor
    return daemon


def _warn(daemon: Daemon, path: str) -> None:
    from nodeset.processes.programs.inspection import doubtOf

    if doubt := doubtOf(path):
        daemon.log.warn("{doubt}", doubt=doubt)


def main(in_front: bool = False) -> None:
    """Run as a console script; `in_front` as the sub-command of `nodeset`, which never becomes a daemon."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService, in_front)
