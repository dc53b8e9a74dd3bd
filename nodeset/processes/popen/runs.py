"""The functions of subprocess that run a program to its end."""

from __future__ import annotations

from subprocess import PIPE, STDOUT, CalledProcessError, CompletedProcess
from typing import Any

from twisted.internet.defer import Deferred

from nodeset.processes.popen.process import Popen

__all__ = ["call", "check_call", "check_output", "getoutput", "getstatusoutput", "run"]


def run(
    *popenargs: Any,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **kwargs: Any,
) -> Deferred[CompletedProcess[Any]]:
    """Run a program to its end, as `subprocess.run`; all other arguments are those of `Popen`, which raises as there.

    Fires with a `subprocess.CompletedProcess`. Fails with `subprocess.CalledProcessError` for an exit code that is not 0 if
    `check`; with `subprocess.TimeoutExpired` after `timeout` seconds, when the program was killed. Cancelling kills it, too.
    """
    if input is not None:
        if kwargs.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        kwargs["stdin"] = PIPE
    if capture_output:
        if kwargs.get("stdout") is not None or kwargs.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        kwargs["stdout"] = kwargs["stderr"] = PIPE
    return Deferred.fromCoroutine(_run(Popen(*popenargs, **kwargs), input, timeout, check))


async def _run(process: Popen, given: Any, timeout: float | None, check: bool) -> CompletedProcess[Any]:
    async with process:
        try:
            out, err = await process.communicate(given, timeout=timeout)
        except BaseException:
            # Late, cancelled, or what it wrote is no text: nobody has it any more.
            process.kill()
            raise
    code = process.returncode or 0
    if check and code:
        raise CalledProcessError(code, process.args, output=out, stderr=err)
    return CompletedProcess(process.args, code, out, err)


def call(*popenargs: Any, timeout: float | None = None, **kwargs: Any) -> Deferred[int]:
    """Fires with the exit code, as `subprocess.call`; otherwise as `run`."""
    return run(*popenargs, timeout=timeout, **kwargs).addCallback(lambda done: done.returncode)


def check_call(*popenargs: Any, timeout: float | None = None, **kwargs: Any) -> Deferred[int]:
    """Fires with 0, fails with `subprocess.CalledProcessError` for any other exit code; otherwise as `run`."""
    return run(*popenargs, timeout=timeout, check=True, **kwargs).addCallback(lambda done: done.returncode)


def check_output(*popenargs: Any, timeout: float | None = None, **kwargs: Any) -> Deferred[Any]:
    """Fires with what it wrote to stdout, fails with `subprocess.CalledProcessError` as `check_call`; otherwise as `run`."""
    for name in ("stdout", "check"):
        if name in kwargs:
            raise ValueError(f"{name} argument not allowed, it will be overridden.")
    if "input" in kwargs and kwargs["input"] is None:
        # As there: no input is empty input, not that of this program.
        text = any(kwargs.get(name) for name in ("text", "universal_newlines", "encoding", "errors"))
        kwargs["input"] = "" if text else b""
    return run(*popenargs, stdout=PIPE, timeout=timeout, check=True, **kwargs).addCallback(lambda done: done.stdout)


def getstatusoutput(cmd: Any, **kwargs: Any) -> Deferred[tuple[int, str]]:
    """Fires with the exit code of a shell command, with all that it wrote, without the last newline."""

    def shorten(done: CompletedProcess[Any]) -> tuple[int, str]:
        return done.returncode, done.stdout.removesuffix("\n")

    kwargs |= {"shell": True, "text": True, "stdout": PIPE, "stderr": STDOUT}
    return run(cmd, **kwargs).addCallback(shorten)


def getoutput(cmd: Any, **kwargs: Any) -> Deferred[str]:
    """Fires with what a shell command wrote, without the last newline."""
    return getstatusoutput(cmd, **kwargs).addCallback(lambda found: found[1])
