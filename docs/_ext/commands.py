"""The help texts of `nodeset` as sphinx-click shows them, with their examples as code."""

from __future__ import annotations

import re

import click
from sphinx.application import Sphinx
from sphinx.util.rst import escape


def _tidy(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """What follows `Example:` is code; the rest is text, in which nothing is markup."""
    made: list[str] = []
    in_code = False
    for line in lines:
        bare = line.removeprefix("| ")
        if re.fullmatch(r"Examples?:\s*", bare.strip()):
            in_code = True
            made += ["", ".. code-block:: console", ""]
        elif in_code and (bare.startswith(" ") or not bare.strip()):
            made.append(f"   $ {bare.strip()}" if bare.strip() else "")
        else:
            if in_code:
                made.append("")
            in_code = False
            made.append(escape(line) if not line.startswith("| ") else f"| {escape(bare)}")
    lines[:] = [*made, ""]


def _pointToService(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """A sub-command that is a service leads to where its options are."""
    if _isService(context):
        service = f"nodeset-{context.info_name}"
        lines += [f"It runs in the foreground, and takes the options of :doc:`{service} </reference/services>`.", ""]


def _leaveOut(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    if _isService(context):
        lines.clear()


def _isService(context: click.Context) -> bool:
    return bool(context.command.context_settings.get("ignore_unknown_options"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("sphinx-click-process-description", _tidy)
    app.connect("sphinx-click-process-description", _pointToService, priority=600)
    app.connect("sphinx-click-process-arguments", _leaveOut)
    return {"parallel_read_safe": True}
