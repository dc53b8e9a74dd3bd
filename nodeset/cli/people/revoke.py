"""The sub-command `nodeset revoke`, which ends grants."""

from __future__ import annotations

from typing import Any

import click

from nodeset.cli.group import visiting

__all__ = ["revoke"]


@click.command()
@click.argument("what", nargs=-1, required=True, type=click.Path(), metavar="FURL-FILE|ID...")
@visiting
def revoke(what: tuple[str, ...], where: dict[str, Any]) -> None:
    """End grants, with all that derives from them.

    For good, whatever is started anew; links that live by them are cut. Each is the file of its FURL, its id (nodeset furl
    shows it), or - for a FURL or an id on each line of stdin. The owner of this machine's dispatcher revokes any grant,
    others what derives from their own, by its FURL.

    \b
    Example:
      nodeset revoke shop.furl
      nodeset revoke 5d1c2a7790e4a1b2c3d4e5f6
      nodeset revoke -d @shop.furl till.furl
    """
    from nodeset.cli.share.taking import take
    from nodeset.cli.visit import Where

    take(Where(**where), what)
