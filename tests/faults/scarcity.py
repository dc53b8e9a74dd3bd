"""Scenarios in which something runs out: file descriptors, the disk."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.processes import Child, Stage, freePort
from tests.faults.scenario import Findings, NotHere, scenario
from tests.faults.tally import tally

__all__ = ["fewDescriptors", "fullDisk"]


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


@contextlib.contextmanager
def _strangers(dispatcher: Child, port: int, count: int) -> Iterator[int]:
    """So many connections that say nothing, more of them while descriptors are left; yields how many there were."""
    table = Path(f"/proc/{dispatcher.pid}/fd")
    with contextlib.ExitStack() as stack:
        made = 0
        while made < count or (len(list(table.iterdir())) < 250 and made < 3 * count):
            one = stack.enter_context(socket.socket())
            one.settimeout(0.2)
            with contextlib.suppress(OSError):
                one.connect(("127.0.0.1", port))
            made += 1
        yield made


@scenario(
    "descriptors",
    "a dispatcher with 256 file descriptors, 400 connections of strangers, 100 events/s",
    "no exit, no busy loop (CPU <= 50 %), the nodes that are there are served, others get in <= 2 s after the strangers go",
)
def fewDescriptors(findings: Findings) -> None:
    """Strangers take all that there is."""
    with Stage() as stage:
        dispatcher = stage.dispatcher(before=_limit)
        subscriber = stage.member("subscriber", subscribe="flow.>")
        publisher = stage.member("publisher", event="flow.one")
        stage.ready(subscriber, publisher)
        publisher.order("rate 100")
        with _strangers(dispatcher, stage.port, 400):
            used = len(list(Path(f"/proc/{dispatcher.pid}/fd").iterdir()))
            findings.must(used >= 250, f"only {used} descriptors are used")
            late = stage.member("late", subscribe="flow.>")
            began, cpu, had = time.monotonic(), dispatcher.cpu, subscriber.count("g")
            stage.wait("time passes", lambda: time.monotonic() >= began + 5, 30)
            busy = (dispatcher.cpu - cpu) / (time.monotonic() - began)
            served = subscriber.count("g") - had
            stage.wait("the late one has tried", lambda: late.says("is not linked") or late.count("l"), 60)
        released = time.monotonic()
        stage.ready(late)
        entered = float(late.last("s")[0]) - released
        publisher.order("rate 0")
        stage.wait("all is answered", lambda: publisher.count("r") == publisher.count("p"))
        total = tally(publisher.answers(), subscriber.got())
        alive, lines = not dispatcher.ended, dispatcher.log.read_text("utf-8").count("\n")
        links = subscriber.count("l")
    findings.measure(
        f"CPU {busy:.0%}, {served} events served in 5 s, the late one in after {entered:.1f} s, {lines} log lines, {total}"
    )
    findings.must(alive, "the dispatcher ended")
    findings.must(busy <= 0.5, f"CPU {busy:.0%}")
    findings.must(served >= 450 and links == 1, f"{served} events in 5 s, {links} links")
    findings.must(entered <= 2, f"the late one was in after {entered:.1f} s")
    findings.must(total.clean and not total.unknown, str(total))


@contextlib.contextmanager
def _smallDisk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB. NotHere where we may not mount one."""
    folder.mkdir(0o700)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=1m,mode=0700", "nodeset-faults", str(folder)]
    if mount is None or umount is None or subprocess.run(command, capture_output=True).returncode:
        raise NotHere("a small tmpfs cannot be mounted here (that takes root)")
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], capture_output=True, check=False)


def _fill(folder: Path) -> int:
    """Write until nothing more fits; returns the bytes."""
    size = 0
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        for chunk in (65_536, 4_096, 512, 1):
            try:
                while True:
                    size += ballast.write(b"x" * chunk)
            except OSError:
                pass
    return size


@scenario(
    "full disk",
    "the state and the log directory are full (a tmpfs of 1 MiB), the dispatcher is restarted by kill -9 on it as well",
    "delivery goes on, FURL and key files stay whole, lost log lines are counted; a first start there exits 1 with one line",
)
def fullDisk(findings: Findings) -> None:
    """Nothing can be written any more."""
    with Stage() as stage, _smallDisk(stage.folder / "state"):
        log = stage.state / "dispatcher.log"
        dispatcher = stage.dispatcher("--verbose", "--logfile", str(log), wait=False)
        stage.wait("the dispatcher listens", lambda: stage.furl.exists() and log.exists() and "listening on" in log.read_text())
        subscriber = stage.member("subscriber", subscribe="flow.>")
        publisher = stage.member("publisher", event="flow.one")
        stage.ready(subscriber, publisher)
        publisher.order("rate 100")
        before = {path.name: path.read_bytes() for path in stage.state.iterdir() if path.suffix in (".furl", ".key", ".pem")}
        _fill(stage.state)
        had = subscriber.count("g")
        for number in range(3):  # something to log
            stage.ready(stage.member(f"guest{number}"))
        stage.wait("events flow", lambda: subscriber.count("g") > had + 200)
        (stage.state / "ballast").unlink()
        stage.ready(stage.member("guest3"))
        counted = "lines were lost" in log.read_text("utf-8", "replace")
        _fill(stage.state)
        dispatcher.kill()
        links = subscriber.count("l")
        dispatcher = stage.dispatcher("--verbose", "--logfile", str(log), wait=False)
        stage.wait("it comes back or ends", lambda: subscriber.count("l") > links or dispatcher.ended, 20)
        restarted = not dispatcher.ended
        other = stage.spawn("other", "nodeset", "dispatcher", "-n", "--listen", f"localhost:{freePort()}")
        stage.wait("the other one ends", lambda: other.ended, 20)
        complaint = other.log.read_text("utf-8").strip().splitlines()
        whole = all((stage.state / name).read_bytes() == data for name, data in before.items() if (stage.state / name).exists())
        kept = sum((stage.state / name).exists() for name in before)
        (stage.state / "ballast").unlink()
        if not restarted:
            stage.dispatcher("--verbose", "--logfile", str(log), wait=False)
        stage.wait("it is linked", lambda: subscriber.count("l") > links)
        stage.ready(stage.member("guest9"))
        had = subscriber.count("g")
        stage.wait("events flow", lambda: subscriber.count("g") > had + 100)
        publisher.order("rate 0")
        stage.wait("all is answered", lambda: publisher.count("r") == publisher.count("p"))
        total = tally(publisher.answers(), subscriber.got())
        for child in stage.children:
            child.signal(signal.SIGKILL)
            child.process.wait()
    findings.measure(f"{total}; {kept} of {len(before)} files whole; restart there: {'works' if restarted else 'refused'}")
    findings.measure(
        f"first start there: exit {other.process.returncode}, {' / '.join(complaint).replace(str(stage.folder), '…')[:160]!r}"
    )
    findings.must(total.clean and not total.unknown, str(total))
    findings.must(whole and kept == len(before), f"{kept} of {len(before)} files, whole: {whole}")
    findings.must(counted, "no line says how many log lines were lost")
    findings.must(
        other.process.returncode == 1 and len(complaint) == 1, f"exit {other.process.returncode}, {len(complaint)} lines"
    )
