"""The sub-command `nodeset bench`, which measures a network of one's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from nodeset.cli.group import visiting

if TYPE_CHECKING:
    from subprocess import Popen

    from nodeset.cli.bench.telling import Teller

__all__ = ["bench"]

#: The works of nodeset.cli.bench.works, which imports more than --help should.
_WORKS = ("publish", "many", "fan", "calls", "call", "latency")
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}")


def _checkPrefix(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if len(value) > 100 or not _PREFIX.fullmatch(value):
        raise click.BadParameter(f"{value[:60]!r} cannot begin the name of an event: give words with dots between them")
    return value


@click.command()
@click.argument("works", nargs=-1, type=click.Choice(_WORKS))
@click.option("--own", is_flag=True, help="Start a dispatcher for this, on this machine, in a process of its own.")
@click.option(
    "-s",
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each work lasts.",
)
@click.option("-n", "--count", type=click.IntRange(1, 100_000_000), metavar="N", help="Events of each work, instead.")
@click.option("--size", type=click.IntRange(90, 900_000), metavar="BYTES", help="An event, about.  [default: 110]")
@click.option("--publishers", type=click.IntRange(1, 16), default=1, show_default=True, metavar="N", help="Processes.")
@click.option("--subscribers", type=click.IntRange(1, 100), default=4, show_default=True, metavar="N", help="Nodes (fan).")
@click.option(
    "--rate",
    type=click.IntRange(1, 100_000),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Events a second (latency).",
)
@click.option(
    "--under-way", type=click.IntRange(1, 1_000), default=100, show_default=True, metavar="N", help="At a time (calls)."
)
@click.option(
    "--prefix", default="bench", show_default=True, callback=_checkPrefix, help="What the names of the events begin with."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each work.")
@visiting
def bench(
    works: tuple[str, ...], own: bool, seconds: float, count: int | None, as_json: bool, where: dict[str, Any], **plan: Any
) -> None:
    """Measure what your network does: events, calls, how long they take.

    WORKS are publish, many (publishMany), fan (to several), calls, call (one after the other), latency; all but call when
    none is named. Whoever publishes and whoever subscribes are processes of their own on this machine; their events have
    names that nobody else has. Every event is checked to arrive once, in order: if one does not, this ends with 1.

    \b
    Example:
      nodeset bench
      nodeset bench publish --size 1000 --seconds 10
      nodeset bench latency --rate 5000 --json | jq .p99
      nodeset bench --own
    """
    from nodeset.cli.visit import Visitor, Where, visit

    if own and where["dispatcher"] is not None:
        raise click.UsageError("--own starts another dispatcher than the one that --dispatcher names: give one of them")

    async def errand(node: Visitor) -> int:
        from twisted.internet import reactor

        from nodeset.cli.bench.measuring import measure
        from nodeset.cli.bench.works import USUAL, Plan
        from nodeset.cli.outcome import Exit

        names = list(dict.fromkeys(works)) or list(USUAL)
        fan = plan.pop("subscribers")
        chosen = Plan(count=count or 0, seconds=seconds, fan=fan, **{**plan, "size": plan["size"] or 0})
        results = await measure(node, reactor, Where(**where), names, chosen, _teller(as_json, len(names)))
        return Exit.FAILED if any(each.wrong for each in results) else Exit.OK

    if own:
        # To be kept until the end, since the process ends with our end of its stdin.
        where["dispatcher"], keep = _lodge()
        click.get_current_context().call_on_close(keep.stdin.close if keep.stdin else keep.kill)
    visit("bench", Where(**where), errand)


def _lodge() -> tuple[str, Popen[bytes]]:
    from nodeset.cli.bench.lodging import lodge
    from nodeset.cli.outcome import explain, judge
    from nodeset.cli.visit import complain

    try:
        process, furl = lodge()
    except Exception as error:
        complain("bench", explain(error))
        raise SystemExit(judge(error)) from None
    return furl, process


def _teller(as_json: bool, total: int) -> Teller:
    import sys

    from nodeset.cli.bench.telling import BarTeller, JsonTeller, LineTeller

    if as_json:
        return JsonTeller()
    return BarTeller(total) if sys.stdout.isatty() else LineTeller()
