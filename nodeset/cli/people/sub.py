"""The sub-command `nodeset sub`, which prints events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nodeset.cli.group import visiting

if TYPE_CHECKING:
    from nodeset.cli.visit import Visitor

__all__ = ["sub"]


@click.command()
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: event, payload, time, id, publisher.")
@click.option("--raw", is_flag=True, help="The payload alone: bytes or a text as they are, fields as JSON.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N events.")
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(0, 86400 * 366, min_open=True),
    metavar="SECONDS",
    help="End after so long; with --count exit code 6 if these had not come by then.",
)
@click.option(
    "--policy",
    type=click.Choice(["block", "drop_oldest", "drop_newest"]),
    default="block",
    show_default=True,
    help="What happens when we are too slow: publishers wait, or events are dropped.",
)
@click.option(
    "--max-events",
    type=click.IntRange(1, 10000),
    default=10000,
    show_default=True,
    metavar="N",
    help="How many wait at the dispatcher before that.",
)
@visiting
def sub(where: dict[str, Any], **about: Any) -> None:
    """Print the events of each PATTERN, until Ctrl-C.

    A pattern is the name of an event, or has * in place of one part of it, or > in place of all further ones.

    \b
    Example:
      nodeset sub 'orders.*'
      nodeset sub 'orders.>' --json | jq .payload
      nodeset sub done --count 1 --for 60
    """
    from nodeset.cli.talk.listening import Listener
    from nodeset.cli.visit import Where, complain, visit

    listener = Listener(complain=lambda reason: complain("sub", reason), **about)

    async def errand(node: Visitor) -> int:
        return await listener.run(node)

    # A reader that is slow is no failure of ours: it is waited for, and the dispatcher is told by flow control.
    visit("sub", Where(**where), errand, listener.prepare, handler_timeout=86400)
