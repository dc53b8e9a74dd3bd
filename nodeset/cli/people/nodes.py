"""The sub-command `nodeset nodes`, which lists the nodes of a dispatcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from nodeset.cli.group import didYouMean, visiting

if TYPE_CHECKING:
    from nodeset.cli.visit import Visitor
    from nodeset.core.presence.asking import NodeInfo

__all__ = ["nodes"]

#: What comes first, by the word for --sort.
_ORDERS: Final[dict[str, Callable[[NodeInfo], Any]]] = {
    "name": lambda info: info.address,
    "state": lambda info: ({"suspect": 0, "slow": 1}.get(info.state, 3 - info.away), info.address),
    "latency": lambda info: -(info.latency or 0.0),
    "queued": lambda info: -info.queued_events,
    "dropped": lambda info: -sum(info.drops.values()),
}
_COLOURS: Final = {"up": "green", "slow": "yellow", "away": "yellow", "suspect": "red"}


@click.command()
@click.argument("name", default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all that is known.")
@click.option(
    "--sort", "order", type=click.Choice(list(_ORDERS)), default="name", show_default=True, help="The worst first, or by name."
)
@visiting
def nodes(name: str, as_json: bool, order: str, where: dict[str, Any]) -> None:
    """List the nodes that are there, or those of one NAME.

    Exit code 5 if there is none of that name.

    \b
    Example:
      nodeset nodes
      nodeset nodes --sort latency
      nodeset nodes kitchen --json | jq .latency
    """
    from nodeset.cli.visit import Where, visit

    async def errand(node: Visitor) -> None:
        found = [each for each in await node.nodes(name) if each.stream != node.stream]
        if name and not found:
            await _complain(node, name)
        found.sort(key=_ORDERS[order])
        if as_json:
            _printJson(found)
        else:
            _printTable(found)

    visit("nodes", Where(**where), errand)


async def _complain(node: Visitor, name: str) -> None:
    from nodeset.cli.outcome import Exit, GaveUp
    from nodeset.cli.shown import printable

    there = sorted({each.name for each in await node.nodes() if each.stream != node.stream})
    raise GaveUp(printable(f"no node named {name} is here{didYouMean(name, there)}"), Exit.UNKNOWN)


def _printJson(found: list[NodeInfo]) -> None:
    import attrs
    import simplejson

    for each in found:
        click.echo(simplejson.dumps(attrs.asdict(each)))


def _printTable(found: list[NodeInfo]) -> None:
    import sys

    from nodeset.cli.table import Cell, printTable

    if not found:
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo("no node is here but for this command's own", err=True)
        return
    rows: list[list[Cell]] = []
    for each in found:
        state = "away" if each.away else each.state
        latency = "-" if each.latency is None else f"{each.latency * 1000:.1f} ms"
        counts = str(each.queued_events), str(sum(each.drops.values()))
        rows.append([each.address, (state, _COLOURS.get(state, "")), latency, *counts, " ".join(each.subscriptions) or "-"])
    titles = ("node", "state", "latency", "queued", "dropped", "subscriptions")
    printTable(titles, rows, ("latency", "queued", "dropped"))
