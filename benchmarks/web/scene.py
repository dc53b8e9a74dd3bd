"""One run of a web server at one work, from nothing to nothing."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from typing import Any, Final

import msgspec

from benchmarks.children import Child, Children, RunFailed
from benchmarks.measure import Usage
from benchmarks.peers import Place
from benchmarks.scene import Run
from benchmarks.web.crowd import Spec
from benchmarks.web.probing import askRedis, awaitReady, countPublished, listNodes
from benchmarks.web.systems import SYSTEMS
from benchmarks.web.work import Job
from benchmarks.web.wrk import complain, makeScript, perSecond

__all__ = ["WebRun", "pin", "play"]

#: Seconds for a server to be ready; for a work to be done beyond the time that it is to last; for memory to settle.
READY: Final = 30.0
PATIENCE: Final = 60.0
SETTLE: Final = 1.5


class WebRun(Run):
    """A run; `note` says what else was seen, `busy` is the share of its core that the load took."""

    note: str = ""
    busy: float = 0.0


def pin(is_web: bool) -> list[str]:
    """What a command is prefixed with: the web server has a core for itself, all else the others; nothing on one core."""
    cores = sorted(os.sched_getaffinity(0))
    found = shutil.which("taskset")
    if found is None or len(cores) < 2:
        return []
    return [found, "-c", str(cores[0]) if is_web else ",".join(map(str, cores[1:]))]


def leash() -> list[str]:
    """What ends a server whose harness is killed."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "KILL", "--"] if found else []


async def play(system: str, job: Job, seconds: float) -> WebRun:
    """Start the system, let it do the work, end it. What fails is told in the run."""
    run = WebRun(system, job.name)
    with tempfile.TemporaryDirectory(prefix="nodeset-bench-") as directory:
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
            port, other_port = (int(each.getsockname()[1]) for each in sockets)
            place = Place(directory, port, other_port)
        try:
            async with Children(place) as children:
                await Scene(system, job, place, seconds, children).play(run)
        except (RunFailed, OSError) as error:
            run.wrong = str(error).replace(directory, "")
    return run


class Scene:
    """The processes of a run: broker, web server, load."""

    def __init__(self, system: str, job: Job, place: Place, seconds: float, children: Children) -> None:
        self._name, self._system, self._job, self._place = system, SYSTEMS[system], job, place
        self._seconds, self._children = seconds, children
        self._token = secrets.token_urlsafe(32)

    async def play(self, run: WebRun) -> None:
        """Do the work, write down what came of it."""
        start = self._system.start(self._place, self._token)
        environ = {**start.environ, "PATH": os.environ["PATH"]}
        cast = {}
        if start.broker:
            cast["broker"] = await self._children.spawn("broker", [*leash(), *pin(False), *start.broker], environ)
            await self._awaitPort(self._place.other_port, cast["broker"])
        self._token = self._system.readToken(start, self._token)
        cast["web"] = await self._children.spawn("web server", [*leash(), *pin(True), *start.web], environ)
        if not await awaitReady(self._place.port, self._token, READY):
            raise RunFailed(f"not ready within {READY:g} s: {cast['web'].explain()}")
        kind = self._job.order.kind
        work = {"fan": self._fan, "post": self._post, "idle": self._idle, "churn": self._churn}[kind]
        await work(run, cast)

    async def _awaitPort(self, port: int, child: Child) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + READY
        while loop.time() < end and child.alive:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
        raise RunFailed(f"no connection within {READY:g} s to {child.explain()}")

    async def _load(self) -> Child:
        spec = Spec(self._place.port, self._job.order, self._seconds, self._system.BATCHES, self._system.HEADER)
        command = [*pin(False), sys.executable, "-m", "benchmarks.web.crowd", msgspec.json.encode(spec).decode()]
        load = await self._children.spawn("load", command, {"BENCH_TOKEN": self._token})
        await self._hear(load, "ready")
        return load

    async def _hear(self, load: Child, word: str) -> dict[str, Any]:
        """What it says with this word, unless it says that something is wrong."""
        if word == "ready":
            done = asyncio.ensure_future(load.hear("done", PATIENCE))
            ready = asyncio.ensure_future(load.hear("ready", PATIENCE))
            await asyncio.wait([done, ready], return_when=asyncio.FIRST_COMPLETED)
            found: dict[str, Any] = ready.result() if ready.done() else done.result()
            done.cancel()
        else:
            found = await load.hear(word, PATIENCE + self._seconds)
        if found.get("wrong"):
            raise RunFailed(found["wrong"])
        return found

    async def _fan(self, run: WebRun, cast: dict[str, Child]) -> None:
        load = await self._load()
        cast = {**cast, "load": load}
        before = {role: child.usage for role, child in cast.items()}
        load.tell("go")
        found = await self._hear(load, "done")
        after = {role: child.usage for role, child in cast.items()}
        run.value, run.p50, run.p99, run.busy = found["value"], found["p50"], found["p99"], found["busy"]
        self._weigh(run, before, after, found["events"] * self._job.order.clients)

    def _weigh(self, run: WebRun, before: dict[str, Usage], after: dict[str, Usage], events: float) -> None:
        for role, new in after.items():
            run.cpu[role] = (new.cpu - before[role].cpu) / max(1, events) * 1e6
            run.peak[role] = new.peak

    async def _post(self, run: WebRun, cast: dict[str, Child]) -> None:
        order = self._job.order
        script = self._place.path / "publish.lua"
        script.touch(0o600)
        script.write_text(makeScript(self._token, order.batch, self._system.HEADER))
        counted = await self._count()
        before = {role: child.usage for role, child in cast.items()}
        command = [*pin(False), "wrk", "-t1", f"-c{order.clients}", f"-d{max(1, round(self._seconds))}s"]
        command += ["-s", str(script), f"http://127.0.0.1:{self._place.port}"]
        load = await self._children.spawn("wrk", command, {"PATH": os.environ["PATH"]})
        found = await load.hear("done", PATIENCE + self._seconds)
        after = {role: child.usage for role, child in cast.items()}
        await asyncio.sleep(0.2)  # what was under way
        now = await self._count()
        run.value, run.p50, run.p99 = perSecond(found, order.batch), found["p50"], found["p99"]
        events = found["requests"] * order.batch
        run.wrong = complain(found, order.batch, order.clients, None if counted is None or now is None else now - counted)
        self._weigh(run, before, after, events)

    async def _count(self) -> int | None:
        """How many events the broker has counted; None where there is none."""
        if self._name == "fastapi":
            return await askRedis(self._place.other_port)
        return await countPublished(self._place.port, self._token) if self._name == "nodeset" else None

    async def _idle(self, run: WebRun, cast: dict[str, Child]) -> None:
        load = await self._load()
        await asyncio.sleep(SETTLE)
        before = cast["web"].usage
        load.tell("go")
        await self._hear(load, "done")
        await asyncio.sleep(SETTLE)
        after = cast["web"].usage
        run.value = (after.resident - before.resident) * 1024 / self._job.order.clients
        self._weigh(run, {"web": before}, {"web": after}, self._job.order.clients)

    async def _churn(self, run: WebRun, cast: dict[str, Child]) -> None:
        load = await self._load()
        await asyncio.sleep(SETTLE)
        before, nodes = cast["web"].usage, await listNodes(self._place.port, self._token)
        load.tell("go")
        await self._hear(load, "done")
        await asyncio.sleep(SETTLE)
        after, nodes_after = cast["web"].usage, await listNodes(self._place.port, self._token)
        run.value = after.resident - before.resident
        run.note = f"{before.resident:.1f} to {after.resident:.1f} MiB"
        if nodes is not None and nodes_after is not None:
            run.note += f", {len(nodes)} nodes before, {len(nodes_after)} after"
        self._weigh(run, {"web": before}, {"web": after}, self._job.order.clients)
