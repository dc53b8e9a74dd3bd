"""The sub-command `nodeset webkey`, which makes a key that signs requests to a bridge."""

from __future__ import annotations

import click

__all__ = ["webkey"]


@click.command()
@click.argument("name")
@click.option("--keys", required=True, type=click.Path(), metavar="FILE", help="The file of the bridge, made if missing.")
@click.option("--grant", metavar="@FILE", help="A file with a FURL: what the key's holder may do.  [default: as the bridge]")
@click.option("--expires", metavar="WHEN", help="After which time it ends: 90s, 1h, 7d; or when: 2030-12-31T18:00.")
@click.option("--show", is_flag=True, help="Print the secret, to pipe it to its holder.")
def webkey(name: str, keys: str, grant: str | None, expires: str | None, show: bool) -> None:
    """Make a key that signs requests to a bridge.

    Its secret is written to FILE, which only you can read; nodeset-web --keys FILE takes it, at SIGHUP too. To change a key,
    make another one, hand it over, then take the old one out of FILE.

    \b
    Example:
      nodeset webkey alice --keys web_keys.toml
      nodeset webkey till --keys web_keys.toml --grant @till.furl --expires 90d
      nodeset webkey shop --keys web_keys.toml --show | ssh shop 'umask 77; cat > bridge.secret'
    """
    from nodeset.cli.share.signing import makeKey
    from nodeset.cli.visit import end

    end("webkey", lambda: makeKey(name, keys, grant, expires, show))
