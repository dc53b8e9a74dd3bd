"""What this machine lacks to run a program."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from nodeset.processes.program import Program

__all__ = ["doubtOf", "lacksOf"]

_ALL, _GROUP = 0o002, 0o020


def lacksOf(program: Program) -> list[str]:
    """Each in one line; empty if it can be started as far as a look can tell. Nothing is started, nothing is changed."""
    return [lack for lack in (_directory(program), _command(program), _owner(program), _log(program)) if lack]


def _directory(program: Program) -> str:
    return "" if program.cwd is None or Path(program.cwd).is_dir() else f"there is no directory {program.cwd!r:.200}"


def _command(program: Program) -> str:
    name = program.executable or program.command[0]
    path = program.env.get("PATH", os.defpath if program.clear_env else os.environ.get("PATH", os.defpath))
    if "/" not in name:
        return "" if shutil.which(name, path=path) else f"{name!r:.200} was not found: no directory in PATH has it"
    found = Path(program.cwd or ".") / name
    if not found.is_file():
        return f"there is no file {str(found)!r:.200}"
    return "" if os.access(found, os.X_OK) else f"{str(found)!r:.200} is not executable: chmod +x"


def _owner(program: Program) -> str:
    if os.geteuid() == 0 or (program.user is None and program.group is None):
        return ""
    who = f"user {program.user!r}" if program.user is not None else f"group {program.group!r}"
    return f"only root can run it as {who}"


def _log(program: Program) -> str:
    if program.log is None:
        return ""
    log = Path(program.log)
    there = log if log.exists() else log.parent
    if not there.exists():
        return f"there is no directory {str(there)!r:.200} for its log"
    if there.is_dir() and there is log:
        return f"its log {program.log!r:.200} is a directory"
    return "" if os.access(there, os.W_OK) else f"its log {program.log!r:.200} cannot be written"


def doubtOf(path: str) -> str:
    """Who else may say what is run, since a program file is his, or he may write to it or to its directory; empty if nobody."""
    us = os.geteuid()
    # Of root a group is somebody else; a user's own often has that user alone.
    others = _ALL | (0 if us else _GROUP)
    for each, is_file in ((Path(path), True), (Path(path).absolute().parent, False)):
        try:
            found = each.stat()
        except OSError:
            continue
        what = path if is_file else f"the directory of {path}"
        if found.st_uid not in (0, us):
            return f"{what} belongs to user {found.st_uid}, who decides what is run as user {us}"
        if found.st_mode & others and (is_file or not found.st_mode & stat.S_ISVTX):
            mode = stat.S_IMODE(found.st_mode)
            return f"{what} can be written by others (mode {mode:04o}), who decide what is run as user {us}: chmod it"
    return ""
