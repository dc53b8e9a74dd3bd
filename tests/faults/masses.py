"""Scenarios of very many: nodes that come back at once, connections, subscriptions, nodes that are held."""

from __future__ import annotations

import resource
import time

from tests.faults.processes import Child, Stage
from tests.faults.scenario import Findings, scenario

__all__ = ["held", "herd"]


def _raise() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _watched(stage: Stage, name: str) -> Child:
    ledger = str(stage.folder / f"{name}.ledger")
    options = ["-n", "--listen", f"localhost:{stage.port}", f"--pidfile={stage.folder / name}.pid", "--loglevel", "warn"]
    child = stage.spawn(name, "tests.faults.watched", ledger, *options, before=_raise)
    stage.wait("the dispatcher listens", lambda: child.count("lag") and stage.furl.exists())
    return child


def _crowd(stage: Stage, nodes: int, subscriptions: int) -> Child:
    arguments = [str(stage.folder / "crowd.ledger"), str(stage.furl), str(nodes), str(subscriptions)]
    crowd = stage.spawn("crowd", "tests.faults.crowd", *arguments, before=_raise)
    stage.wait("the crowd is there", lambda: crowd.count("s") or crowd.ended, 300)
    assert not crowd.ended, crowd.log.read_text("utf-8")[-300:]
    return crowd


def _lag(child: Child) -> float:
    lines = (line.split() for line in child.ledger.read_text("ascii").splitlines())
    return max((float(words[1]) for words in lines if len(words) == 2), default=0.0)


def _settle(stage: Stage, child: Child, most: float) -> float:
    """The memory of `child` in MiB once it is at most `most`, or in 15 s."""
    end = time.monotonic() + 15
    stage.wait("memory is back", lambda: child.rss <= most or time.monotonic() > end)
    return child.rss


@scenario(
    "herd",
    "500 nodes x 20 subscriptions come back at once; then 20,000 connects; then 100,000 subscribe and unsubscribe",
    "the 500 linked <= 30 s, loop lag <= 1 s all the time; after each, RSS back to +-5 %",
)
def herd(findings: Findings) -> None:
    """The dispatcher is restarted under a crowd."""
    nodes, connects, churn = findings.pick(500, 50), findings.pick(20_000, 200), findings.pick(100_000, 2_000)
    with Stage() as stage:
        dispatcher = _watched(stage, "dispatcher1")
        crowd = _crowd(stage, nodes, 20)
        had = crowd.count("l")
        dispatcher.kill()
        dispatcher = _watched(stage, "dispatcher2")
        began = time.monotonic()
        stage.wait("all are back", lambda: crowd.count("l") >= had + nodes, 120)
        spent, lag = time.monotonic() - began, _lag(dispatcher)
        base = dispatcher.rss
        crowd.order(f"connect {connects}")
        connected = stage.wait("they came and went", lambda: crowd.count("connected"), 900)
        after_connects = _settle(stage, dispatcher, base * 1.05)
        crowd.order(f"churn {churn}")
        churned = stage.wait("they subscribed and unsubscribed", lambda: crowd.count("churned"), 300)
        after_churn = _settle(stage, dispatcher, after_connects * 1.05)
        last = _lag(dispatcher)
    findings.measure(f"{nodes} linked in {spent:.1f} s, lag {lag:.2f} s")
    findings.measure(f"{connects} connects in {connected:.0f} s: RSS {base:.0f} -> {after_connects:.0f} MiB")
    findings.measure(f"{churn} churned in {churned:.0f} s: RSS -> {after_churn:.0f} MiB; worst lag of all {last:.2f} s")
    findings.must(spent <= 30, f"{nodes} linked after {spent:.1f} s")
    findings.must(max(lag, last) <= 1, f"loop lag {max(lag, last):.2f} s")
    findings.must(after_connects <= base * 1.05, f"RSS after the connects {after_connects / base - 1:+.1%}")
    findings.must(after_churn <= after_connects * 1.05, f"RSS after the churn {after_churn / after_connects - 1:+.1%}")


@scenario(
    "nodes held",
    "1,000 nodes that TLS has authenticated, idle, 20 subscriptions each",
    "<= 120 KiB of the dispatcher's memory for each, idle CPU <= 5 % of a core, heartbeats included",
)
def held(findings: Findings) -> None:
    """They do nothing."""
    nodes = findings.pick(1000, 100)
    with Stage() as stage:
        dispatcher = _watched(stage, "dispatcher")
        base = dispatcher.rss
        _crowd(stage, nodes, 20)
        began, cpu = time.monotonic(), dispatcher.cpu
        stage.wait("time passes", lambda: time.monotonic() > began + 10)
        busy = (dispatcher.cpu - cpu) / (time.monotonic() - began)
        each = (dispatcher.rss - base) * 1024 / nodes
        total = dispatcher.rss
    findings.measure(f"{nodes} nodes: {each:.0f} KiB each ({base:.0f} -> {total:.0f} MiB), CPU {busy:.1%}")
    findings.must(each <= 120, f"{each:.0f} KiB for each node")
    # The watch itself wakes 50 times a second.
    findings.must(busy <= 0.05, f"CPU {busy:.1%}")
