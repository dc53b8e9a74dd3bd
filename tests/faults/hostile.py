"""Scenarios with peers that mean harm."""

from __future__ import annotations

import time

from tests.faults.processes import Stage
from tests.faults.scenario import Findings, scenario
from tests.faults.tally import tally

__all__ = ["fuzz"]


@scenario(
    "fuzz",
    "100,000 mutated frames: negotiations in the clear, Banana calls and batches behind TLS; 4 GiB token headers at each place",
    "0 other connections lost, RSS <= +10 MiB, no traceback, <= 2 log lines for each connection, <= 2 warnings/s",
)
def fuzz(findings: Findings) -> None:
    """A hostile process beside two that behave."""
    share = findings.pick(50_000, 1_500), findings.pick(25_000, 750), findings.pick(25_000, 750)
    with Stage() as stage:
        dispatcher = stage.dispatcher()
        subscriber = stage.member("subscriber", subscribe="flow.>")
        publisher = stage.member("publisher", event="flow.one")
        stage.ready(subscriber, publisher)
        publisher.order("rate 100")
        stage.wait("events flow", lambda: publisher.count("r") >= 200)
        rss, lines, began = dispatcher.rss, dispatcher.says("\n"), time.monotonic()
        fuzzer = stage.spawn("fuzzer", "tests.faults.fuzzer", str(stage.furl), "2", *map(str, share))
        stage.wait("all is sent", lambda: fuzzer.ended, 900)
        spent = time.monotonic() - began
        said = fuzzer.log.read_text("utf-8").strip().splitlines()
        # What strangers hold goes when their time is up.
        before = dispatcher.peak
        stage.wait(
            "memory is back", lambda: dispatcher.ended or dispatcher.rss <= rss + 10 or time.monotonic() > began + spent + 30
        )
        grown, peak = dispatcher.rss - rss, before - rss
        lines, warnings = dispatcher.says("\n") - lines, dispatcher.says("[WARN]")
        log = dispatcher.log.read_text("utf-8", "replace")
        tracebacks, sample = log.count("Traceback"), log[log.find("Traceback") :][:2000]
        publisher.order("rate 0")
        stage.wait("all is answered", lambda: publisher.count("r") == publisher.count("p"))
        total = tally(publisher.answers(), subscriber.got())
        links = subscriber.count("l") + publisher.count("l") - 2
    word, *figures = (said[-1] if said else "nothing").split()
    sent, connections = (int(figure) for figure in figures[:2]) if word == "done" else (0, 1)
    findings.measure(f"{sent} sent over {connections} connections in {spent:.0f} s, RSS {grown:+.1f} MiB (peak {peak:+.1f})")
    findings.measure(
        f"{lines} log lines, {warnings / spent:.1f} warnings/s, {tracebacks} tracebacks, {links} other links lost, {total}"
    )
    findings.must(word == "done", f"the fuzzer said {' '.join(said)[-300:]!r}")
    findings.must(not links, f"{links} links of others lost")
    findings.must(grown <= 10, f"RSS {grown:+.1f} MiB")
    findings.must(not tracebacks, f"{tracebacks} tracebacks in the log, such as {sample!r}")
    findings.must(warnings <= 2 * spent + 20, f"{warnings} warnings in {spent:.0f} s")
    findings.must(lines <= 2 * connections + 50, f"{lines} log lines for {connections} connections")
    findings.must(total.clean and not total.unknown, str(total))
