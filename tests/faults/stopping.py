"""Scenarios in which somebody is alive and does not answer: a stopped process, a dead wire, a clock that jumps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from functools import partial

from tests.faults.processes import ROOT, Child, Stage
from tests.faults.scenario import Findings, scenario
from tests.faults.tally import Got, tally

__all__ = ["blackHole", "jumpClock", "p99", "stopDispatcher", "stopNode"]


def p99(got: Sequence[Got], begin: float = 0.0, end: float = float("inf")) -> float:
    """The 99th percentile of what the events published in `begin..end` took, in seconds; 0 for none."""
    took = sorted(one.at - one.published for one in got if begin <= one.published < end)
    return took[int(len(took) * 0.99)] if took else 0.0


def _until(stage: Stage, moment: float) -> None:
    stage.wait("time passes", lambda: time.monotonic() >= moment, 600)


def _answered(stage: Stage, publisher: Child) -> None:
    publisher.order("rate 0")
    stage.wait("all is answered", lambda: publisher.count("r") == publisher.count("p"), 150)


@scenario(
    "SIGSTOP node",
    "a subscriber (drop_oldest) is stopped for 60 s at 1,000 events/s beside another one; 20 events/s in mode one to both",
    "suspect (no more of mode one) <= 15 s, routes gone <= 25 s, dispatcher RSS <= +64 MiB, others' p99 <= 2x, usable <= 35 s "
    "after SIGCONT",
)
def stopNode(findings: Findings) -> None:
    """Stop it, wake it up."""
    with Stage() as stage:
        dispatcher = stage.dispatcher()
        stopped = stage.member("stopped", subscribe="flow.>", policy="drop_oldest")
        other = stage.member("other", subscribe="flow.>")
        publisher = stage.member("publisher", event="flow.one", size=200)
        dealer = stage.member("dealer", event="flow.deal", mode="one")
        stage.ready(stopped, other, publisher, dealer)
        publisher.order("rate 1000")
        dealer.order("rate 20")
        began = time.monotonic()
        _until(stage, began + findings.pick(20, 5))
        rss = dispatcher.rss
        stopped.signal(signal.SIGSTOP)
        at = time.monotonic()
        _until(stage, at + findings.pick(60, 27))
        grown = dispatcher.peak - rss
        stopped.signal(signal.SIGCONT)
        woken, had = time.monotonic(), stopped.count("l")
        stage.wait("it is linked again", lambda: stopped.count("l") > had, 60)
        linked = float(stopped.last("l")[0])
        stage.wait("it gets something new", partial(stopped.gotSince, linked), 60)
        usable = float(stopped.last("g")[2]) - woken
        _answered(stage, dealer)
        _answered(stage, publisher)
        answers = publisher.answers()
        got, late = ([one for one in child.got() if one.by == publisher.name] for child in (other, stopped))
        # What the stopped one was given it sat on; the last such event tells when it became suspect.
        dealt = dealer.answers()
        sat = [one.published - at for one in dealt if at < one.published < woken and (one.answered or 0) - one.published > 1]
        unmoved = sum(answer.result != "ok" or not (answer.delivered or answer.dropped) for answer in dealt)
        # The other's promise alone: a drop or a loss at the stopped one is its own affair.
        total = tally(answers, got)
        missed = len({answer.number for answer in answers} - {one.number for one in got})
        gone = (
            next((answer.published for answer in answers if answer.published > at and answer.matched == 1), float("inf")) - at
        )
        dropped = sum(answer.dropped for answer in answers)
        undelivered = sum(answer.result == "Undelivered" for answer in answers)
        unanswered = sum(answer.result not in ("ok", "Undelivered") for answer in answers)
        twice = tally(answers, late).duplicate
        before, during = p99(got, began + 1, at), p99(got, at, woken)
    findings.measure(f"suspect after {max(sat, default=0):.1f} s: {len(sat)} of {len(dealt)} in mode one waited")
    findings.measure(f"routes gone after {gone:.1f} s, RSS +{grown:.0f} MiB, usable {usable:.1f} s after SIGCONT")
    findings.measure(f"others' p99 {before * 1000:.1f} -> {during * 1000:.1f} ms")
    findings.measure(f"{len(answers)} published: {dropped} dropped, {undelivered} Undelivered, the other missed {missed}")
    findings.must(max(sat, default=0) <= 15 and not unmoved, f"suspect after {max(sat, default=0):.1f} s, {unmoved} not moved")
    findings.must(gone <= 25, f"routes gone after {gone:.1f} s")
    findings.must(grown <= 64, f"RSS +{grown:.0f} MiB")
    findings.must(usable <= 35, f"usable after {usable:.1f} s")
    findings.must(during <= max(2 * before, findings.floor), f"others' p99 {before * 1000:.1f} -> {during * 1000:.1f} ms")
    findings.must(
        total.clean and not missed and not twice and not unanswered, f"{total}, missed {missed}, {twice} twice, {unanswered}"
    )


@scenario(
    "SIGSTOP dispatcher",
    "the dispatcher is stopped for 30 s at 200 events/s",
    "publishes wait and succeed, no crash, all well <= 35 s after SIGCONT, lost 0, duplicates 0",
)
def stopDispatcher(findings: Findings) -> None:
    """Stop it, wake it up."""
    with Stage() as stage:
        dispatcher = stage.dispatcher()
        subscribers = [stage.member(f"subscriber{number}", subscribe="flow.>") for number in range(2)]
        publisher = stage.member("publisher", event="flow.one", size=200)
        stage.ready(*subscribers, publisher)
        publisher.order("rate 200")
        _until(stage, time.monotonic() + 3)
        dispatcher.signal(signal.SIGSTOP)
        _until(stage, time.monotonic() + findings.pick(30, 23))
        dispatcher.signal(signal.SIGCONT)
        woken = time.monotonic()
        for child in subscribers:
            stage.wait("it gets something new", partial(child.gotSince, woken), 60)
        usable = time.monotonic() - woken
        _answered(stage, publisher)
        answers = publisher.answers()
        totals = [tally(answers, child.got()) for child in subscribers]
        failed = sum(answer.result != "ok" for answer in answers)
        everyone = [dispatcher, *subscribers, publisher]
        links = [child.count("l") for child in everyone[1:]]
        ended = [child.name for child in everyone if child.ended]
    findings.measure(f"all well {usable:.1f} s after SIGCONT, {failed} of {len(answers)} publishes failed, links {links}")
    findings.measure(str(totals[0] + totals[1]))
    findings.must(usable <= 35, f"all well after {usable:.1f} s")
    findings.must(not failed, f"{failed} publishes failed")
    findings.must(not ended, f"ended: {ended}")
    findings.must(all(total.clean for total in totals), str(totals[0] + totals[1]))


@scenario(
    "black hole",
    "TCP to a subscriber goes dead both ways without a word; then half of a connection dies and the node comes back at once",
    "both sides notice <= 30 s; the new connection is taken, not refused as a duplicate",
)
def blackHole(findings: Findings) -> None:
    """A proxy that forwards no more."""
    with Stage() as stage:
        dispatcher = stage.dispatcher()
        proxy = stage.proxy(stage.folder.stat().st_ino % 20000 + 30000)
        subscriber = stage.member("subscriber", furl=stage.furlVia(int(proxy.name.removeprefix("proxy"))), subscribe="flow.>")
        publisher = stage.member("publisher", event="flow.one")
        stage.ready(subscriber, publisher)
        publisher.order("rate 100")
        proxy.signal(signal.SIGUSR1)
        at = time.monotonic()
        noticed = {}
        for side, (child, text) in {"dispatcher": (dispatcher, "is away"), "node": (subscriber, "lost its link")}.items():
            stage.wait(f"the {side} notices", partial(child.says, text), 45)
            noticed[side] = time.monotonic() - at
        proxy.signal(signal.SIGUSR2)
        mended = time.monotonic()
        stage.wait("it is linked again", lambda: subscriber.count("l") >= 2, 45)
        relinked = float(subscriber.last("l")[0]) - mended
        proxy.signal(signal.SIGHUP)
        cut = time.monotonic()
        stage.wait("it is linked once more", lambda: subscriber.count("l") >= 3, 45)
        replaced = float(subscriber.last("l")[0]) - cut
        stage.wait("it gets something new", partial(subscriber.gotSince, cut + replaced))
        _answered(stage, publisher)
        total = tally(publisher.answers(), subscriber.got())
    findings.measure(
        f"noticed after {noticed['dispatcher']:.1f} s (dispatcher), {noticed['node']:.1f} s (node, looked at second)"
    )
    findings.measure(f"linked {relinked:.1f} s after the wire is back; half-open: {replaced:.1f} s; {total}")
    findings.must(max(noticed.values()) <= 30, f"noticed after {max(noticed.values()):.1f} s")
    findings.must(relinked <= 20, f"linked after {relinked:.1f} s")
    findings.must(replaced <= 3, f"a half-open link was replaced after {replaced:.1f} s")
    findings.must(total.clean, str(total))


@scenario(
    "wall clock",
    "the wall clock of all processes jumps by +1 day, by -1 day, under 100 events/s; an idle node beside",
    "no link lost, no publish late, lost 0 (under a plain reactor it is only shown)",
)
def jumpClock(findings: Findings) -> None:
    """Every process reads a clock that jumps."""
    for days in (1, -1):
        _jump(findings, days, steady=True)
    # A program of one's own that runs Twisted's reactor as it is: its timers follow the wall clock.
    _jump(findings, -1, steady=False)


def _jump(findings: Findings, days: int, steady: bool) -> None:
    with Stage() as stage:
        at = time.monotonic() + 6
        path = os.pathsep.join([str(ROOT / "tests" / "faults" / "jump"), stage.environ["PYTHONPATH"]])
        stage.environ |= {"PYTHONPATH": path, "FAULT_JUMP": str(days * 86400), "FAULT_JUMP_AT": str(at)}
        dispatcher = stage.dispatcher()
        members = [stage.member(f"subscriber{number}", subscribe="flow.>", steady=steady) for number in range(2)]
        # What publishes is steady, or else it would stop to.
        publisher = stage.member("publisher", event="flow.one")
        # What is heard by its answers does not fall silent: one that has none to give has its heartbeat only.
        members.append(stage.member("idle", steady=steady))
        stage.ready(*members, publisher)
        publisher.order("rate 100")
        _until(stage, at + 26)
        _answered(stage, publisher)
        answers = publisher.answers()
        total = tally(answers, members[0].got()) + tally(answers, members[1].got())
        lost = dispatcher.says("is away") + sum(child.count("l") - 1 for child in [*members, publisher])
        worst = max((answer.answered or 0.0) - answer.published for answer in answers)
        since = sum(answer.published > at for answer in answers)
    what = f"{days:+d} day" + ("" if steady else " under a plain reactor")
    findings.measure(f"{what}: {lost} links lost, {since} events since, slowest answer {worst:.2f} s, {total}")
    if not steady:
        return  # shown, not promised
    findings.must(not lost, f"{what}: {lost} links lost")
    findings.must(total.clean and not total.unknown and since > 1000, f"{what}: {total}, {since} events since")
