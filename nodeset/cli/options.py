"""The options that the commands share, in both ways to start them.

As `twistd [its options] nodeset-dispatcher [ours]` the two sets stand apart; for the console scripts `withTwistd` makes one
class of both. Nothing here may import the reactor: `--reactor` installs it while options are parsed.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]  # it is; its __all__ forgets it

from nodeset import settings
from nodeset.cli.places import readGroup, readMask, readUser
from nodeset.cli.shown import printable, terminalWidth
from nodeset.errors import BadSettings
from nodeset.settings import Settings
from nodeset.settings.schema import DAEMONS, NAMES, NODE, aboutOf, dashed, environmentName, namesOf
from nodeset.settings.shown import helpOf
from nodeset.version import __version__

__all__ = ["CommonOptions", "TwistdPart", "flagsOf", "oneLine", "parametersOf", "twistdOptions", "withTwistd"]

# The example in an error of ours is nobody's secret.
# Nor is what was made safe to show already.
_SAFE = r"[a-z2-7]{4}…@[A-Za-z0-9.:,%_~\[\]-]*/…(?![^\s'\",.;:)])"
_FURL = re.compile(rf"pb:/{{1,2}}(?!/|TUBID@tcp:HOST:PORT/NAME|{_SAFE})(?=[^\s,])\S*")
#: What twistd has options for. Those are taken from a file, or from the environment, by a console script.
_TWISTDS: dict[str, Callable[[str], Any]] = {
    "nodaemon": lambda text: int(text == "True"),
    "logfile": str,
    "pidfile": str,
    "rundir": str,
    "uid": readUser,
    "gid": readGroup,
    "umask": readMask,
}
#: Options of the original that users have in their fingers.
_SHORT = {"endpoint": "e"}
#: What twistd can do without a plugin, which a console script cannot.
_NOT_OURS = ("encrypted", "file", "no_save", "python", "source")


_TAIL = re.compile(r"['\"][,.;:)\]]*\Z")


def _hide(found: re.Match[str]) -> str:
    # The quote that closes what was opened before the FURL is no part of it.
    tail = _TAIL.search(found[0])
    return "pb://…" + (tail[0] if tail else "")


def oneLine(text: object) -> str:
    """A complaint of whatever origin as one line without a FURL's secret, with nothing in it that a terminal would obey."""
    if isinstance(text, OSError) and text.strerror:
        text = f"{text.filename}: {text.strerror}" if text.filename else text.strerror
    return printable(" ".join(_FURL.sub(_hide, str(text)).split())[:500])


def _near(word: str, names: Iterable[str], dashes: str = "") -> str:
    """What to add to a complaint about `word`, which is none of `names`."""
    near = get_close_matches(word[:60], list(names), 1)
    return f": did you mean {dashes + near[0]!r}?" if near else ""


def parametersOf(service: str, *names: str) -> list[list[Any]]:
    """What `optParameters` says of these settings of a service, by default of all that take a value and are no lists."""
    kinds = attrs.fields_dict(Settings)
    return [
        [dashed(name), _SHORT.get(name), None, helpOf(service, name)]
        for name in names or namesOf(service)
        if kinds[name].default not in (False, ()) and not aboutOf(name).twistd
    ]


def flagsOf(service: str) -> list[list[Any]]:
    """What `optFlags` says of a service's settings that are yes or no."""
    kinds = attrs.fields_dict(Settings)
    names = [name for name in namesOf(service) if kinds[name].default is False and not aboutOf(name).twistd]
    return [[dashed(name), None, helpOf(service, name)] for name in names]


class CommonOptions(usage.Options):
    """What every NodeSet command takes. A parameter that was not given is None: its default is the settings'."""

    synopsis = ""
    longdesc = ""
    #: Follows it where the command may become a daemon.
    daemon = ""
    #: Printed at the end of --help.
    example = ""
    #: The words that mean something; to suggest them.
    meaningful: tuple[str, ...] = ()
    #: Accepted as they always were, with nothing left to do for this command.
    idle: tuple[str, ...] = ("facility", "options", "originalname", "quiet")
    #: What other programs of its kind have, known so that who types it is told what there is instead; no setting.
    elsewhere: tuple[str, ...] = ()
    #: The options that twistd adds to ours in a console script, as getopt has them.
    twistds: frozenset[str] = frozenset()
    #: Whose table of a file counts.
    service = NODE
    #: Short options that this command has, whatever twistd means by them; with the long one that each stands for.
    shorts: Mapping[str, str] = {}

    optFlags: list[list[Any]] = [
        ["quiet", "q", "See --loglevel."],
        ["print-config", None, "Print the settings that would be used, as TOML, with where each comes from; then end."],
    ]
    optParameters: list[list[Any]] = [
        *parametersOf(NODE, *(name for name in NAMES if set(DAEMONS) <= set(aboutOf(name).services))),
        ["facility", None, None, "See --syslog."],
        ["options", None, None, "See --syslog."],
    ]

    def __init__(self, *args: Any, **kw: Any) -> None:
        base: Any = super()
        base.__init__(*args, **kw)
        self.words: list[str] = []
        self._many: dict[str, list[str]] = {}
        #: What was typed, by the option's long name.
        self._typed: dict[str, str] = {}
        self._settled: Settings | None = None
        for short, long in self.shorts.items():
            mark = ":" if f"{long}=" in self.longOpt else ""
            self.shortOpt = re.sub(f"{short}:?", "", self.shortOpt) + short + mark
            self.synonyms[short] = long

    def opt_version(self) -> NoReturn:
        """Show the version."""
        sys.stdout.write(f"nodeset.core version: {__version__}\n")
        raise SystemExit(0)

    def opt_help(self) -> NoReturn:
        """Display this help and exit."""
        sys.stdout.write(f"{self}\n")
        raise SystemExit(0)

    opt_h = opt_help

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
            known = [each.rstrip("=") for each in dict.fromkeys(self.longOpt) if self.isShown(each.rstrip("="))]
            near = _near(error.opt, known, "--") if "not recognized" in error.msg and len(error.opt) > 1 else ""
            raise usage.UsageError(f"{error}{near}") from None
        self._typed = {self.synonyms.get(name.lstrip("-"), name.lstrip("-")): value for name, value in pairs}
        ordered: list[str] = []
        for name, value in pairs:
            takes = f"{name[2:]}=" in self.longOpt if name.startswith("--") else f"{name[1:]}:" in self.shortOpt
            ordered += [f"{name}={value}"] if takes and name.startswith("--") else [name, value] if takes else [name]
        self.foresee(words)
        base: Any = super()
        base.parseOptions([*ordered, "--", *words])

    def foresee(self, words: list[str]) -> None:
        """Told of what is no option before any option is taken."""

    def parseArgs(self, *words: str) -> None:
        """Keep what is no option for `postOptions`."""
        self.words = list(words)

    def postOptions(self) -> None:
        """Refuse words that mean nothing here; take what twistd should know from where our settings come from."""
        self.readWords(self.words)
        if self.twistds:
            self._tellTwistd()
        base: Any = super()
        base.postOptions()

    def readWords(self, words: list[str]) -> None:
        """Take what is no option; UsageError for what this command does not know."""
        if words:
            near = _near(words[0], self.meaningful) or ": options start with --"
            raise usage.UsageError(f"{words[0][:60]!r} means nothing here{near}")

    def chosen(self) -> dict[str, Any]:
        """The settings that were given, by name."""
        found = {str(name).replace("-", "_"): value for name, value in self.items()}
        # Those of twistd's have values that nobody chose, or that are no texts any more.
        found |= dict.fromkeys(_TWISTDS)
        found |= {name: "1" if name == "nodaemon" else self._typed[name] for name in _TWISTDS if name in self._typed}
        # A flag that was not given is 0, which is no choice.
        return {name: value for name, value in found.items() if name in NAMES and value not in (None, 0)}

    def settle(self) -> Settings:
        """The settings that these options lead to, with the environment, with the file. BadSettings if they cannot be."""
        if self._settled is None:
            self._settled = settings.load(os.environ, self.chosen(), self.service)
        return self._settled

    def resettle(self) -> Settings:
        """The same, now that the file may have changed."""
        known = self.settle()
        if known.config is None or "config" in known.given:
            return settings.load(os.environ, {**self.chosen(), "config": known.config}, self.service)
        # The variable may hold a path from where we were started.
        return settings.load({**os.environ, environmentName("config"): known.config}, self.chosen(), self.service)

    def unheeded(self) -> list[str]:
        """What was set for twistd, in sentences, if twistd was started itself: it has its own options."""
        if self.twistds:
            return []
        found = self.settle()
        told = [name for name in _TWISTDS if not found.isDefault(name)]
        return [f"{found.origins[name]}: {dashed(name)} has no effect under twistd: give twistd its option" for name in told]

    def _tellTwistd(self) -> None:
        found = self.settle()
        for name, read in _TWISTDS.items():
            if name not in self._typed and not found.isDefault(name):
                try:
                    self[name] = read(str(getattr(found, name)))
                except usage.UsageError as error:
                    raise BadSettings(f"{found.origins[name]}: {error}") from None

    def stayInFront(self, name: str) -> str:
        """Be the options of the sub-command that runs the script `name` in the foreground; returns how that is called."""
        called = name.replace("-", " ", 1)
        self.synopsis = self.synopsis.replace(name, called)
        # The first one is the command: a file that has its name keeps it.
        lines = (line.replace(f"{name} -n", name, 1).replace(name, called, 1) for line in self.example.splitlines())
        self.example = "".join(f"{line}\n" for line in lines if "twistd" not in line)
        self.daemon = ""
        self.idle = (*self.idle, "nodaemon")
        return called

    def isShown(self, option: str) -> bool:
        """Whether --help speaks of this option."""
        return option not in self.idle

    def getUsage(self, width: int | None = None) -> str:
        """What the command is for, our options, then those of twistd's, with an example at the end."""
        columns = width or min(terminalWidth(), 132)
        shown = [each for each in dict.fromkeys(self.longOpt) if self.isShown(each.rstrip("="))]
        theirs = [each for each in shown if each in self.twistds]
        parts = [
            textwrap.fill(f"{self.longdesc} {self.daemon}".strip(), columns),
            self._listOptions([each for each in shown if each not in theirs], columns),
        ]
        if theirs:
            parts.append(self._listOptions(theirs, columns).replace("Options:", "Options of twistd, which runs it:", 1))
        idle = ", ".join(f"--{each}" for each in self.idle)
        parts.append(textwrap.fill(f"Without effect, accepted as they always were: {idle}", columns))
        parts.append(f"Example:\n{self.example}")
        return "\n" + "\n\n".join(part.rstrip() for part in parts) + "\n"

    def _listOptions(self, options: list[str], width: int) -> str:
        base: Any = super()
        kept = self.longOpt, self.longdesc
        try:
            self.longOpt, self.longdesc = options, ""
            # Some of twistd's are set for a terminal of their time.
            self.docs.update({name: " ".join(text.split()) for name, text in self.docs.items() if text})
            return str(base.getUsage(width))
        finally:
            self.longOpt, self.longdesc = kept


class TwistdPart(ServerOptions):
    """twistd's own options, for a command that is one service: no sub-commands, no application files, its own pid file."""

    pidfile = "twistd.pid"

    optFlags = [["nodaemon", "n", "Stay in the foreground instead of becoming a daemon, with the log on the terminal."]]
    optParameters = [
        [
            "pidfile",
            "",
            None,
            "The file for the process id, '' for none [default: as a daemon, the command's name in the rundir]",
        ],
        ["uid", "u", None, "The user to run as, a name or a number.", readUser],
        ["gid", "g", None, "The group to run as [default: that of --uid]", readGroup],
        ["umask", None, None, "The (octal) file creation mask to apply.", readMask],
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
        for letter, name in self.synonyms.items():
            if len(letter) == 1 and f"{name}=" in self.longOpt:
                # One of twistd's flags may have had the letter that an option of ours has.
                self.shortOpt = re.sub(f"{letter}(?!:)", "", self.shortOpt)

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
    options.twistds = frozenset(options.longOpt) - {*ours().longOpt, "nodaemon"}
    return options


def twistdOptions(options: CommonOptions) -> dict[str, Any]:
    """The options of twistd's that these go with, whichever way the service was started."""
    return options if options.parent is None else options.parent
