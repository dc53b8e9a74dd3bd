"""The keys of a program in a program file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from nodeset.processes.program import Program
from nodeset.processes.programs import readers as read
from nodeset.settings.readers import readText

__all__ = ["KEYS", "Key", "defaultWords"]


@attrs.frozen
class Key:
    """What there is to know of a key; its field of `Program` has its name.

    :ivar help: what it does, without its default.
    :ivar restarts: whether a program that runs must be started anew to have it changed.
    :ivar default: in words, where the field's default does not say enough.
    """

    help: str
    read: Callable[[object], Any]
    restarts: bool = False
    default: str = ""


KEYS: Final[Mapping[str, Key]] = {
    "command": Key(
        "What to run: a list of words, or a text that is split into words as a shell does, without being run by one",
        read.readCommand,
        restarts=True,
        default="must be given",
    ),
    "executable": Key("What is run if it is not the first word of `command`", readText, restarts=True, default="that word"),
    "cwd": Key(
        "The directory to run in, relative to that of the file", readText, restarts=True, default="that of the supervisor"
    ),
    "env": Key(
        "Variables for its environment: a table of texts, added to that of the supervisor",
        read.readEnv,
        restarts=True,
        default="none",
    ),
    "clear_env": Key("Whether it gets `env` alone, nothing of the supervisor's environment", read.readFlag, restarts=True),
    "user": Key("As whom to run, by name or number; only root can", read.readOwner, restarts=True, default="as the supervisor"),
    "group": Key("The group to run in, by name or number", read.readOwner, restarts=True, default="that of `user`"),
    "umask": Key(
        "Which permissions its new files lack, as octal digits in quotes",
        read.readUmask,
        restarts=True,
        default="that of the supervisor",
    ),
    "numprocs": Key(
        "How many to run, as NAME-1, NAME-2 if there are more; `{number}` in a text is then the number of each",
        read.counts(1, 1000),
    ),
    "autostart": Key("Whether it is started with the supervisor", read.readFlag),
    "restart": Key(
        "When it is started again after it ended by itself: `never`, `on-failure`, `always`",
        read.words("never", "on-failure", "always"),
    ),
    "exit_codes": Key("The exit codes that are no failure", read.readCodes),
    "start_seconds": Key("How long it must be up to count as RUNNING", read.seconds(0)),
    "start_timeout": Key("How long it may take until `ready` shows; then it is stopped, which is a failure", read.seconds(0.1)),
    "retries": Key("How many more starts, one after the other, may fail before it is FATAL", read.counts(0, 1_000_000)),
    "backoff": Key("The first pause before it is started again; each further one is twice as long", read.seconds(0.1)),
    "backoff_max": Key("The longest pause; a run as long as this begins the pauses anew", read.seconds(0.1)),
    "backoff_jitter": Key("By which share a pause may be shorter, at random, lest all come back at once", read.readShare),
    "crash_limit": Key("So many failures within `crash_window` make it FATAL; 0 is no limit", read.counts(0, 1000)),
    "crash_window": Key("See `crash_limit`", read.seconds(1)),
    "stop_signal": Key("What asks it to stop, by name or number; what then remains of its group gets it too", read.readSignal),
    "stop_timeout": Key("So long after `stop_signal` all of its group is killed", read.seconds(0)),
    "on_supervisor_death": Key(
        "What becomes of it if the supervisor is killed: `kill`, `keep`", read.words("kill", "keep"), restarts=True
    ),
    "depends_on": Key(
        "Programs that must be there before it is started: names, or a table of names with how far each must have come, "
        "`started`, `ready` or `completed`",
        read.readDependencies,
        default="none",
    ),
    "ready": Key("What shows that it is ready, see below", read.readReady, default="`start_seconds` alone"),
    "alive": Key("What shows that it is still well, see below; else it is stopped, then restarted", read.readAlive),
    "nofile": Key("How many files it may have open", read.counts(3, 1 << 30), restarts=True, default="as the supervisor"),
    "memory": Key("The most memory each of its processes may map", read.sizes(1 << 20), restarts=True, default="no limit"),
    "output": Key(
        "When it writes faster than the bus takes: `slow` makes it wait, for `stall_timeout` at most; then, or with `drop` at "
        "once, output is dropped, with a mark where",
        read.words("slow", "drop"),
    ),
    "buffer_bytes": Key("How much of its output may wait for the bus", read.sizes(64 << 10, 1 << 30)),
    "stall_timeout": Key("See `output`", read.seconds(0, 3600)),
    "log": Key("A file for what it writes, relative to the directory of the file", readText),
    "log_bytes": Key("How large that may become before it is rotated", read.sizes(4 << 10)),
    "log_files": Key("How many older ones are kept", read.counts(0, 1000)),
    "stats_interval": Key("How often its figures are told, 0 for never", read.seconds(0)),
}


def defaultWords(name: str) -> str:
    """The default of a key, in words."""
    default, key = attrs.fields_dict(Program)[name].default, KEYS[name]
    if key.default or default is None:
        return key.default or "none"
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, (int, float)):
        is_size = name.endswith("_bytes")
        return f"`{read.sizeWords(default)}`" if is_size and isinstance(default, int) else f"`{default:g}`"
    return f"`{list(default)}`" if isinstance(default, tuple) else f"`{default}`"
