"""The sub-command `nodeset top`, which watches a dispatcher at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nodeset.cli.group import visiting

if TYPE_CHECKING:
    from nodeset.cli.top.screens import Screen

__all__ = ["top"]

#: The columns of nodeset.cli.top.table, which imports more than --help should.
_SORTS = ("node", "state", "latency", "published", "delivered", "queued", "bytes", "calls", "drops")


@click.command()
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two frames.",
)
@click.option("-n", "--count", type=click.IntRange(1), default=None, metavar="N", help="End after so many frames.")
@click.option("--once", is_flag=True, help="One frame, after one interval.")
@click.option("--sort", type=click.Choice(_SORTS), default="delivered", show_default=True, help="The column to sort by.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each frame, with all nodes.")
@visiting
def top(interval: float, count: int | None, once: bool, sort: str, as_json: bool, where: dict[str, Any]) -> None:
    """Watch a dispatcher: rates, latency, queues, drops, of all and of each node.

    Keys: q ends, s or the arrows sort by another column, r turns the order round, p pauses. When stdout is no terminal, it
    prints one frame after the other. It goes on by itself when the dispatcher was gone.

    \b
    Example:
      nodeset top
      nodeset top --sort queued --interval 5
      nodeset top --once --json | jq .events_in
    """
    from nodeset.cli.visit import Visitor, Where, visit

    async def errand(node: Visitor) -> None:
        import os
        import sys
        import time

        from twisted.internet import reactor as _reactor

        from nodeset.cli.top.screens import JsonScreen, PlainScreen, TerminalScreen
        from nodeset.cli.top.table import Order
        from nodeset.cli.top.watch import Watch

        reactor: Any = _reactor

        def makeScreen(pressed: Callable[[str], None]) -> Screen:
            if as_json:
                return JsonScreen(time.time)
            if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not once:
                return TerminalScreen(reactor, pressed)
            return PlainScreen(_width())

        await Watch(node, reactor, makeScreen, interval, 1 if once else count or 0, Order(sort)).run()

    visit("top", Where(**where), errand)


def _width() -> int:
    """Cells of a line: as COLUMNS says, or the terminal; 100 for a file."""
    import shutil

    return max(20, shutil.get_terminal_size((100, 24)).columns)
