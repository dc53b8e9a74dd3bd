"""The sub-command `nodeset grant`, which makes a smaller right out of one's own."""

from __future__ import annotations

from typing import Any

import click

from nodeset.cli.group import visiting

__all__ = ["grant"]


@click.command()
@click.option("--publish", multiple=True, metavar="PATTERN", help="Events that may be published; may be repeated.")
@click.option("--subscribe", multiple=True, metavar="PATTERN", help="Events that may be subscribed to; may be repeated.")
@click.option("--call", multiple=True, metavar="NODE/METHOD", help="Methods that may be called, NODE alone is all of its.")
@click.option("--answer", "--name", multiple=True, metavar="NAME", help="Names of nodes that it may answer as, '*' is any.")
@click.option("--expires", metavar="WHEN", help="After which time it ends: 90s, 1h, 7d; or when: 2030-12-31T18:00.")
@click.option("--rate", type=float, metavar="NUMBER", help="Events and calls a second, of all who hold it together.")
@click.option("--tub", metavar="TUBID", help="Only the node with this TubID may use it.")
@click.option(
    "-o", "--output", type=click.Path(), metavar="FILE", help="Write the FURL to this new file, which only you can read."
)
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--token", is_flag=True, help="Only the part that HTTP has, behind 'Authorization: Bearer', for nodeset-web.")
@visiting
def grant(
    publish: tuple[str, ...],
    subscribe: tuple[str, ...],
    call: tuple[str, ...],
    answer: tuple[str, ...],
    expires: str | None,
    rate: float | None,
    tub: str | None,
    output: str | None,
    force: bool,
    token: bool,
    where: dict[str, Any],
) -> None:
    """Make a FURL that can do just this.

    It is printed, or written to a file. The owner of this machine's dispatcher mints anew; everybody else narrows his own
    grant, asking nobody. A verb that is not named is not granted as soon as any is.

    \b
    Example:
      nodeset grant --publish 'orders.*' --expires 7d -o shop.furl
      nodeset grant --call kitchen/price --rate 10 | ssh shop 'umask 77; cat > kitchen.furl'
      nodeset grant -d @shop.furl --publish orders.created -o till.furl
      nodeset grant --subscribe 'orders.*' --expires 1d --token -o page.token
    """
    from nodeset.cli.share.giving import Wish, give
    from nodeset.cli.visit import Where

    verbs = {"publish": publish, "subscribe": subscribe, "call": call, "answer": answer}
    give(Where(**where), Wish(verbs, rate, expires, tub, output, force, token))
