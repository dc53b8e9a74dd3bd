"""Scenarios in which a process is killed or stopped for good."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import attrs

from tests.faults.processes import Child, Stage
from tests.faults.scenario import Findings, scenario
from tests.faults.tally import Got, Tally, tally, tallyAll

__all__ = ["killDispatcher", "killPublisher", "killTimes", "killWorkers", "restartUnderLoad"]


def _atRest(stage: Stage, children: list[Child], kind: str = "g") -> None:
    """Wait until no ledger has grown for a while."""
    state: list[object] = [None, time.monotonic()]

    def quiet() -> bool:
        counts = [child.count(kind) for child in children]
        if counts != state[0]:
            state[:] = [counts, time.monotonic()]
        return time.monotonic() - float(str(state[1])) > 0.5

    stage.wait("the ledgers are at rest", quiet)


@attrs.define
class Kills:
    """What some kills of a dispatcher led to; times are in seconds after the next one listens."""

    total: Tally = attrs.field(factory=Tally)
    linked: float = 0.0
    flowing: float = 0.0
    failed: Counter[str] = attrs.field(factory=Counter)


def killTimes(stage: Stage, times: int, burst: int, say: Callable[[str], None] = lambda line: None) -> Kills:
    """Kill a dispatcher in so many bursts, start it again each time."""
    found = Kills()
    dispatcher = stage.dispatcher()
    subscribers = [stage.member(f"subscriber{number}", subscribe="burst.>") for number in range(3)]
    publisher = stage.member("publisher", event="burst.one", size=200)
    everyone = [*subscribers, publisher]
    stage.ready(*everyone)
    for kill in range(1, times + 1):
        links = [child.count("l") for child in everyone]
        moment = subscribers[0].count("g") + random.randint(1, burst - 1)
        publisher.order(f"publish {burst}")
        stage.wait("the burst is on its way", partial(_has, [subscribers[0]], "g", [moment]))
        dispatcher.kill()
        dispatcher = stage.dispatcher()
        listening = time.monotonic()
        stage.wait("all are linked", partial(_has, everyone, "l", [had + 1 for had in links]))
        found.linked = max(found.linked, max(float(child.last("l")[0]) for child in everyone) - listening)
        stage.wait("the burst is answered", partial(_has, [publisher], "done", [kill]), 120)
        for child in subscribers:
            first = next((one.at for one in child.got() if one.at > listening), listening)
            found.flowing = max(found.flowing, first - listening)
        _atRest(stage, subscribers)
        say(f"kill {kill} of {times}")
    answers = publisher.answers()
    found.total = tallyAll(answers, [child.got() for child in subscribers])
    found.failed = Counter(answer.result or "no answer" for answer in answers if answer.result != "ok")
    return found


def _has(children: list[Child], kind: str, wanted: list[int]) -> bool:
    return all(child.count(kind) >= count for child, count in zip(children, wanted, strict=True))


def _past(moment: float) -> bool:
    return time.monotonic() >= moment


def _ended(child: Child) -> bool:
    return child.ended


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in counts.items())


@scenario(
    "kill -9 dispatcher",
    "kill -9 of the dispatcher at a random moment of a 10,000-event burst, 3 subscribers, mode all, level delivered; x50",
    "confirmed lost 0, duplicates 0, reordered 0; linked <= 2 s after the restart, events <= 4 s",
)
def killDispatcher(findings: Findings) -> None:
    """Bursts, each with a kill."""
    times, burst = findings.pick(50, 3), 10_000
    with Stage() as stage:
        found = killTimes(stage, times, burst, findings.say)
    findings.measure(f"{times} kills, {found.total}")
    findings.measure(f"linked <= {found.linked:.2f} s, events <= {found.flowing:.2f} s")
    if found.failed:
        findings.measure(f"publishes that failed: {_listed(found.failed)}")
    findings.must(found.total.clean, str(found.total))
    findings.must(found.total.ok >= 0.9 * 3 * burst * times, f"only {found.total.ok} confirmed")
    findings.must(found.linked <= 2.0, f"linked after {found.linked:.2f} s")
    findings.must(found.flowing <= 4.0, f"events after {found.flowing:.2f} s")


@scenario(
    "kill -9 subscriber",
    "kill -9 of a subscriber every 2 s, mode one, 4 workers, 60 s, levels handled, then delivered",
    "handled: confirmed lost 0; delivered: lost only what was in the killed process; twice only if its worker died; shares "
    "fair +-10 %",
)
def killWorkers(findings: Findings) -> None:
    """Workers that die, others in their places."""
    for level in ("handled", "delivered"):
        _killWorkers(findings, level)


def _killWorkers(findings: Findings, level: str) -> None:
    seconds = findings.pick(60, 8)
    with Stage() as stage:
        stage.dispatcher()
        publisher = stage.member("publisher", event="work.one", mode="one", level=level, size=100)
        workers = [_worker(stage, number) for number in range(4)]
        everyone = list(workers)
        stage.ready(publisher, *workers)
        publisher.order("rate 500")
        began = time.monotonic()
        number, kills = 4, 0
        gaps: list[tuple[float, float]] = []
        while time.monotonic() - began < seconds:
            due = began + 2.0 * (kills + 1)
            stage.wait("the next kill is due", partial(_past, due))
            victim = workers.pop(random.randrange(4))
            at = time.monotonic()
            victim.kill()
            kills += 1
            workers.append(_worker(stage, number))
            everyone.append(workers[-1])
            number += 1
            stage.ready(workers[-1])
            gaps.append((at, float(workers[-1].last("s")[0])))
        publisher.order("rate 0")
        _atRest(stage, [publisher], "r")
        stage.wait("all is answered", lambda: publisher.count("r") == publisher.count("p"), 90)
        answers = publisher.answers()
        calls = [(child, one) for child in everyone for one in child.got()]
        finished = [one for child in everyone for one in child.got("h")]
        total = tally(answers, finished if level == "handled" else [one for _child, one in calls], ordered=False)
        # At level `delivered` what was called and not finished must have been in a process that died.
        confirmed = {(one.by, one.number) for one in answers if one.confirmed}
        unfinished = confirmed - {(one.by, one.number) for one in finished}
        died = unfinished & {(one.by, one.number) for child, one in calls if child not in workers}
        # Twice only when the first one died: no two of those that live to the end finished the same.
        ends = Counter((one.by, one.number) for child in workers for one in child.got("h"))
        twice = sum(count > 1 for count in ends.values())
        unfair = _unfairness(calls, gaps, workers, began)
        shown = Counter(answer.result or "no answer" for answer in answers if answer.result != "ok")
    findings.measure(
        f"{level}: {kills} kills, {total}" + (f", {len(died)} were in a killed process" if level == "delivered" else "")
    )
    if shown:
        findings.measure(_listed(shown))
    findings.measure(f"shares within {unfair:.0%}")
    findings.must(not total.lost, f"{level}: {total}")
    findings.must(not total.stray and not shown["no answer"], f"{level}: {total}, {shown}")
    if level == "delivered":
        findings.must(died == unfinished, f"{len(unfinished - died)} were called at nobody who died, yet never finished")
    findings.must(not twice, f"{level}: {twice} events were finished twice by workers that live")
    findings.must(unfair <= 0.10, f"{level}: shares differ by {unfair:.0%}")


def _worker(stage: Stage, number: int) -> Child:
    # Half busy: what waits at a worker that is killed moves to the others, so that who counts calls would call it unfair.
    return stage.member(f"worker{number}", subscribe="work.one", delay=0.004)


def _unfairness(calls: list[tuple[Child, Got]], gaps: list[tuple[float, float]], alive: list[Child], began: float) -> float:
    """How far the share of one worker was from the mean, over all stretches of time in which the same four were there."""
    edges = [began, *(edge for gap in gaps for edge in gap)]
    sums: dict[str, float] = {}
    fair: dict[str, float] = {}
    for begin, end in zip(edges[::2], edges[1::2], strict=False):
        shares = Counter(child.name for child, one in calls if begin + 0.2 <= one.published < end - 0.2)
        for name, share in shares.items():
            sums[name] = sums.get(name, 0.0) + share
            fair[name] = fair.get(name, 0.0) + sum(shares.values()) / 4
    return max((abs(sums[name] / fair[name] - 1) for name in sums if fair[name] >= 50), default=0.0)


@scenario(
    "publisher ends",
    "the publisher is killed in a burst; a publisher exits right after publish, then stop()",
    "what was confirmed arrived, nothing twice; stop() loses nothing",
)
def killPublisher(findings: Findings) -> None:
    """Publishers that go."""
    killed = Tally()
    times = findings.pick(20, 3)
    with Stage() as stage:
        stage.dispatcher()
        subscriber = stage.member("subscriber", subscribe="burst.>")
        stage.ready(subscriber)
        victims = []
        for number in range(times):
            publisher = stage.member(f"victim{number}", event="burst.one", size=200)
            stage.ready(publisher)
            moment = subscriber.count("g") + random.randint(1, 4000)
            publisher.order("publish 5000")
            stage.wait("the burst is on its way", partial(_has, [subscriber], "g", [moment]))
            publisher.kill()
            victims.append(publisher)
        _atRest(stage, [subscriber])
        got = subscriber.got()
        for publisher in victims:
            killed += tally(publisher.answers(), [one for one in got if one.by == publisher.name])
        left, late = exitAtOnce(stage, subscriber, times)
    # Killed between the wire and its own ledger, a publisher has not written down what it sent last.
    findings.measure(f"{times} killed: {killed}")
    findings.measure(f"{times} left at once with 1,000 events each: {left}")
    findings.must(not (killed.lost or killed.duplicate or killed.reordered), f"killed: {killed}")
    findings.must(left.clean and not left.unknown, f"stop(): {left}{late}")


def exitAtOnce(stage: Stage, subscriber: Child, times: int, count: int = 1000) -> tuple[Tally, str]:
    """Publishers that stop right after they published `count` events; the tally, what they ended with if not 0."""
    left = Tally()
    codes = []
    for number in range(times):
        publisher = stage.member(f"leaver{number}", event="burst.one", size=200)
        stage.ready(publisher)
        publisher.order(f"exit {count}")
        stage.wait("it is gone", partial(_ended, publisher))
        codes.append(publisher.process.returncode)
        _atRest(stage, [subscriber])
        left += tally(publisher.answers(), [one for one in subscriber.got() if one.by == publisher.name])
    return left, "" if not any(codes) else f", exit codes {codes}"


@scenario(
    "rolling restarts",
    "20 restarts of the dispatcher by SIGTERM under load, 1,000 events/s, level delivered",
    "confirmed lost 0",
)
def restartUnderLoad(findings: Findings) -> None:
    """SIGTERM, start again, go on."""
    times = findings.pick(20, 3)
    with Stage() as stage:
        total, took, codes, failed = restartTimes(stage, times)
    findings.measure(f"{times} restarts, {total}; exit <= {took:.1f} s, codes {sorted(set(codes))}")
    if failed:
        findings.measure(_listed(failed))
    findings.must(total.clean, str(total))
    findings.must(not any(codes), f"exit codes {codes}")


def restartTimes(stage: Stage, times: int) -> tuple[Tally, float, list[int], Counter[str]]:
    """Restart `times` times under load: the tally, the slowest exit in seconds, the exit codes, what failed."""
    dispatcher = stage.dispatcher()
    subscribers = [stage.member(f"subscriber{number}", subscribe="burst.>") for number in range(2)]
    publisher = stage.member("publisher", event="burst.one", size=100)
    stage.ready(*subscribers, publisher)
    publisher.order("rate 1000")
    slowest, codes = 0.0, []
    for _ in range(times):
        stage.wait("events flow", partial(_has, subscribers, "g", [child.count("g") + 300 for child in subscribers]))
        dispatcher.signal(signal.SIGTERM)
        slowest = max(slowest, stage.wait("it is gone", partial(_ended, dispatcher)))
        codes.append(dispatcher.process.returncode)
        dispatcher = stage.dispatcher()
    stage.wait("events flow again", partial(_has, subscribers, "g", [child.count("g") + 300 for child in subscribers]))
    publisher.order("rate 0")
    _atRest(stage, [publisher], "r")
    stage.wait("all is answered", lambda: publisher.count("r") == publisher.count("p"), 90)
    _atRest(stage, subscribers)
    answers = publisher.answers()
    total = tallyAll(answers, [child.got() for child in subscribers])
    return total, slowest, codes, Counter(answer.result or "no answer" for answer in answers if answer.result != "ok")
