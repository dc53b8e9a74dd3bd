"""The same flood through the same dispatcher, with somebody who watches it and without."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent, readBody

from benchmarks.measure import sessionUsage
from nodeset.cli.bench.crew import Hand, hire
from nodeset.cli.bench.lodging import lodge
from nodeset.cli.bench.play import play
from nodeset.cli.bench.works import Plan

__all__ = ["Compared", "Pair", "comparePairs"]

reactor: Any = _reactor

#: Seconds between two scrapes, as an eager Prometheus has them; for the monitor to show its metrics; to end.
SCRAPE: Final = 1.0
PATIENCE: Final = 20.0


@attrs.define
class Pair:
    """Two floods: events/s, microseconds of the dispatcher's processor time an event, without a monitor, then with one.

    `monitor_cpu` is the share of a core that the monitor took, `wrong` what went wrong.
    """

    alone: float = 0.0
    watched: float = 0.0
    broker_alone: float = 0.0
    broker_watched: float = 0.0
    monitor_cpu: float = 0.0
    wrong: str = ""


@attrs.define
class Compared:
    """All pairs; besides the share of a core that the dispatcher takes without events, watched and not."""

    pairs: list[Pair] = attrs.field(factory=list)
    idle_alone: float | None = None
    idle_watched: float | None = None


class Monitor:
    """`nodeset-monitor` in a process that asks every second, not every five, and whose metrics are scraped as often."""

    def __init__(self, furl: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = int(taken.getsockname()[1])
        command = [sys.executable, "-c", "from nodeset.cli.monitor import main; main()", "-n", "--interval", "1"]
        command += ["--metrics", str(port)]
        home = Path(furl).parent / "monitor"
        home.mkdir(exist_ok=True)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("NODESET_")}
        environ |= {"NODESET_DISPATCHER": f"file:{furl}", "NODESET_HOME": str(home)}
        self.process = subprocess.Popen(
            command,
            env=environ,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._url = f"http://127.0.0.1:{port}/metrics".encode()
        self._agent = Agent(reactor, connectTimeout=5)
        self._scraping = LoopingCall(self._scrape)
        #: Scrapes that told of a dispatcher.
        self.good = 0

    async def wake(self) -> None:
        """Let it go on, have it scraped; returns when its metrics tell of the dispatcher."""
        self.process.send_signal(signal.SIGCONT)
        good, end = self.good, time.monotonic() + PATIENCE
        while self.good == good and time.monotonic() < end:
            await self._scrape()
            await deferLater(reactor, 0.1)
        self._scraping.start(SCRAPE)

    def sleep(self) -> None:
        """Stop it where it is; neither asks nor answers."""
        if self._scraping.running:
            self._scraping.stop()
        self.process.send_signal(signal.SIGSTOP)

    async def _scrape(self) -> None:
        try:
            response = await self._agent.request(b"GET", self._url)
            text = await readBody(response)
        except Exception:  # not there yet; `good` says so
            return
        self.good += response.code == 200 and b"nodeset_" in text

    async def stop(self) -> None:
        """End it."""
        if self._scraping.running:
            self._scraping.stop()
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)
        await deferToThread(self.process.wait, PATIENCE)


def comparePairs(count: int, seconds: float, idle: float) -> Compared:
    """So many pairs of floods that last so long, which of the two comes first in turn; then `idle` seconds of each without any.

    Runs the reactor.
    """
    found = Compared()
    failures: list[BaseException] = []

    def over(failure: Any) -> None:
        failures.append(failure.value)

    def begin() -> None:
        work = Deferred.fromCoroutine(_compare(found, count, seconds, idle))
        work.addErrback(over).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if failures:
        found.pairs.append(Pair(wrong=str(failures[0]) or type(failures[0]).__name__))
    return found


async def _compare(found: Compared, count: int, seconds: float, idle: float) -> None:
    broker, furl = await deferToThread(lodge)
    crew: list[Hand] = []
    plan = Plan(seconds=seconds)

    async def flood() -> tuple[float, float, str]:
        before = sessionUsage(broker.pid).cpu
        result = await play("publish", plan, crew[:1], crew[1:], lambda pause: deferLater(reactor, pause))
        spent = sessionUsage(broker.pid).cpu - before
        return result.value, spent / max(1, result.events) * 1e6, result.wrong

    async def rest() -> float:
        before = sessionUsage(broker.pid).cpu
        start = time.monotonic()
        await deferLater(reactor, idle)
        return (sessionUsage(broker.pid).cpu - before) / (time.monotonic() - start)

    async def watched(pair: Pair, monitor: Monitor) -> None:
        await monitor.wake()
        cpu, start, good = sessionUsage(monitor.process.pid).cpu, time.monotonic(), monitor.good
        pair.watched, pair.broker_watched, wrong = await flood()
        spent = sessionUsage(monitor.process.pid).cpu - cpu
        pair.monitor_cpu = spent / (time.monotonic() - start)
        scraped = "" if monitor.good > good else "the monitor's metrics could not be read"
        pair.wrong = pair.wrong or wrong or scraped

    async def alone(pair: Pair, monitor: Monitor) -> None:
        monitor.sleep()
        pair.alone, pair.broker_alone, wrong = await flood()
        pair.wrong = pair.wrong or wrong

    monitor: Monitor | None = None
    try:
        crew += await hire(reactor, f"@{furl}", 2, lambda: None)
        await flood()  # the first one warms all three up
        monitor = Monitor(furl)
        for number in range(count):
            pair = Pair()
            found.pairs.append(pair)
            for side in (alone, watched) if number % 2 == 0 else (watched, alone):
                await side(pair, monitor)
            monitor.sleep()
            ratio = pair.watched / pair.alone if pair.alone else 0.0
            print(
                f"pair {number + 1}: {pair.alone:,.0f}/s, watched {pair.watched:,.0f}/s, {ratio:.3f} {pair.wrong}", flush=True
            )
        found.idle_alone = await rest()
        await monitor.wake()
        found.idle_watched = await rest()
    finally:
        if monitor is not None:
            await monitor.stop()
        for hand in crew:
            hand.end()
        if broker.stdin is not None:
            broker.stdin.close()
        await deferToThread(broker.wait, PATIENCE)
