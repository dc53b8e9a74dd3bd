"""The sub-command `nodeset doctor`, which says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nodeset.cli.group import visiting

if TYPE_CHECKING:
    from nodeset.cli.doctor.findings import Finding

__all__ = ["doctor"]

#: Mark, mark without Unicode, colour.
_MARKS = {
    "fine": ("✔", "+", "green"),
    "warning": ("!", "!", "yellow"),
    "failed": ("✘", "x", "red"),
    "skipped": ("-", "-", "bright_black"),
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: check, verdict, told, todo.")
@visiting
def doctor(as_json: bool, where: dict[str, Any]) -> None:
    """Find out what is wrong: a line for each check, fine or what to do.

    It looks at all that a node needs to reach its dispatcher. Ends within --timeout, with 0 if no check failed, 1 if one did,
    3 if there is no dispatcher.

    \b
    Example:
      nodeset doctor
      nodeset doctor --dispatcher @guest.furl --timeout 20
      nodeset doctor --json | jq 'select(.verdict != "fine")'
    """
    import sys

    from nodeset.cli.doctor.examination import examine
    from nodeset.cli.visit import Where, end

    tell = _tellJson if as_json else _makeTeller() if sys.stdout.isatty() else _tellLine
    end("doctor", lambda: examine(Where(**where), tell), where["debug"])


def _tellJson(finding: Finding) -> None:
    import attrs
    import msgspec

    click.echo(msgspec.json.encode(attrs.asdict(finding)).decode())


def _tellLine(finding: Finding) -> None:
    todo = f"; {finding.todo}" if finding.todo else ""
    click.echo(f"{finding.verdict:<8} {finding.check}: {finding.told}{todo}")


def _makeTeller() -> Callable[[Finding], None]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    plain = not console.encoding.lower().startswith("utf")

    def tell(finding: Finding) -> None:
        mark, ascii_mark, colour = _MARKS[finding.verdict]
        text = Text(f"{finding.check}: {finding.told}", overflow="fold")
        text.stylize("bold", 0, len(finding.check))
        if finding.todo:
            text.append(f"\n{'->' if plain else '→'} {finding.todo}", style=colour)
        row = Table.grid(padding=(0, 1))
        row.add_column(width=1)
        row.add_column(overflow="fold")
        row.add_row(Text(ascii_mark if plain else mark, style=colour), text)
        console.print(row)

    return tell
