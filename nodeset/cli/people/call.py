"""The sub-command `nodeset call`, which calls a method of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nodeset.cli.group import visiting

if TYPE_CHECKING:
    from nodeset.cli.visit import Visitor

__all__ = ["call"]


@click.command()
@click.argument("node")
@click.argument("method")
@click.argument("words", metavar="[ARG | NAME=VALUE]...", nargs=-1)
@click.option("--args", "given", metavar="JSON", help="The arguments as a JSON array, or those by name as an object.")
@click.option("--all", "every", is_flag=True, help="Call all nodes of that name; a line for each answer.")
@click.option(
    "--call-timeout",
    type=click.FloatRange(0, 86400, min_open=True),
    metavar="SECONDS",
    help="How long to wait for the answer, or each item of a stream.  [default: 30]",
)
@click.option("--compact", "--json", "compact", is_flag=True, help="The answer on one line, on a terminal as well.")
@visiting
def call(where: dict[str, Any], **about: Any) -> None:
    """Call the METHOD that a NODE exposes, and print what it returns as JSON.

    Each ARG is JSON, or else a text; NAME=VALUE is an argument by name. Words that start with a dash go behind --. What a
    method streams is printed a line for each item. An empty NODE is the dispatcher itself. Exit code 1 if the method raises.

    \b
    Example:
      nodeset call calc add 1 2
      nodeset call kitchen cook pizza size=3 'with=["ham"]'
      nodeset call calc add -- -1 -2
    """
    from nodeset.cli.talk.calling import Caller
    from nodeset.cli.visit import Where, visit

    caller = Caller(**about)

    async def errand(node: Visitor) -> int:
        return await caller.run(node)

    visit("call", Where(**where), errand, caller.prepare)
