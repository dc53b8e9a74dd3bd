"""Rows of text in columns, as wide as the terminal allows."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Final

from nodeset.cli.shown import hasColours, paint, printable, terminalWidth

__all__ = ["layOut", "printTable"]

_GAP: Final = 2
#: Characters that the last column keeps at least when it is folded.
_LEAST: Final = 16

#: A text, or one with the styles in which it is painted.
Cell = str | tuple[str, str]


def _text(cell: Cell) -> str:
    return printable(cell if isinstance(cell, str) else cell[0])


def _painted(cell: Cell, coloured: bool, text: str | None = None) -> str:
    shown = _text(cell) if text is None else text
    return paint(shown, cell[1]) if coloured and not isinstance(cell, str) and cell[1] else shown


def _wrap(text: str, width: int) -> list[str]:
    """The text in lines, one at least; wide letters count twice."""
    from rich.cells import cell_len, chop_cells

    parts = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    return [line for part in parts for line in (chop_cells(part, width) if cell_len(part) > width else [part])]


def layOut(
    titles: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    width: int | None = None,
    right: Sequence[str] = (),
    coloured: bool = False,
) -> list[str]:
    """The lines of a table; what would be wider than `width` is folded, or set as a paragraph for each row.

    :param right: the titles of the columns that are set to the right.

    >>> layOut(["node", "queued"], [["kitchen", "3"]], right=["queued"])
    ['node     queued', 'kitchen       3']
    """
    from rich.cells import cell_len

    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(titles, *texts, strict=True)]
    before = sum(widths[:-1]) + _GAP * (len(widths) - 1)
    if width is not None and before + widths[-1] > width:
        if before + _LEAST > width or titles[-1] in right:
            return [line for row in rows for line in _paragraph(titles, row, width, coloured)]
        widths[-1] = width - before
    lines = [_line(titles, widths, titles, right, coloured, [(title, "dim") for title in titles])]
    for row, given in zip(rows, texts, strict=True):
        first, *more = _wrap(given[-1], widths[-1])
        lines.append(_line([*given[:-1], first], widths, titles, right, coloured, row))
        lines += [" " * before + each for each in more]
    return lines


def _line(
    texts: Sequence[str],
    widths: Sequence[int],
    titles: Sequence[str],
    right: Sequence[str],
    coloured: bool,
    row: Sequence[Cell],
) -> str:
    from rich.cells import cell_len

    parts = []
    for text, width, title, cell in zip(texts, widths, titles, row, strict=True):
        space = " " * (width - cell_len(text))
        shown = _painted(cell, coloured, text)
        parts.append(space + shown if title in right else shown + space)
    return (" " * _GAP).join(parts).rstrip()


def _paragraph(titles: Sequence[str], row: Sequence[Cell], width: int, coloured: bool) -> list[str]:
    lines = [_painted(row[0], coloured, part) for part in _wrap(_text(row[0]), width)]
    wide = max(map(len, titles)) + _GAP * 2
    beside = width - wide >= _LEAST
    for title, cell in zip(titles[1:], row[1:], strict=True):
        label = f"{' ' * _GAP}{title}"
        label = paint(label.ljust(wide), "dim") if coloured else label.ljust(wide)
        indent = wide if beside else 2 * _GAP
        parts = [_painted(cell, coloured, part) for part in _wrap(_text(cell), max(width - indent, 2))]
        if beside:
            lines.append(f"{label}{parts.pop(0)}".rstrip())
        else:
            lines.append(label.rstrip())
        lines += [" " * indent + each for each in parts]
    return lines


def printTable(titles: Sequence[str], rows: Sequence[Sequence[Cell]], right: Sequence[str] = ()) -> None:
    """Print them: fitted to the terminal, coloured where that may be; as wide as they are anywhere else."""
    import click

    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = terminalWidth() if terminal else None
    for line in layOut(titles, rows, width, right, hasColours(sys.stdout)):
        click.echo(line, color=True)
