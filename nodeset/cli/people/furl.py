"""The sub-command `nodeset furl`, which tells what an address means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from nodeset.transport.furl import Furl

__all__ = ["furl"]


@click.command()
@click.argument("file", default="", type=click.Path())
@click.option(
    "-d",
    "--dispatcher",
    metavar="WHERE",
    help="The same as FILE; pbu://host:port/ref is one of this machine's.",
)
@click.option("--show", is_flag=True, help="Print the FURL itself, which is a secret, to pipe it to somebody.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, without the secret.")
def furl(file: str, dispatcher: str | None, show: bool, as_json: bool) -> None:
    """Show what a FURL grants, and where it leads.

    Of the one that would be used, or of that in FILE (- for stdin). Asks nobody, so it cannot tell whether the grant was
    revoked: `nodeset doctor` does.

    \b
    Example:
      nodeset furl
      nodeset furl guest.furl --json | jq .grant.expires
      nodeset furl --show | ssh kitchen 'umask 77; cat > bus.furl'
    """
    from nodeset.cli.visit import end

    if file and dispatcher:
        raise click.UsageError("give FILE or --dispatcher, not both")
    if show and as_json:
        raise click.UsageError("give --show or --json, not both")
    end("furl", lambda: _run(file or dispatcher or "", show, as_json))


def _run(word: str, show: bool, as_json: bool) -> int:
    import os

    from nodeset.cli.share.whence import furlFrom, trace
    from nodeset.cli.visit import complain

    if word:
        found, path, warning = furlFrom(word, os.environ)
        origin = "argument" if path is None else ""
        origin = "stdin" if word == "-" else origin
        if warning:
            complain("furl", f"warning: {warning}")
    else:
        whence = trace(None, os.environ)
        found, path, origin = whence.source.read(), whence.path, whence.origin
    if show:
        click.echo(str(found))
    elif as_json:
        _printJson(found, path, origin)
    else:
        _printLines(found, path, origin)
    return 0


def _printJson(found: Furl, path: Path | None, origin: str) -> None:
    import msgspec

    from nodeset.cli.share.meaning import meaningOf, plain
    from nodeset.cli.shown import printable

    told: dict[str, Any] = {
        "file": None if path is None else str(path),
        "origin": origin,
        "mode": None if path is None else f"{path.stat().st_mode & 0o777:04o}",
        "tub": found.tub_id,
        "hints": found.hints,
        "grant": plain(meaningOf(found.name)),
    }
    click.echo(printable(msgspec.json.encode(told).decode()))


def _printLines(found: Furl, path: Path | None, origin: str) -> None:
    import time

    from nodeset.cli.share.meaning import inWords, meaningOf
    from nodeset.transport.files import showPath

    lines = []
    if path is not None:
        lines.append(("file", showPath(path) + (f", by {origin}" if origin else "")))
        mode = path.stat().st_mode & 0o777
        advice = f": others can read it, say chmod 600 {showPath(path)}" if mode & 0o077 else ""
        lines.append(("mode", f"{mode:04o}{advice}"))
    else:
        lines.append(("from", origin))
    lines += [("tub", found.tub_id), *(("hint", hint) for hint in found.hints)]
    lines += inWords(meaningOf(found.name), time.time())
    for label, text in lines:
        click.echo(f"{label:<10}{text}")
