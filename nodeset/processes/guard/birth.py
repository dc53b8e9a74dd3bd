"""What a child does before it is the program."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import termios

from nodeset.processes.guard import usher
from nodeset.processes.guard.channel import keepOpen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

__all__ = ["become", "prctl"]

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """prctl(2). OSError if the system refuses."""
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


class Wants:
    """What a guardian gives to all its children as it found it itself."""

    __slots__ = ("boss", "dispositions", "environ", "guardian", "nofile")

    def __init__(
        self,
        guardian: int,
        boss: int,
        environ: Mapping[bytes, bytes],
        nofile: tuple[int, int],
        dispositions: Mapping[int, Any],
    ) -> None:
        #: The pids of the guardian, of its supervisor.
        self.guardian, self.boss = guardian, boss
        self.environ, self.nofile, self.dispositions = environ, nofile, dispositions


def become(order: Mapping[str, Any], files: Sequence[int], report: int, wants: Wants) -> NoReturn:
    """Become the program of this order, or say into `report` which step went wrong: `STEP ERRNO`.

    By hand, since subprocess waits in the guardian until exec is over: a directory that hangs (a dead NFS server) would hold up
    every other program; nor does it say which of its steps failed.
    """
    step, parent = "files", wants.guardian
    try:
        report = _place(order, files, report)
        step = "session"
        _join(order["scope"], wants.boss)
        if order["terminal"]:
            step = "terminal"
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if order["kill"]:
                _dieWith(parent)
            parent = usher.lead(report)
        step = "limit"
        _limit(order, wants)
        # As subprocess does, before the change of user: he may not see the whole way to where we are. Else as him: where a
        # server holds the directory that may be the only way.
        is_there = order["cwd"] is None or _enter(order["cwd"])
        step = "user"
        _change(order)
        step = "cwd"
        if not is_there:
            os.chdir(os.fsencode(order["cwd"]))
        if order["umask"] is not None:
            os.umask(order["umask"])
        step = "guardian"
        if order["kill"]:
            # After the change of user, which clears it.
            _dieWith(parent)
        for number, disposition in wants.dispositions.items():
            signal.signal(number, disposition)
        step = "command"
        _exec(order, wants)
    except KeyError:
        # pwd, grp: nobody has this name.
        os.write(report, f"{step} 0".encode())
    except OSError as e:
        os.write(report, f"{step} {e.errno or 0}".encode())
    except BaseException as e:
        # Nothing of the guardian may run on in the child.
        os.write(report, f"{step} -1 {type(e).__name__}: {e}".encode()[:500])
    finally:
        os._exit(127)


def _enter(directory: str) -> bool:
    try:
        os.chdir(os.fsencode(directory))
    except OSError:
        return False
    return True


def _dieWith(parent: int) -> None:
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)  # it died before that was set


def _place(order: Mapping[str, Any], files: Sequence[int], report: int) -> int:
    """Put the files where the program expects them; the new number of the report, out of their way."""
    numbers = [0, 1, 2, *order["pass_fds"]]
    above = max(numbers) + 1
    report = keepOpen(report, above)
    safe = [keepOpen(file, above) for file in files[: len(numbers)]]
    for file, number in zip(safe, numbers, strict=True):
        os.dup2(file, number)
    for number in order["closed"]:
        os.close(number)
    return report


def _join(scope: str, boss: int) -> None:
    if scope == "session":
        os.setsid()
    else:
        os.setpgid(0, 0 if scope == "group" else os.getpgid(boss))


def _limit(order: Mapping[str, Any], wants: Wants) -> None:
    """The guardian raised its own limit of open files; the hard one it never touched."""
    soft, hard = wants.nofile
    if order["nofile"] is not None:
        soft = order["nofile"]
        hard = hard if hard == resource.RLIM_INFINITY else max(hard, soft)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if order["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (order["memory"], order["memory"]))


def _change(order: Mapping[str, Any]) -> None:
    user, group, extra = order["user"], order["group"], order["extra_groups"]
    uid = gid = None
    name = None
    if user is not None:
        import pwd

        entry = pwd.getpwnam(user) if isinstance(user, str) else None
        if entry is not None:
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
        else:
            uid = int(user)
    if group is not None or extra is not None:
        import grp

        if group is not None:
            gid = grp.getgrnam(group).gr_gid if isinstance(group, str) else int(group)
        if extra is not None:
            os.setgroups([grp.getgrnam(each).gr_gid if isinstance(each, str) else int(each) for each in extra])
    if name is not None and extra is None and (os.geteuid() == 0 or uid != os.geteuid()):
        # As ourselves we need no rights: then all stays as it is.
        os.initgroups(name, gid if gid is not None else os.getgid())
    if gid is not None and (gid, gid) != (os.getgid(), os.getegid()):
        os.setgid(gid)
    if uid is not None and (uid, uid) != (os.getuid(), os.geteuid()):
        os.setuid(uid)


def _exec(order: Mapping[str, Any], wants: Wants) -> None:
    """As execvpe does, yet with the PATH of the program's own environment. It returns only by an OSError."""
    argv = [os.fsencode(word) for word in order["argv"]]
    env = wants.environ if order["env"] is None else {os.fsencode(k): os.fsencode(v) for k, v in order["env"].items()}
    program = argv[0] if order["executable"] is None else os.fsencode(order["executable"])
    if b"/" in program:
        os.execve(program, argv, env)  # noqa: S606 - this is the point
    worst: OSError = FileNotFoundError(2, "not found")
    for folder in env.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        try:
            os.execve(os.path.join(folder, program), argv, env)  # noqa: PTH118, S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as e:
            worst = e
    raise worst
