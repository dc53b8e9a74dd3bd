"""What a Popen takes, what it has, beside what one of subprocess does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nodeset import processes
from tests.popens import Library, PopenCase, got, refused


class RefusalTests(PopenCase):
    async def test_constructor(self) -> None:
        """What subprocess refuses we refuse: by the same class of error, with the same errno, the same file's name."""
        plain = self.folder / "plain"
        plain.write_text("no program")
        script = self.folder / "script"
        script.write_text("no shebang")
        script.chmod(0o755)
        await self.both(
            refused(["/no/such/program"]),
            refused(["no-such-program-at-all"]),
            refused([str(plain)]),
            refused([str(script)]),
            refused([str(self.folder)]),
            refused([str(plain / "below")]),
            refused(["true"], cwd=str(self.folder / "gone")),
            refused(["true"], cwd=str(plain)),
            refused(["./nothing"], cwd=str(self.folder)),
            refused(["true"], env={"PATH": "/nowhere"}),
            refused(["true", "x" * 3_000_000]),
            refused([]) if sys.version_info >= (3, 12) else refused("/no/such/program"),
        )

    async def test_arguments(self) -> None:
        """Arguments of a wrong kind are refused before anything is started."""
        await self.both(
            refused(["true"], env={"A=B": "c"}),
            refused(["true", "a\0b"]),
            refused([1]),
            refused(["true"], bufsize="x"),
            refused(["true"], pipesize="x"),
            refused(["true"], startupinfo=1),
            refused(["true"], creationflags=1),
            refused(["true"], text=True, universal_newlines=False),
            refused(["true"], encoding="no-such-code", stdout=subprocess.PIPE),
            refused(["true"], user=-1),
            refused(["true"], user="nobody-of-this-name"),
            refused(["true"], user=1.5),
            refused(["true"], group="nobody-of-this-name"),
            refused(["true"], group=-2),
            refused(["true"], extra_groups="root"),
            refused(["true"], extra_groups=[-1]),
            refused(Path("/bin/true"), shell=True),
            refused(["true"], stdin=9999),
            refused(["true"], nonsense=1),
        )

    async def test_ours(self) -> None:
        """What we cannot do is refused in one line that says why: preexec_fn above all, then what the original had."""
        for kind, kwargs, part in (
            (ValueError, {"preexec_fn": print}, "preexec_fn"),
            (ValueError, {"restore_signals": False}, "restore_signals"),
            (ValueError, {"process_group": 1}, "process_group"),
            (ValueError, {"on_supervisor_death": "die"}, "'die'"),
            (TypeError, {"nrv_endpoint": "ipc://x"}, "nrv_endpoint"),
            (TypeError, {"nrv_restart_retries": 3}, "nodeset-processes"),
            (TypeError, {"nrv_nonsense": 3}, "nrv_nonsense"),
            (TypeError, {"identity": "me"}, "node="),
            (TypeError, {"node": 3}, "node is a Node, which publishes what becomes of the child, not 3"),
            (TypeError, {"node": "boss"}, "not 'boss'"),
            (TypeError, {"nrv_send_all": True}, "node="),
            (ValueError, {"args": []}, "empty"),
        ):
            error = self.assertRaises(kind, processes.Popen, **{"args": ["true"], **kwargs})
            self.assertIn(part, str(error))
            self.assertNotIn("\n", str(error))


async def inherits(lib: Library) -> Any:
    """Directory, umask, group, ignored signals: as subprocess has them."""
    command = "pwd; umask; grep -E 'Sig(Ign|Blk)' /proc/self/status; ulimit -n; ulimit -v; tty; ls /proc/self/fd | wc -l"
    return await got(lib.check_output(command, shell=True, stdin=lib.DEVNULL))


async def groups(lib: Library) -> Any:
    found = []
    several: list[dict[str, Any]] = [{}, {"start_new_session": True}, {"process_group": 0}]
    for kwargs in several:
        stat = await got(lib.check_output(["cat", "/proc/self/stat"], **kwargs))
        pid, _, group, session = (int(stat.split()[i]) for i in (0, 3, 4, 5))
        found.append((group == os.getpgrp(), group == pid, session == os.getsid(0), session == pid))
    return found


async def umaskGiven(lib: Library) -> Any:
    return await got(lib.check_output("umask", shell=True, umask=0o27))


async def identities(lib: Library) -> Any:
    if os.geteuid():
        return None
    ids = ["sh", "-c", "id -u; id -g; id -G"]
    several: list[dict[str, Any]] = [
        {"user": 65534},
        {"user": "nobody", "group": "nogroup"},
        {"user": 65534, "group": 65534, "extra_groups": [1, 2]},
        {"extra_groups": []},
    ]
    return [await got(lib.check_output(ids, **kwargs)) for kwargs in several]


async def files(lib: Library) -> Any:
    with tempfile.TemporaryFile() as file:
        file.write(b"from a file\n")
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        code = await got(lib.call("cat >&2; echo out", shell=True, stdin=file, stdout=file.fileno(), stderr=lib.STDOUT))
        return code, os.pread(file.fileno(), 99, 0)


async def passesFiles(lib: Library) -> Any:
    reading, writing = os.pipe()
    os.write(writing, b"through\n")
    os.close(writing)
    try:
        named = await got(lib.check_output(f"cat <&{reading}", shell=True, pass_fds=(reading,)))
        closed = await got(lib.call(f"true <&{reading}", shell=True, stderr=lib.DEVNULL))
        os.set_inheritable(reading, True)
        kept = await got(lib.call(f"true <&{reading}", shell=True, close_fds=False))
        return named, closed != 0, kept
    finally:
        os.close(reading)


async def directories(lib: Library) -> Any:
    """Ours as it is now, a relative one below it, one that was deleted under us."""
    found = []
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "below").mkdir()
        (Path(name) / "below" / "here").symlink_to("/bin/sh")
        os.chdir(name)
        try:
            found.append((await got(lib.check_output("pwd"))).removeprefix(os.fsencode(name)))
            found.append((await got(lib.check_output("pwd", cwd="below"))).removeprefix(os.fsencode(name)))
            found.append(await got(lib.check_output(["./here", "-c", "echo $0"], cwd=b"below")))
            (Path(name) / "gone").mkdir()
            os.chdir("gone")
            (Path(name) / "gone").rmdir()
            found.append(await got(lib.call(["true"])))
        finally:
            os.chdir(before)
    return found


async def environment(lib: Library) -> Any:
    os.environ["NODESET_TEST_LATER"] = "set later"
    try:
        return await got(lib.check_output("echo $NODESET_TEST_LATER", shell=True))
    finally:
        del os.environ["NODESET_TEST_LATER"]


async def signals(lib: Library) -> Any:
    codes: list[Any] = []
    for name in ("terminate", "kill"):
        process = lib.Popen(["sleep", "60"])
        first = process.poll()
        getattr(process, name)()
        codes.append((first, await got(process.wait()), process.poll(), await got(process.wait(timeout=0))))
        process.kill()  # It ended: nothing happens.
    process = lib.Popen(["sh", "-c", "trap 'exit 5' USR1; echo trapped; while :; do sleep 0.02; done"], stdout=lib.PIPE)
    await got(process.stdout.readline())
    process.send_signal(signal.SIGUSR1)
    codes.append(await got(process.wait()))
    process.stdout.close()
    return codes, repr(process)


async def badSignal(lib: Library) -> Any:
    process = lib.Popen(["sleep", "60"])
    try:
        process.send_signal(999)
    finally:
        process.kill()
        await got(process.wait())


async def waitTimeout(lib: Library) -> Any:
    process = lib.Popen(["sleep", "60"])
    try:
        return await got(process.wait(timeout=0.05))
    finally:
        process.kill()
        await got(process.wait())


async def attributes(lib: Library) -> Any:
    process = lib.Popen(("true", Path("x"), b"\xff"), stdout=lib.PIPE, encoding="latin-1", errors="replace", pipesize=4096)
    found = (
        process.args,
        process.stdin,
        process.stderr,
        process.encoding,
        process.errors,
        bool(process.universal_newlines),
    )
    await got(process.communicate())
    return found, process.returncode, process.stdout.closed


class AttributeTests(PopenCase):
    async def test_surroundings(self) -> None:
        """The child finds what it would find with subprocess: directory, environment, files, groups, limits, signals."""
        await self.both(inherits, groups, umaskGiven, identities, files, passesFiles, directories, environment)

    async def test_objects(self) -> None:
        """Methods and attributes of Popen objects."""
        await self.both(signals, badSignal, waitTimeout, attributes)
