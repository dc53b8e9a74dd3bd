"""What the keys of a supervisord program are called here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["THEIRS", "hintFor"]

#: What to do about each key of theirs that has another name here, or none.
THEIRS: Final[Mapping[str, str]] = {
    "process_name": "leave it out, several are NAME-1, NAME-2",
    "numprocs_start": "leave it out, {number} counts from 1",
    "directory": "write cwd",
    "environment": "write env = { NAME = 'value' }",
    "priority": "write depends_on for what it needs",
    "autorestart": "write restart = 'always', 'on-failure' (their unexpected) or 'never'",
    "startsecs": "write start_seconds",
    "startretries": "write retries",
    "exitcodes": "write exit_codes",
    "stopsignal": "write stop_signal",
    "stopwaitsecs": "write stop_timeout",
    "stopasgroup": "leave it out, what is left of its group is always asked as well",
    "killasgroup": "leave it out, all of its group is always killed",
    "redirect_stderr": "leave it out, log has both",
    "stdout_logfile": "write log, which has stderr too",
    "stderr_logfile": "write log, which has both",
    "stdout_logfile_maxbytes": "write log_bytes",
    "stderr_logfile_maxbytes": "write log_bytes",
    "stdout_logfile_backups": "write log_files",
    "stderr_logfile_backups": "write log_files",
    "stdout_events_enabled": "leave it out, what it writes is always told",
    "stderr_events_enabled": "leave it out, what it writes is always told",
}


def hintFor(key: str) -> str:
    """`, which is supervisord's: write cwd`, or nothing if this key is none of theirs."""
    return f", which is supervisord's: {THEIRS[key]}" if key in THEIRS else ""
