"""The sub-command `nodeset nodes`, which lists the nodes of a dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nodeset.cli.group import visiting

if TYPE_CHECKING:
    from nodeset.core.presence.asking import NodeInfo

__all__ = ["nodes"]


@click.command()
@click.argument("name", default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all that is known.")
@visiting
def nodes(name: str, as_json: bool, where: dict[str, Any]) -> None:
    """List the nodes that are there, or those of one NAME.

    \b
    Example:
      nodeset nodes
      nodeset nodes kitchen --json | jq .latency
    """
    from nodeset.cli.visit import Visitor, Where, visit

    async def errand(node: Visitor) -> None:
        found = [each for each in await node.nodes(name) if each.name != node.name]
        if as_json:
            _printJson(found)
        else:
            _printTable(found)

    visit("nodes", Where(**where), errand)


def _printJson(found: list[NodeInfo]) -> None:
    import attrs
    import msgspec

    for each in found:
        click.echo(msgspec.json.encode(attrs.asdict(each)).decode())


def _printTable(found: list[NodeInfo]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("node", "state", "latency", "queued", "dropped", "subscriptions"):
        table.add_column(title, justify="right" if title in ("latency", "queued", "dropped") else "left", overflow="fold")
    for each in sorted(found, key=lambda info: info.address):
        latency = "-" if each.latency is None else f"{each.latency * 1000:.1f} ms"
        dropped = sum(each.drops.values())
        table.add_row(
            each.address, each.state, latency, str(each.queued_events), str(dropped), " ".join(each.subscriptions) or "-"
        )
    Console().print(table, markup=False)
