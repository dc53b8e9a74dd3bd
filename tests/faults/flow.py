"""Scenarios of events that wait: publish cycles, subscribers that do not read."""

from __future__ import annotations

import signal
import time
from collections import Counter
from functools import partial

from tests.faults.processes import Child, Stage, StillWaiting, freePort
from tests.faults.scenario import Findings, scenario
from tests.faults.stopping import p99
from tests.faults.tally import tally

__all__ = ["cycles", "slowReaders"]


@scenario(
    "cycles",
    "two nodes that await each other's publish at level handled; a cycle of three; 10 events, 6 hops each",
    "ends by the publish time-out (2 s here) for each, counted; no deadlock: the nodes work on",
)
def cycles(findings: Findings) -> None:
    """Handlers that publish to each other."""
    for names in ("ab", "abc"):
        with Stage() as stage:
            stage.dispatcher()
            members = [
                stage.member(
                    name, subscribe=f"to.{name}", echo=f"to.{names[(index + 1) % len(names)]}", level="handled", timeout=2.0
                )
                for index, name in enumerate(names)
            ]
            first = stage.member("first", event="to.a", level="handled", timeout=2.0, hops=6)
            last = stage.member("last", event="to.a", level="handled", timeout=2.0)
            stage.ready(*members, first, last)
            began = time.monotonic()
            first.order("publish 10")
            everyone = [first, *members]
            stage.wait("the first are answered", partial(first.count, "done"), 60)

            results: Counter[str] = Counter()

            def answered(everyone: list[Child] = everyone, results: Counter[str] = results) -> bool:
                # What was given up may still be in a queue: handled later, it is published on.
                results.clear()
                results.update(answer.result or "no answer" for child in everyone for answer in child.answers())
                return not results["no answer"]

            stage.wait("all is answered", answered, 600)
            spent = time.monotonic() - began
            last.order("publish 10")
            stage.wait("they work on", partial(last.count, "done"), 30)
            stage.wait("all is answered still", answered, 60)
            del results["no answer"]
            after = Counter(answer.result for answer in last.answers())
            twice = sum(tally([], child.got(), ordered=False).duplicate for child in members)
        findings.measure(f"{len(names)} nodes: {dict(results)} within {spent:.0f} s, then {dict(after)}")
        findings.must(after == Counter({"ok": 10}), f"{len(names)} nodes: afterwards {dict(after)}")
        findings.must(not twice, f"{len(names)} nodes: {twice} calls too many")


@scenario(
    "slow readers",
    "one subscriber frozen, one that reads 1 KiB/s, while 200 MiB are published; drop_oldest, then block",
    "dispatcher RSS <= base + 96 MiB, drop counts exact to the event; drop_oldest: others' p99 <= 2x; block: the publisher "
    "waits, only the two lose, each of their events Undelivered",
)
def slowReaders(findings: Findings) -> None:
    """10,000 bytes for each event."""
    for policy in ("drop_oldest", "block"):
        _slowReaders(findings, policy)


def _slowReaders(findings: Findings, policy: str) -> None:
    count, size = findings.pick(21_000, 2_000), 10_000
    with Stage() as stage:
        dispatcher = stage.dispatcher()
        port = freePort()
        proxy = stage.proxy(port, "1024")
        frozen = stage.member("frozen", subscribe="flow.>", policy=policy)
        slow = stage.member("slow", subscribe="flow.>", policy=policy, furl=stage.furlVia(port))
        normal = stage.member("normal", subscribe="flow.>", policy=policy)
        publisher = stage.member("publisher", event="flow.one", size=size, together=500)
        readers = [frozen, slow, normal]
        stage.ready(*readers, publisher)
        publisher.order("rate 1000")
        stage.wait("a baseline is there", lambda: publisher.count("r") >= 2_000)
        publisher.order("rate 0")
        stage.wait("it is answered", lambda: publisher.count("r") == publisher.count("p"))
        base_count, base_rss = publisher.count("p"), dispatcher.rss
        proxy.signal(signal.SIGUSR1)
        frozen.signal(signal.SIGSTOP)
        began = time.monotonic()
        if policy == "block":
            publisher.order(f"publish {count}")
            stage.wait("all is answered", lambda: publisher.count("done"), 400)
        else:
            publisher.order("rate 1000")
            stage.wait("all is published", lambda: publisher.count("p") >= base_count + count, 400)
            publisher.order("rate 0")
            stage.wait("all is answered", lambda: publisher.count("r") == publisher.count("p"), 200)
        ended = time.monotonic()
        grown = dispatcher.peak - base_rss
        frozen.signal(signal.SIGCONT)
        proxy.kill()  # with what is in it
        for child in (frozen, slow):
            try:
                stage.wait("what it had taken is handled", partial(child.says, "lost its link"), 30)
            except StillWaiting:
                pass
        state: list[int] = []

        def atRest() -> bool:
            counts = [child.count("g") for child in readers]
            rest = bool(state) and counts == state and time.monotonic() > ended + 5
            state[:] = counts
            return rest

        stage.wait("the ledgers are at rest", atRest)
        answers = publisher.answers()
        ledgers = [child.got() for child in readers]
        total = tally(answers, ledgers[2])
        have = Counter((one.by, one.number) for got in ledgers for one in set(got))
        twice = sum(tally([], got, ordered=False).duplicate for got in ledgers)
        wrong = [
            one
            for one in answers
            if not one.delivered <= have[one.by, one.number] <= one.matched - one.dropped
            or one.result not in ("ok", "Undelivered")
        ]
        # What is short by neither drop nor delivery has failed, with Undelivered, and nothing else has.
        wrong += [one for one in answers if (one.matched > one.delivered + one.dropped) != (one.result == "Undelivered")]
        dropped = sum(one.dropped for one in answers)
        lost = sum(one.matched - one.delivered - one.dropped for one in answers)
        missed = len(answers) - len({(one.by, one.number) for one in ledgers[2]})
        waited = max((one.answered or ended) - one.published for one in answers if began <= one.published < ended)
        before, during = p99(ledgers[2], 0, began), p99(ledgers[2], began, ended)
        left = dispatcher.says("is away")
    findings.measure(f"{policy}: {(len(answers) - base_count) * size >> 20} MiB in {ended - began:.0f} s, RSS +{grown:.0f} MiB")
    findings.measure(
        f"p99 {before * 1000:.1f} -> {during * 1000:.1f} ms, the slowest answer after {waited:.1f} s, {dropped} dropped, "
        f"{lost} Undelivered, {left} links lost"
    )
    findings.must(grown <= 96, f"{policy}: RSS +{grown:.0f} MiB")
    findings.must(not missed and not twice and total.clean, f"{policy}: the normal one missed {missed}, {twice} calls too many")
    findings.must(not wrong, f"{policy}: {len(wrong)} receipts are not exact, such as {wrong[:1]}")
    if policy == "block":
        # Each of the two loses what was on its way when its queue was dropped, and what came until it was gone.
        findings.must(lost and not dropped, f"block: {lost} Undelivered, {dropped} dropped")
        findings.must(waited > 5, f"block: nobody waited for longer than {waited:.1f} s for the queues that were full")
    if policy == "drop_oldest":
        findings.must(during <= max(2 * before, findings.floor), f"{policy}: p99 {before * 1000:.1f} -> {during * 1000:.1f} ms")
