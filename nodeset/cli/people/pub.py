"""The sub-command `nodeset pub`, which publishes events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nodeset.cli.group import visiting

if TYPE_CHECKING:
    from nodeset.cli.visit import Visitor

__all__ = ["pub"]


@click.command()
@click.argument("event")
@click.argument("payload", required=False)
@click.option("--json", "as_json", is_flag=True, help="Each line of stdin is a JSON object; print the receipt as one.")
@click.option("--raw", is_flag=True, help="The payload, or each line, goes as the bytes that it is.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="Publish it N times; {{n}} in it becomes 1, 2, 3...")
@click.option(
    "--level",
    type=click.Choice(["accepted", "delivered", "handled"]),
    default="delivered",
    show_default=True,
    help="When to say so: queued for all, their handlers were called, these have finished.",
)
@click.option("--mode", type=click.Choice(["all", "one"]), help="Who gets it: all that subscribe, or one.  [default: all]")
@click.option("--retain", is_flag=True, help="Hand it to newcomers as the last value, until Ctrl-C.")
@click.option("--ttl", type=click.FloatRange(0, 86400, min_open=True), metavar="SECONDS", help="Drop it once it is so old.")
@click.option("--dedup", metavar="ID", help="Who had this ID takes no second one; for lines, each has ID/LINE.")
@click.option("--wait-for", type=click.IntRange(1, 10000), metavar="N", help="Wait until N nodes subscribe to it.")
@click.option(
    "--publish-timeout",
    type=click.FloatRange(0, 86400, min_open=True),
    metavar="SECONDS",
    help="How long to wait for the receipt.  [default: 60]",
)
@click.option("-q", "--quiet", is_flag=True, help="Print no receipt.")
@visiting
def pub(where: dict[str, Any], quiet: bool, **about: Any) -> None:
    """Publish an EVENT, and print what became of it.

    PAYLOAD is a JSON object, whose members become the fields of the event, or a text, which becomes the field 'payload'. Of
    stdin, if that is a pipe or a file, or PAYLOAD is -, each line is the payload of an event. Exit code 1 if any was not
    delivered.

    \b
    Example:
      nodeset pub orders.created '{"id": 1}'
      seq 1000 | nodeset pub numbers
      nodeset pub tick '{"n": {{n}}}' --count 10
    """
    from nodeset.cli.talk.sending import Sender
    from nodeset.cli.visit import Where, visit

    sender = Sender(**about)

    async def errand(node: Visitor) -> int:
        return await sender.run(node, quiet)

    visit("pub", Where(**where), errand, lambda node: sender.check())
