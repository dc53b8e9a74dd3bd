"""The options that the commands share, in both ways to start them.

As `twistd [its options] nodeset-dispatcher [ours]` the two sets stand apart; for the console scripts `withTwistd` makes one
class of both. Nothing here may import the reactor: `--reactor` installs it while options are parsed.
"""

from __future__ import annotations

import getopt
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]  # it is; its __all__ forgets it

from nodeset.settings import Settings
from nodeset.version import __version__

__all__ = ["CommonOptions", "TwistdPart", "oneLine", "twistdOptions", "withTwistd"]

# The example in an error of ours is nobody's secret.
_FURL = re.compile(r"pb:/{1,2}(?!/|TUBID@tcp:HOST:PORT/NAME)(?=[^\s,])\S*")
_SETTINGS = frozenset(name for name in attrs.fields_dict(Settings) if name not in ("given", "environment"))
#: What twistd can do without a plugin, which a console script cannot.
_NOT_OURS = ("encrypted", "file", "no_save", "python", "source")


def oneLine(text: object) -> str:
    """A complaint of whatever origin as one line without a FURL's secret."""
    if isinstance(text, OSError) and text.strerror:
        text = f"{text.filename}: {text.strerror}" if text.filename else text.strerror
    return " ".join(_FURL.sub("pb://…", str(text)).split())[:500]


class CommonOptions(usage.Options):
    """What every NodeSet command takes. A parameter that was not given is None: its default is the settings'."""

    #: Printed at the end of --help.
    example = ""

    optFlags: list[list[Any]] = [
        ["quiet", "q", "Does nothing, accepted as it always was; see --loglevel."],
    ]
    optParameters: list[list[Any]] = [
        ["listen", None, None, "Where to listen."],
        ["loglevel", None, None, "The lowest level to log: debug, info, notice, warn or crit [default: info]"],
        ["state-dir", None, None, "The directory for keys and FURL files [default: $NODESET_HOME, or ~/.local/state/nodeset]"],
        ["drain-timeout", None, None, "Seconds that a stopping service gives what is under way [default: 10]"],
        ["gc", None, None, "'tuned' for few pauses, or Python's 'default' [default: tuned]"],
        ["facility", None, None, "Does nothing, accepted as it always was; see --syslog."],
        ["options", None, None, "Does nothing, accepted as it always was; see --syslog."],
    ]

    def __init__(self, *args: Any, **kw: Any) -> None:
        base: Any = super()
        base.__init__(*args, **kw)
        self.words: list[str] = []
        self._many: dict[str, list[str]] = {}

    def opt_version(self) -> NoReturn:
        """Show the version."""
        sys.stdout.write(f"nodeset.core version: {__version__}\n")
        raise SystemExit(0)

    def addTo(self, name: str, value: str) -> None:
        """Take one more of what may be given several times."""
        self._many.setdefault(name, []).extend(part.strip() for part in value.split(","))
        self[name] = self._many[name]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, with words between the options as well as after them: `nodeset-node subscriber -n` reads naturally."""
        given = sys.argv[1:] if options is None else list(options)
        try:
            pairs, words = getopt.gnu_getopt(given, self.shortOpt, self.longOpt)
        except getopt.error as error:
            raise usage.UsageError(str(error)) from None
        ordered: list[str] = []
        for name, value in pairs:
            takes = f"{name[2:]}=" in self.longOpt if name.startswith("--") else f"{name[1:]}:" in self.shortOpt
            ordered += [f"{name}={value}"] if takes and name.startswith("--") else [name, value] if takes else [name]
        base: Any = super()
        base.parseOptions([*ordered, "--", *words])

    def parseArgs(self, *words: str) -> None:
        """Keep what is no option for `postOptions`."""
        self.words = list(words)

    def postOptions(self) -> None:
        """Refuse words that mean nothing here."""
        base: Any = super()
        base.postOptions()
        self.readWords(self.words)

    def readWords(self, words: list[str]) -> None:
        """Take what is no option; UsageError for what this command does not know."""
        if words:
            raise usage.UsageError(f"{words[0][:60]!r} means nothing here: options start with --")

    def chosen(self) -> dict[str, Any]:
        """The settings that were given, by name."""
        found = {str(name).replace("-", "_"): value for name, value in self.items()}
        # A flag that was not given is 0, which is no choice.
        return {name: value for name, value in found.items() if name in _SETTINGS and value not in (None, 0)}

    def getUsage(self, width: int | None = None) -> str:
        """The options, with an example at the end."""
        return f"{super().getUsage(width)}\nExample:\n{self.example}"


class TwistdPart(ServerOptions):
    """twistd's own options, for a command that is one service: no sub-commands, no application files, its own pid file."""

    pidfile = "twistd.pid"

    optParameters = [
        [
            "pidfile",
            "",
            None,
            "The file for the process id, '' for none [default: as a daemon, the command's name in the rundir]",
        ]
    ]

    def __init__(self, *args: Any, **kw: Any) -> None:
        base: Any = super()
        base.__init__(*args, **kw)
        for name in _NOT_OURS:
            for short in [short for short, long in self.synonyms.items() if long == name]:
                self.shortOpt = self.shortOpt.replace(f"{short}:", "").replace(short, "") if len(short) == 1 else self.shortOpt
                del self.synonyms[short]
            self.longOpt = [long for long in self.longOpt if long.rstrip("=") != name]
        self["python"] = None

    @property
    def subCommands(self) -> Any:
        """None: the service is known."""
        raise AttributeError("subCommands")

    def postOptions(self) -> None:
        """Put the pid file of a daemon where it runs, unless it was named."""
        self["no_save"] = True
        if self["pidfile"] is None:
            # In the foreground nobody looks for one, and two nodes side by side would take each other's.
            in_front = self["nodaemon"] or self["debug"]
            self["pidfile"] = "" if in_front else str(Path(str(self["rundir"])) / self.pidfile)
        base: Any = super()
        base.postOptions()


def withTwistd(ours: type[CommonOptions], pid_file: str) -> CommonOptions:
    """Options of ours beside those of twistd, for a console script."""
    kind: Any = type(ours.__name__, (ours, TwistdPart), {"pidfile": pid_file})
    options: CommonOptions = kind()
    return options


def twistdOptions(options: CommonOptions) -> dict[str, Any]:
    """The options of twistd's that these go with, whichever way the service was started."""
    return options if options.parent is None else options.parent
