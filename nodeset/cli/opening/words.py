"""The words that follow `nodeset-open`.

Read before anything large is imported, so that the program is started at once: what looks odd here is read once more by
`nodeset.settings`, which takes a quarter of a second and has the better words for it.
"""

from __future__ import annotations

import getopt
import math
import re
from typing import Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HELP", "BadWords", "Call", "isPlain", "read"]

HELP: Final = """\
Usage: {called} [options] COMMAND [ARGUMENT...]

Runs the command unchanged: its input, output, signals, terminal, exit code are those that it would have without us. Meanwhile a
center is told when it starts, what it writes, how it does, how it ends. Without a center it runs just the same.

The first word that is no option is the command; what follows is its own. `--` ends the options as well.

Which center:
  -e, --endpoint URL        ipc://PATH of a socket, or tcp://HOST:PORT [default: ipc://nerve.sock]
      --furl FILE           the file with the address of a center on another machine
      --dispatcher-url URL  a dispatcher instead of a center, as for the other commands
      --state-dir DIRECTORY where centers and dispatchers of this machine keep their addresses [default: $NODESET_HOME,
                            or ~/.local/state/nodeset]
  -c, --config FILE         a TOML file with settings, those of the table [open] among them

What it is told:
  -i, --identity NAME       what the program is called in its events, process.NAME.* [default: a random name]
  -O, --send-out            what the program writes to stdout
  -E, --send-err            what the program writes to stderr; at a terminal both are one, and stdout
  -I, --recv-in             take input from the center: accepted, no center of this version sends any
  -A, --send-all            all of it; also if none of the three is given
  -p, --ping-interval S     seconds between two reports of its figures, 0 for none [default: 3]
      --output slow|drop    when it writes faster than the center takes it: slow it down, or drop what does not fit into
                            8 MiB, marked [default: slow]

How it runs:
      --restart WHEN        never, on-failure or always [default: never]
  -s, --restart-retries N   how many more starts in a row may fail before it is given up [default: 3]
  -w, --wait-to-die S       seconds between the first SIGINT or SIGTERM that we get and the SIGKILL that it gets; 'inf' for
                            never: then it alone decides what a signal means [default: 3]
  -g, --linger S            seconds that we stay for the center once it has ended [default: 1]
      --keep                what it leaves behind lives on, and it survives if we are killed by SIGKILL
      --tty, --no-tty       give it a terminal of its own in any case, in no case [default: if we have one]

  -d, --debug               say on stderr what we do
  -h, --help, --version     print this, or the version
  -l, --poll-interval S     without effect, accepted as it always was: nothing is polled

The exit code is the program's; 128 and the number of the signal that ended it; 127 if there is no such command, 126 if it
cannot be run, 2 for options that cannot be, 1 if we failed.

Example:
  {called} -i backup --endpoint tcp://localhost:44444 tar -c /home
"""

#: Short option, long option, what it takes.
_OPTIONS: Final = (
    ("c", "config", "FILE"),
    ("e", "endpoint", "URL"),
    ("", "furl", "FILE"),
    ("", "dispatcher-url", "URL"),
    ("", "state-dir", "DIRECTORY"),
    ("i", "identity", "NAME"),
    ("I", "recv-in", ""),
    ("O", "send-out", ""),
    ("E", "send-err", ""),
    ("A", "send-all", ""),
    ("s", "restart-retries", "N"),
    ("p", "ping-interval", "S"),
    ("l", "poll-interval", "S"),
    ("w", "wait-to-die", "S"),
    ("g", "linger", "S"),
    ("d", "debug", ""),
    ("", "restart", "WHEN"),
    ("", "output", "WHAT"),
    ("", "keep", ""),
    ("", "tty", ""),
    ("", "no-tty", ""),
    ("h", "help", ""),
    ("", "version", ""),
)
_LONG: Final = {f"-{short}": long for short, long, _ in _OPTIONS if short}
_SHORTS: Final = "+" + "".join(short + (":" if takes else "") for short, _, takes in _OPTIONS if short)
_LONGS: Final = [long + ("=" if takes else "") for _, long, takes in _OPTIONS]
#: The options that are settings, which a file or a variable may give as well.
SETTINGS: Final = (
    "config",
    "dispatcher-url",
    "endpoint",
    "furl",
    "linger",
    "output",
    "ping-interval",
    "restart",
    "restart-retries",
    "state-dir",
    "wait-to-die",
)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DAY: Final = 86400.0
#: Variables that have nothing to say of how the program is started.
_HARMLESS: Final = frozenset({"NODESET_HOME", "NODESET_DISPATCHER"})


class BadWords(Exception):
    """Words that cannot be, in one line."""


class Call:
    """What was asked for.

    :ivar command: argv of the program.
    :ivar chosen: settings that were given, by their names with dashes.
    :ivar identity: the name of the program; empty is a random one.
    :ivar out: whether what it writes to stdout is sent; `err` to stderr.
    :ivar tty: whether it gets a terminal of its own; None is if we have one.
    :ivar asks: `help` or `version` if that is all that was asked for.
    """

    def __init__(self) -> None:
        self.command: list[str] = []
        self.chosen: dict[str, str] = {}
        self.identity = ""
        self.out = self.err = True
        self.keep = self.debug = False
        self.tty: bool | None = None
        self.asks = ""


def read(words: Sequence[str]) -> Call:
    """The call that these words are. BadWords for those that are none."""
    try:
        pairs, command = getopt.getopt(list(words), _SHORTS, _LONGS)
    except getopt.GetoptError as error:
        if error.opt in ("c", "config") and "requires argument" in error.msg:
            raise BadWords("Must provide a config file following -c or --config option.") from None
        raise BadWords(f"{error.msg}{_near(error.opt)}") from None
    call, sends = Call(), set()
    call.command = command
    for option, value in pairs:
        name = _LONG.get(option, option[2:])
        if name in ("help", "version"):
            call.asks = name
            return call
        if name in SETTINGS:
            call.chosen[name] = value
        elif name in ("recv-in", "send-out", "send-err", "send-all"):
            sends.add(name)
        elif name == "identity":
            call.identity = _readName(value)
        elif name in ("tty", "no-tty"):
            call.tty = name == "tty"
        elif name == "poll-interval":
            _readSeconds(name, value)
        else:
            setattr(call, name, True)
    if sends and "send-all" not in sends:
        call.out, call.err = "send-out" in sends, "send-err" in sends
    if not command:
        raise BadWords("a command is missing: give the program to run behind the options, as in nodeset-open echo hello")
    return call


def _near(word: str) -> str:
    if len(word) < 2:
        return ""
    from difflib import get_close_matches

    near = get_close_matches(word[:60], [long for _, long, _ in _OPTIONS], 1)
    return f": did you mean --{near[0]}?" if near else ""


def _readName(value: str) -> str:
    if _NAME.fullmatch(value):
        return value
    raise BadWords(f"--identity: {repr(value)[:70]} cannot name a program: use 1 to 64 of A-Z, a-z, digits, '_', '-'")


def _readSeconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if seconds >= 0:
        return seconds
    raise BadWords(f"--{name}: {repr(value)[:70]} is no time: give seconds")


def isPlain(call: Call, environ: Mapping[str, str]) -> bool:
    """Whether what was chosen can be had, as far as that can be seen at once; what is not plain may be in order as well."""
    if "config" in call.chosen or any(
        name.startswith("NODESET_") and value and name not in _HARMLESS for name, value in environ.items()
    ):
        return False
    return all(_isPlain(name, value) for name, value in call.chosen.items())


def _isPlain(name: str, value: str) -> bool:
    if name in ("linger", "ping-interval", "wait-to-die"):
        return bool(re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value))
    if name == "restart-retries":
        return bool(re.fullmatch(r"[0-9]{1,3}", value))
    words = {"restart": ("never", "on-failure", "always"), "output": ("slow", "drop")}
    if name in words:
        return value in words[name]
    # The file with an address is read once the program runs: it may come later. Another machine's needs --furl at once.
    return name == "endpoint" and bool(
        re.fullmatch(r"tcp://localhost:(?:[1-9][0-9]{0,3}|[1-5][0-9]{4})|ipc://[A-Za-z0-9._/-]{1,80}", value)
    )
