"""The supervisors that are compared: how each is told the same task, how it says that all run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, Protocol

from benchmarks.supervision.task import Place, Task

__all__ = ["SYSTEMS", "System"]

#: Far beyond what is run here: no supervisor shall give up.
_FOR_EVER: Final = 1_000_000


class System(Protocol):
    """One supervisor."""

    #: How the table calls it; the distribution that pip has; the settings that are not its own defaults.
    TITLE: str
    PYTHON: str
    SETTINGS: str

    def command(self, place: Place, task: Task) -> list[str]:
        """Write its configuration into the place; say how to start it, in the foreground."""

    def saysRunning(self, said: str) -> int:
        """How many programs run by what it has printed."""


class _NodeSet:
    TITLE = "nodeset-processes"
    PYTHON = ""
    SETTINGS = "restart on-failure, crash_limit 0, retries without end, log of each program in a file of its own, not rotated"

    def command(self, place: Place, task: Task) -> list[str]:
        lines = [
            "[process.job]",
            f"command = {json.dumps(task.command)}",
            f"numprocs = {task.count}",
            f"log = {json.dumps(str(place.log('{number}') if task.count > 1 else place.log(1)))}",
            f"log_bytes = {task.log_bytes or 100 * 2**30}",
            "log_files = 1",
        ]
        lines += [f"retries = {_FOR_EVER}", "crash_limit = 0"] if task.fails else []
        lines += ["backoff_max = 1", "backoff_jitter = 0"] if task.is_hasty else []
        lines += ["stats_interval = 0"] if not task.stats else []
        path = place.path / "nodeset.toml"
        path.write_text("\n".join(lines) + "\n")
        where = ["--endpoint", place.endpoint] if place.endpoint else []
        return [str(place.python / "nodeset-processes"), "-n", *where, str(path)]

    def saysRunning(self, said: str) -> int:
        return len(set(re.findall(r"\] (job(?:-\d+)?) is RUNNING", said)))


class _Supervisord:
    TITLE = "supervisord"
    PYTHON = "supervisor"
    SETTINGS = (
        "nodaemon, minfds 8192, startsecs 1, startretries without end, log of each program in a file of its own, not rotated"
    )

    def command(self, place: Place, task: Task) -> list[str]:
        words = " ".join(f'"{word}"' if " " in word or not word else word for word in task.command)
        log = place.log("%(process_num)d") if task.count > 1 else place.log(1)
        lines = [
            "[unix_http_server]",
            f"file={place.path}/rpc.sock",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "[supervisord]",
            "nodaemon=true",
            "minfds=8192",
            f"logfile={place.path}/supervisord.log",
            "logfile_maxbytes=0",
            f"pidfile={place.path}/supervisord.pid",
            f"childlogdir={place.path}",
            "[program:job]",
            f"command={words.replace('%', '%%')}",
            f"numprocs={task.count}",
            "process_name=%(program_name)s_%(process_num)d",
            "numprocs_start=1",
            "redirect_stderr=true",
            f"stdout_logfile={log}",
            f"stdout_logfile_maxbytes={task.log_bytes}",
            "stdout_logfile_backups=1",
        ]
        lines += [f"startretries={_FOR_EVER}"] if task.fails else []
        lines += ["autorestart=true", "startsecs=0"] if task.is_hasty else []
        path = place.path / "supervisord.conf"
        path.write_text("\n".join(lines) + "\n")
        return [str(place.python / "supervisord"), "-c", str(path)]

    def saysRunning(self, said: str) -> int:
        return len(set(re.findall(r"success: (job_\d+) entered RUNNING", said)))


class _Circusd:
    TITLE = "circusd"
    PYTHON = "circus"
    SETTINGS = "no statsd, check_delay 5, max_retry -1, output by FileStream into one file (one watcher has one), not rotated"

    def command(self, place: Place, task: Task) -> list[str]:
        words = " ".join(f"'{word}'" if " " in word or not word else word for word in task.command)
        lines = [
            "[circus]",
            "statsd = False",
            f"endpoint = ipc://{place.path}/control.sock",
            f"pubsub_endpoint = ipc://{place.path}/events.sock",
            "[watcher:job]",
            f"cmd = {words}",
            f"numprocesses = {task.count}",
            "copy_env = True",
            "max_retry = -1",
            "stdout_stream.class = FileStream",
            f"stdout_stream.filename = {place.log(1)}",
            f"stdout_stream.max_bytes = {task.log_bytes}",
            "stdout_stream.backup_count = 1",
            "stderr_stream.class = FileStream",
            f"stderr_stream.filename = {place.log('stderr')}",
        ]
        path = place.path / "circus.ini"
        path.write_text("\n".join(lines) + "\n")
        return [str(place.python / "circusd"), str(path)]

    def saysRunning(self, said: str) -> int:
        # It tells of the watcher alone, when it has started its last program.
        return _FOR_EVER if re.search(r"\bjob started", said) else 0


SYSTEMS: Final[Mapping[str, System]] = {"nodeset": _NodeSet(), "supervisord": _Supervisord(), "circusd": _Circusd()}
