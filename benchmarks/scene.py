"""One run: a system at one work, from nothing to nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from typing import Any, Final

import msgspec

from benchmarks.children import Child, Children, RunFailed
from benchmarks.chunks import CHUNK
from benchmarks.measure import Usage
from benchmarks.peers import CROSSBAR, Place, describePlace, findPeer
from benchmarks.work import Work, drawSizes

__all__ = ["Run", "play"]

#: Seconds for a worker to connect; for all events to arrive; between the last event and the look at what came twice.
CONNECT: Final = 60.0
PATIENCE: Final = 60.0
LINGER: Final = 0.1
#: Seconds that a subscriber stands still.
STALL: Final = 4.0

ROLES: Final = ("publisher", "broker", "subscriber")


class Run(msgspec.Struct):
    """What came of a run: `value` in the unit of its work, `wrong` empty if every event came once, in order, confirmed.

    `cpu` is microseconds for each event published, `peak` MiB, both of publisher, broker, subscriber.
    """

    system: str
    work: str
    value: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    cpu: dict[str, float] = msgspec.field(default_factory=dict)
    peak: dict[str, float] = msgspec.field(default_factory=dict)
    wrong: str = ""


async def play(system: str, name: str, work: Work, tuned: bool) -> Run:
    """Start the system, let it do the work called `name`, end it. What fails is told in the run."""
    run = Run(system, name)
    with tempfile.TemporaryDirectory(prefix="nodeset-bench-") as directory:
        place = _findPlace(system, directory)
        try:
            async with Children(place) as children:
                await Scene(system, work, place, tuned, children).play(run)
        except RunFailed as error:
            run.wrong = str(error).replace(directory, "")
    return run


def _findPlace(system: str, directory: str) -> Place:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        port, other_port = (int(each.getsockname()[1]) for each in sockets)
    python = str(CROSSBAR / "bin" / "python") if system == "crossbar" else sys.executable
    return Place(directory, port, other_port, python)


class Scene:
    """The three processes of a run."""

    def __init__(self, system: str, work: Work, place: Place, tuned: bool, children: Children) -> None:
        self._system, self._work, self._place, self._tuned = system, work, place, tuned
        self._children = children

    async def play(self, run: Run) -> None:
        """Do the work, write down what came of it."""
        server = findPeer(self._system, self._work.kind).server(self._place)
        broker = await self._children.serve(server) if server.commands else None
        if self._work.kind == "hold":
            assert broker is not None
            await self._weighIdle(run, broker)
            return
        subscriber = await self._worker("subscriber")
        await subscriber.hear("ready", CONNECT)
        publisher = await self._worker("publisher")
        await publisher.hear("ready", CONNECT)
        found = zip(ROLES, (publisher, broker, subscriber), strict=True)
        cast = {role: child for role, child in found if child is not None}
        before = {role: child.usage for role, child in cast.items()}
        if self._work.kind == "stall":
            subscriber.send(signal.SIGSTOP)
        publisher.tell("go")
        if self._work.kind == "stall":
            await asyncio.sleep(STALL)
            run.value = cast["broker"].usage.peak - before["broker"].resident
            subscriber.send(signal.SIGCONT)
        # A caller that has all its answers needs no word of who gave them, one that has not will never hear it.
        if self._work.kind != "call":
            await subscriber.hear("full", PATIENCE)
        sent = await publisher.hear("done", PATIENCE)
        after = {role: child.usage for role, child in cast.items()}
        await asyncio.sleep(LINGER)
        subscriber.tell("end")
        tallies = await subscriber.hear("tally", PATIENCE)
        self._weigh(run, before, after)
        self._judge(run, sent, tallies)

    async def _worker(self, role: str) -> Child:
        words = [msgspec.json.encode(self._work).decode(), "tuned" if self._tuned else "plain"]
        command = [self._place.python, "-m", "benchmarks.worker", role, self._system, describePlace(self._place), *words]
        return await self._children.spawn(role, command)

    def _weigh(self, run: Run, before: dict[str, Usage], after: dict[str, Usage]) -> None:
        for role, new in after.items():
            run.cpu[role] = (new.cpu - before[role].cpu) / self._work.count * 1e6
            run.peak[role] = new.peak

    def _judge(self, run: Run, sent: dict[str, Any], tallies: list[dict[str, Any]]) -> None:
        work = self._work
        seconds = max(tally["last"] for tally in tallies) - sent["start"]
        complaints = [tally["wrong"] for tally in tallies if tally["wrong"]]
        if sent["wrong"]:
            complaints.append(f"publisher: {sent['wrong']}")
        if sent["confirmed"] not in (None, work.count):
            complaints.append(f"{sent['confirmed']} of {work.count} were {'answered' if work.kind == 'call' else 'confirmed'}")
        run.wrong = "; ".join(complaints)
        if work.kind == "call":
            # From the first request to the last answer, at the caller.
            run.value = work.count / (sent["end"] - sent["start"])
            run.p50, run.p99 = sent["p50"], sent["p99"]
        elif work.kind == "stream":
            run.value = work.count * CHUNK / seconds / 1e6
        elif work.kind == "mixed":
            run.value = sum(drawSizes(work.count)) / seconds / 1e6
        elif work.kind == "paced":
            run.p50, run.p99 = tallies[0]["p50"], tallies[0]["p99"]
            run.value = run.p50
        elif work.kind != "stall":
            run.value = work.count * len(tallies) / seconds

    async def _weighIdle(self, run: Run, broker: Child) -> None:
        """KiB of the broker for each of `count` idle nodes, beyond the first few, which also warm it up."""
        holder = await self._worker("holder")
        await holder.hear("ready", CONNECT)
        await asyncio.sleep(1.0)
        before = broker.usage
        holder.tell("go")
        await holder.hear("done", PATIENCE)
        await asyncio.sleep(1.0)
        after = broker.usage
        run.value = (after.resident - before.resident) * 1024 / self._work.count
        run.cpu["broker"] = (after.cpu - before.cpu) / self._work.count * 1e6
        run.peak["broker"] = after.peak
