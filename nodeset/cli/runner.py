"""The console scripts: twistd's own runner with our options beside its own."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.python.usage import UsageError
from zope.interface import implementer

from nodeset.cli.options import CommonOptions, withTwistd
from nodeset.cli.places import findRunning
from nodeset.cli.service import Daemon, complain, tell
from nodeset.errors import BadSettings, NodeSetError

__all__ = ["run"]


@implementer(IServiceMaker)
class _Remembering:
    """Makes the service as twistd's plugin would, keeping hold of it."""

    def __init__(self, tapname: str, make: Any) -> None:
        self.tapname, self._make = tapname, make
        self.description, self.options = tapname, CommonOptions
        self.made: Daemon | None = None

    def makeService(self, options: Any) -> Daemon:
        self.made = self._make(options)
        return self.made


def run(name: str, ours: type[CommonOptions], make: Any, in_front: bool = False) -> None:
    """Run the command `name` as its console script: parse sys.argv, then let twistd do the rest. Ends the process.

    `in_front` is for the sub-command of `nodeset`: as if -n were given.
    The exit code is 2 for options that cannot be, 1 for anything else that went wrong; one line on stderr says what.
    """
    sys.argv[0] = name
    options = withTwistd(ours, f"{name}.pid")
    called = name
    words = sys.argv[1:]
    if in_front:
        called, words = options.stayInFront(name), ["--nodaemon", *words]
    try:
        try:
            options.parseOptions(words)
            if options["print-config"]:
                tell(options)
        finally:
            sys.stdout.flush()  # --help ends here too
    except UsageError as error:
        complain(name, f"{error} (see {called} --help)", 2)
    except BadSettings as error:
        complain(name, error, 2)
    except BrokenPipeError:
        os._exit(0)  # `--help | head`; what Python would do at exit complains once more
    except OSError as error:
        if error.filename is None:  # --help, --print-config
            complain(name, f"cannot write its output: {error.strerror or error}", 1)
        complain(name, f"these options cannot be used: {error.strerror or error}", 2)
    maker = _Remembering(name, make)
    config: Any = options
    config.subCommand, config.subOptions, config.loadedPlugins = name, options, {name: maker}
    from twisted.scripts.twistd import runApp

    try:
        pid = findRunning(config["pidfile"]) if config["pidfile"] else None
        if pid is not None:
            complain(name, f"{name} runs already (pid {pid}): stop it, or give --pidfile", 1)
        runApp(config)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            complain(name, stop.code.strip().partition("\n")[0], 1)
        raise
    except BadSettings as error:
        complain(name, error, 2)
    except (NodeSetError, OSError) as error:
        complain(name, error, 1)
    raise SystemExit(maker.made.exit_code if maker.made is not None else 0)
