"""The settings of this process, one value for all of it.

Defaults lose to the environment, the environment to the options of a command. (A configuration file will stand between the
defaults with the environment, when `--config` comes.) A library user rarely needs more than::

    from nodeset import settings

    settings.use(settings.load(os.environ, {"publish-timeout": "5"}))
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from nodeset.core.address import LOCALHOST, checkPart
from nodeset.core.batch import MAX_EVENT
from nodeset.errors import BadSettings, InvalidAddressing

__all__ = ["DEFAULT_LISTEN", "DEFAULT_URL", "LOG_LEVELS", "Settings", "current", "environmentName", "load", "use"]

#: Where nodes look for their dispatcher unless they are told: the file that a dispatcher on this machine writes.
DEFAULT_URL: Final = "pbu://localhost:5333/dispatcher"
#: Where `nodeset-node` listens unless it is told.
DEFAULT_LISTEN: Final = "localhost:5444"
LOG_LEVELS: Final = ("debug", "info", "notice", "warn", "crit")
_GC: Final = ("tuned", "default")
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})
_FURL = re.compile(r"pb:/.*", re.DOTALL)
_QUOTES: Final = "'\""
#: A look costs a dispatcher some milliseconds.
_OFTENEST: Final = 0.5
#: Each label has twenty metrics.
_MOST_LABELS: Final = 1000
#: A day; a longer wait for one event is a slip of the pen.
_LONGEST = 86400.0
#: The variables that the design names; any other is NODESET_ with the setting's name.
_VARIABLES: Final = {"dispatcher_url": "NODESET_DISPATCHER", "state_dir": "NODESET_HOME"}


def _show(value: object) -> str:
    text = repr(_FURL.sub("pb://…", value) if isinstance(value, str) else value)
    # Cut inside the quotes, so that they are closed.
    return text if len(text) <= 60 else f"{text[:56]}...{text[0] if text[0] in _QUOTES else ''}"


def _readText(value: object) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise BadSettings(f"{_show(value)} is no text that can be used: give one that is not empty and printable")


def _readOptionalText(value: object) -> str | None:
    return None if value is None else _readText(value)


def _readUrl(value: object) -> str:
    # What it holds is judged where it is used (rendezvous), which knows how to speak of it without its secret.
    if isinstance(value, str):
        return value
    raise BadSettings(f"a {type(value).__name__} is no address: give a FURL, a file or {DEFAULT_URL}")


def _readLabel(value: object) -> str:
    try:
        return checkPart(value if isinstance(value, str) else repr(value), "the name")
    except InvalidAddressing:
        why = "no space, '/' or '@', nothing unprintable, at most 255 bytes"
        raise BadSettings(f"{_show(value)} cannot be part of an address: {why}") from None


def _readOptionalLabel(value: object) -> str | None:
    return None if value is None else _readLabel(value)


def _readFlag(value: object) -> bool:
    word = str(value).strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise BadSettings(f"{_show(value)} is neither yes nor no: write 1 or 0")


def _readSeconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) else math.nan
    except ValueError:
        seconds = math.nan
    if 0 < seconds <= _LONGEST:
        return seconds
    raise BadSettings(f"{_show(value)} is no time: give seconds, more than 0, at most {_LONGEST:.0f}")


def _readCount(value: object, most: int) -> int:
    text = str(value).strip()
    if text.isascii() and text.isdigit() and len(text) <= 12 and 1 <= int(text) <= most:
        return int(text)
    raise BadSettings(f"{_show(value)} is no number that is allowed here: give one from 1 to {most}")


def _readBytes(value: object) -> int:
    return _readCount(value, MAX_EVENT)


def _readNodes(value: object) -> int:
    return _readCount(value, 10_000_000)


def _readWord(value: object, words: tuple[str, ...]) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in words:
        return word
    raise BadSettings(f"{_show(value)} is not one of {', '.join(words)}")


def _readLevel(value: object) -> str:
    return _readWord(value, LOG_LEVELS)


def _readGc(value: object) -> str:
    return _readWord(value, _GC)


def _readInterval(value: object) -> float:
    seconds = _readSeconds(value)
    if seconds < _OFTENEST:
        raise BadSettings(f"{_show(value)} is too often: give {_OFTENEST:g} seconds or more")
    return seconds


def _readLabels(value: object) -> int:
    return _readCount(value, _MOST_LABELS)


def _readOptionalPlace(value: object) -> str | None:
    if value is None:
        return None
    text = str(value).strip()
    host, colon, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if is_port and (host or not colon) and text.isprintable() and len(text) <= 300:
        return f"{host or LOCALHOST}:{int(port)}"
    raise BadSettings(f"{_show(value)} is no place to listen: give a port, or host:port, such as {LOCALHOST}:9464")


def _readList(value: object) -> tuple[str, ...]:
    parts: Iterable[Any] = value.split(",") if isinstance(value, str) else value if isinstance(value, Iterable) else ()
    read = tuple(part.strip() if isinstance(part, str) else part for part in parts)
    if (read or value in ((), [])) and all(isinstance(part, str) and part and part.isprintable() for part in read):
        return read
    raise BadSettings(f"{_show(value)} is no list: give printable parts, separated by commas")


@attrs.frozen
class Settings:
    """Everything that can be set, checked; times are in seconds, sizes in bytes. BadSettings for what cannot be.

    `given` holds the names that options gave, `environment` those that the environment gave: an option left at its default
    loses to the environment.

    >>> Settings(publish_timeout=5).publish_timeout
    5.0
    """

    #: Where the dispatcher is: a FURL, a file that holds one, or `pbu://host:port/ref` for the default file of that name.
    dispatcher_url: str = attrs.field(default=DEFAULT_URL, converter=_readUrl, repr=False)
    #: Where to listen. What it stands for while nobody gave it depends: see `listensByDefault`.
    listen: str = attrs.field(default=DEFAULT_LISTEN, converter=_readText)
    #: Where dispatchers keep keys with FURL files; None is $NODESET_HOME's or the user's own place.
    state_dir: str | None = attrs.field(default=None, converter=_readOptionalText)
    #: The file with the certificate of a node that keeps its identity; None makes a fresh one at each start.
    identity: str | None = attrs.field(default=None, converter=_readOptionalText)
    #: The host name that means this dispatcher, beside `localhost`.
    site: str = attrs.field(default=LOCALHOST, converter=_readLabel)
    #: The host name that means this node.
    host: str = attrs.field(default=LOCALHOST, converter=_readLabel)
    #: The label of a node that is made without one; None is a random one.
    name: str | None = attrs.field(default=None, converter=_readOptionalLabel)
    #: Log every event that is routed.
    verbose: bool = attrs.field(default=False, converter=_readFlag)
    #: The lowest level that is logged.
    loglevel: str = attrs.field(default="info", converter=_readLevel)
    #: How long a publish waits for its receipt.
    publish_timeout: float = attrs.field(default=60.0, converter=_readSeconds)
    #: How long a call waits for its answer.
    call_timeout: float = attrs.field(default=30.0, converter=_readSeconds)
    #: How long a handler may take before it counts as failed.
    handler_timeout: float = attrs.field(default=30.0, converter=_readSeconds)
    #: How long a stopping service waits for what is under way.
    drain_timeout: float = attrs.field(default=10.0, converter=_readSeconds)
    #: The largest event that the dispatcher takes, encoded.
    max_message: int = attrs.field(default=MAX_EVENT, converter=_readBytes)
    #: How many nodes the dispatcher takes at a time.
    max_nodes: int = attrs.field(default=100_000, converter=_readNodes)
    #: Where others reach the dispatcher, `tcp:host:port` each; empty is what can be told from `listen`.
    advertise: tuple[str, ...] = attrs.field(default=(), converter=_readList)
    #: More files that the dispatcher writes its member FURL to.
    furlfile: tuple[str, ...] = attrs.field(default=(), converter=_readList)
    #: `tuned` for services, or Python's `default`.
    gc: str = attrs.field(default="tuned", converter=_readGc)
    #: How often a monitor looks.
    interval: float = attrs.field(default=5.0, converter=_readInterval)
    #: Where a monitor shows its metrics to Prometheus, `host:port`; None is nowhere.
    metrics: str | None = attrs.field(default=None, converter=_readOptionalPlace)
    #: Labels of nodes that have metrics of their own; those of all others are summed.
    max_labels: int = attrs.field(default=50, converter=_readLabels)
    #: Accepted as it was in the original, which did nothing with it.
    rrdsrv: str | None = attrs.field(default=None, converter=_readOptionalText)
    #: Where a shell in this process is to be had: port, `host:port`, `unix`, `unix:PATH`, separated by commas; None: nowhere.
    manhole: str | None = attrs.field(default=None, converter=_readOptionalText)
    #: The file with the public keys that open the shell; None is `shell_keys` in the state directory.
    authorized_keys: str | None = attrs.field(default=None, converter=_readOptionalText)
    given: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()

    def listensByDefault(self) -> bool:
        """Whether nobody said where to listen: a dispatcher then takes its own default, `nodeset-node` any free port if
        `listen` is taken, a node that a program makes the port that the program gave.
        """
        return "listen" not in self.given and "listen" not in self.environment


_NAMES = tuple(name for name in attrs.fields_dict(Settings) if name not in ("given", "environment"))


def environmentName(name: str) -> str:
    """The variable of this setting, such as `NODESET_LOGLEVEL`."""
    return _VARIABLES.get(name, f"NODESET_{name.upper()}")


def _read(name: str, value: object, origin: str) -> Any:
    convert: Any = attrs.fields_dict(Settings)[name].converter
    try:
        return convert(value)
    except BadSettings as error:
        raise BadSettings(f"{origin}: {error}") from None


def load(environ: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """The settings of this environment with these options, whose names may have dashes; None is an option not given.

    Variables that nobody knows, or that are empty, are ignored. BadSettings names the variable or the option.

    >>> load({"NODESET_LOGLEVEL": "warn"}, {"drain-timeout": "3"}).loglevel
    'warn'
    """
    values: dict[str, Any] = {}
    for name in _NAMES:
        if value := environ.get(environmentName(name)):
            values[name] = _read(name, value, f"${environmentName(name)}")
    environment = frozenset(values)
    given = set()
    for option, value in options.items():
        name = option.replace("-", "_")
        if name not in _NAMES:
            raise BadSettings(f"there is no setting {_show(option)}: it is one of {', '.join(_NAMES)}")
        if value is not None:
            values[name] = _read(name, value, f"--{name.replace('_', '-')}")
            given.add(name)
    return Settings(**values, given=frozenset(given), environment=environment)


class _Process:
    settings: Settings | None = None


def current() -> Settings:
    """The settings of this process: what `use` was given, else the defaults with the environment of the first look."""
    if _Process.settings is None:
        _Process.settings = load(os.environ, {})
    return _Process.settings


def use(settings: Settings | None) -> None:
    """Make these the settings of this process, for all that is made from now on; None forgets them."""
    _Process.settings = settings
