"""A child process as `subprocess.Popen` has it, with Deferreds where that one blocks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path as Folder
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed

from nodeset.errors import CannotStart
from nodeset.processes.output.stdio import Stream
from nodeset.processes.popen import arguments
from nodeset.processes.popen.arguments import Args, Path, TextMode
from nodeset.processes.popen.awaited import Awaited
from nodeset.processes.popen.plumbing import Plumbing, Where, layPipes
from nodeset.processes.popen.readend import ReadEnd
from nodeset.processes.popen.sends import Sends, sendsOf
from nodeset.processes.popen.writeend import WriteEnd
from nodeset.processes.program import Death
from nodeset.processes.starting.spawning import Order, Scope
from nodeset.processes.starting.wardens import wardenOf

if TYPE_CHECKING:
    from nodeset.core.node import Node
    from nodeset.processes.popen.telling import Report

__all__ = ["Popen"]


class Popen:
    """Start a program as `subprocess.Popen` does: the same arguments, the same errors, the same attributes and methods.

    ::

        p = Popen(["sort"], stdin=PIPE, stdout=PIPE, text=True)
        out, err = await p.communicate("b\\na\\n", timeout=5)

    What blocks there returns a Deferred here. The differences from `subprocess.Popen`:

    - `wait`, `communicate` return Deferreds, `stdin`, `stdout`, `stderr` are a `WriteEnd` and two `ReadEnd`: reading returns
      Deferreds. Writing never blocks; when more than 16 MiB wait it raises `BufferError`, which ``await stdin.drain()`` is for.
      `stdin.close` returns a Deferred too. ``async for line in p.stdout`` reads lines.
    - ``async with`` instead of ``with``.
    - `poll` says what the reactor has heard: a loop that never lets it run waits for ever.
    - Only the constructor blocks, until the program runs or cannot: milliseconds, some dozens for the first of a process, which
      starts the guardian. That one is the parent of all children: `os.waitpid` does not know them, their ppid is its pid.
    - What this program has by `os.setrlimit`, `os.nice` or signals it ignores is inherited as it was when the guardian began;
      directory, environment, umask are those of the moment.
    - `on_supervisor_death`: ``"kill"``, as everywhere in NodeSet, ends the child, and all that it started, when this program
      ends, however it does; ``"keep"`` lets it live on, as `subprocess` would.
    - `preexec_fn` is refused with `ValueError`, for there is no fork of this program in which to run it; `startupinfo`,
      `creationflags` are as on all of POSIX. `bufsize` is checked, and changes nothing: what is written goes at once.
    - `node` publishes what becomes of the child as the events ``process.IDENTITY.start``, ``out``, ``err``, ``state``,
      ``return``, ``signal``, with all that comes through a pipe; a stream that goes to ``DEVNULL`` is read for them too, one
      that the child inherits or that goes to a file is not seen. `identity` is one part of a name, a random one by default.
      The original's names for it are `nrv_identity`, `nrv_send_out`, `nrv_send_err`, `nrv_send_all`, `nrv_linger` (seconds in
      which the last events may be taken, 1 by default).
    - `reactor` is what to run under, the global reactor by default; it must have `IReactorFDSet`, as all on Linux do.
    """

    def __init__(
        self,
        args: Args,
        bufsize: int = -1,
        executable: Path | None = None,
        stdin: Where = None,
        stdout: Where = None,
        stderr: Where = None,
        preexec_fn: None = None,
        close_fds: bool = True,
        shell: bool = False,
        cwd: Path | None = None,
        env: Mapping[Any, Any] | None = None,
        universal_newlines: bool | None = None,
        startupinfo: None = None,
        creationflags: int = 0,
        restore_signals: bool = True,
        start_new_session: bool = False,
        pass_fds: Iterable[int] = (),
        *,
        user: str | int | None = None,
        group: str | int | None = None,
        extra_groups: Iterable[str | int] | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        umask: int = -1,
        pipesize: int = -1,
        process_group: int | None = None,
        node: Node | None = None,
        identity: str | None = None,
        on_supervisor_death: Death = "kill",
        reactor: Any = None,
        **seed: Any,
    ) -> None:
        _refuse(preexec_fn, startupinfo, creationflags, restore_signals)
        for name, number in (("bufsize", bufsize), ("pipesize", pipesize), ("umask", umask)):
            if number is not None and not isinstance(number, int):
                raise TypeError(f"{name} must be an integer")
        if on_supervisor_death not in ("kill", "keep"):
            raise ValueError(f"on_supervisor_death is 'kill' or 'keep', not {on_supervisor_death!r}")
        self.args = args
        self.stdin: WriteEnd | None = None
        self.stdout: ReadEnd | None = None
        self.stderr: ReadEnd | None = None
        #: None until it ended, then its exit code, or the number of the signal that ended it, negative.
        self.returncode: int | None = None
        self._text = TextMode.of(universal_newlines, text, encoding, errors)
        self.encoding = self._text.encoding if self._text else None
        self.errors = errors
        argv, program = arguments.argvOf(args, executable, shell)
        order = Order(
            argv=argv,
            executable=program,
            cwd=_directory(cwd),
            env=arguments.environmentOf(env),
            user=arguments.uidOf(user),
            group=arguments.gidOf(group),
            extra_groups=arguments.gidsOf(extra_groups),
            umask=umask if umask is not None and umask >= 0 else _umask(),
            scope=_scope(start_new_session, process_group),
            kill=on_supervisor_death == "kill",
            pass_fds=arguments.inheritedFiles(close_fds, pass_fds),
        )
        sends = sendsOf(node, identity, seed)
        unread = (False, sends.out and stdout == subprocess.DEVNULL, sends.err and stderr == subprocess.DEVNULL)
        self._reactor, warden = wardenOf(reactor)
        self._report = _reportOn(node, sends, argv)
        plumbing = layPipes((stdin, stdout, stderr), -1 if pipesize is None else pipesize, unread)
        try:
            self._child = warden.spawnNow(order, plumbing.child)
        except CannotStart as error:
            plumbing.abandon()
            raise _asOSError(error, program, cwd) from None
        except BaseException:
            plumbing.abandon()
            raise
        plumbing.spawned()
        #: Its process id.
        self.pid: int = self._child.pid
        if self._report is not None:
            self._report.started(self.pid)
        self._connect(plumbing, sends, unread)
        self._end: Awaited[int] = Awaited(self._reactor)
        self._talk: Awaited[tuple[Any, Any]] | None = None
        self._child.onEnded(self._ended)

    def __repr__(self) -> str:
        shown = f"<{type(self).__name__}: returncode: {self.returncode} args: {self.args!r}>"
        return shown if len(shown) <= 80 else f"{shown[:76]}...>"

    @property
    def text_mode(self) -> bool:
        """Whether what is read and written is text."""
        return self._text is not None

    universal_newlines = text_mode

    # Its end

    def poll(self) -> int | None:
        """The `returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> Deferred[int]:
        """Fires with the `returncode` at the end; fails with `subprocess.TimeoutExpired` after `timeout` seconds."""
        return self._end.wait(timeout, lambda: subprocess.TimeoutExpired(self.args, timeout or 0))

    def communicate(self, input: Any = None, timeout: float | None = None) -> Deferred[tuple[Any, Any]]:
        """Write `input`, read all of stdout, stderr, at once, wait for the end.

        Fires with what was read of the two, each None where there is no pipe; a child that does not read its input is no error.
        Fails with `subprocess.TimeoutExpired` after `timeout` seconds, which has what was read so far; the child runs on,
        nothing is lost: call this again, without input, as after `kill`. Raises `ValueError` for input then, or without a pipe.
        """
        if self._talk is None:
            if input and self.stdin is None:
                raise ValueError("input, but stdin is no pipe: pass stdin=PIPE")
            self._talk = Awaited(self._reactor)
            Deferred.fromCoroutine(self._converse(input)).addBoth(self._talk.fire)
        elif input:
            raise ValueError("Cannot send input after starting communication")

        def late() -> subprocess.TimeoutExpired:
            so_far = [None if end is None else end.partial() for end in (self.stdout, self.stderr)]
            return subprocess.TimeoutExpired(self.args, timeout or 0, *so_far)

        return self._talk.wait(timeout, late)

    async def _converse(self, given: Any) -> tuple[Any, Any]:
        reads = [succeed(None) if end is None else end.read() for end in (self.stdout, self.stderr)]
        written: Deferred[None] = succeed(None)
        if self.stdin is not None:
            try:
                if given:
                    self.stdin.write(given)
            except BrokenPipeError:
                pass  # As with subprocess: it may end before it has read all.
            finally:
                written = self.stdin.close().addErrback(lambda why: why.trap(BrokenPipeError) and None)
        try:
            out, err, _ = await gatherResults([*reads, written], consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        for end in (self.stdout, self.stderr):
            if end is not None:
                end.close()
        await self.wait()
        return out, err

    # Signals

    def send_signal(self, sig: int) -> None:
        """Send it this signal, unless it ended. `OSError` for what is no signal."""
        number = int(sig)
        if not 0 <= number < signal.NSIG:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if self.returncode is None:
            self._child.signal(number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    # async with

    async def __aenter__(self) -> Popen:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its pipes, wait for its end."""
        for end in (self.stdout, self.stderr):
            if end is not None:
                end.close()
        try:
            if self.stdin is not None:
                await self.stdin.close()
        finally:
            await self.wait()

    # How it is done

    def _connect(self, plumbing: Plumbing, sends: Sends, unread: tuple[bool, bool, bool]) -> None:
        stdin, stdout, stderr = plumbing.ours
        if stdin is not None:
            self.stdin = WriteEnd(self._reactor, stdin, self._text.encoder() if self._text else None)
        if stdout is not None:
            self.stdout = self._readEnd(stdout, "out", sends.out, unread[1])
        if stderr is not None:
            self.stderr = self._readEnd(stderr, "err", sends.err, unread[2])

    def _readEnd(self, fd: int, stream: Stream, sends: bool, unread: bool) -> ReadEnd | None:
        decoder = self._text.decoder() if self._text else None
        end = ReadEnd(self._reactor, fd, decoder)
        if self._report is not None and sends:
            self._report.follow(stream, end, unread)
        # What goes nowhere but to the bus is none of the caller's.
        return None if unread else end

    def _ended(self, code: int) -> None:
        self.returncode = code
        if self._report is not None:
            self._report.ended(code)
        self._end.fire(code)


def _reportOn(node: Node | None, sends: Sends, argv: tuple[str, ...]) -> Report | None:
    if node is None:
        return None
    from nodeset.processes.popen.telling import Report  # Whoever has no node need not load all that one stands on.

    return Report(node, sends, argv)


def _refuse(preexec_fn: object, startupinfo: object, creationflags: int, restore_signals: bool) -> None:
    if preexec_fn is not None:
        raise ValueError(
            "preexec_fn is not supported: the guardian starts the child, so there is no fork of this program to run it in"
        )
    if startupinfo is not None:
        raise ValueError("startupinfo is only supported on Windows platforms")
    if creationflags:
        raise ValueError("creationflags is only supported on Windows platforms")
    if not restore_signals:
        raise ValueError(
            "restore_signals=False is not supported: the guardian starts the child, which ignores no signal that we do"
        )


def _directory(cwd: Path | None) -> str:
    """Where the child shall begin: never the guardian's own directory, which is that of when it began."""
    try:
        here = Folder.cwd()
    except FileNotFoundError:
        here = Folder(f"/proc/{os.getpid()}/cwd")  # It was deleted under us, which a child would not mind either.
    return str(here if cwd is None else here / os.fsdecode(cwd))


def _umask() -> int:
    """Ours, as it is now; there is no way to ask for it that does not change it, but this."""
    with Folder("/proc/self/status").open(encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1], 8) for line in status if line.startswith("Umask:")), 0o022)


def _scope(start_new_session: bool, process_group: int | None) -> Scope:
    if start_new_session:
        return "session"
    if process_group is None or process_group < 0:
        return "shared"
    if process_group == 0:
        return "group"
    raise ValueError(
        f"process_group={process_group} is not supported: 0 gives the child a group of its own, None leaves it in ours"
    )


def _asOSError(error: CannotStart, program: str, cwd: Path | None) -> Exception:
    """As subprocess would say it: the class is that of the errno."""
    if not error.errno:
        return subprocess.SubprocessError(str(error))
    return OSError(error.errno, os.strerror(error.errno), cwd if error.at == "cwd" else program)
