"""What can be imported from `nodeset` itself, as a table that leads to where each thing lives."""

from __future__ import annotations

import inspect

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import nodeset


class FrontDoorDirective(SphinxDirective):
    """A row for each name in `nodeset.__all__`."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        lines = [".. list-table::", "   :widths: 30 70", ""]
        for name in nodeset.__all__:
            thing = getattr(nodeset, name)
            if not hasattr(thing, "__module__"):
                continue
            role = "func" if inspect.isfunction(thing) else "exc" if issubclass(thing, BaseException) else "class"
            summary = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
            first = summary.partition(". ")[0].rstrip(".:")
            lines += [f"   * - :py:{role}:`nodeset.{name} <{thing.__module__}.{name}>`", f"     - {first}."]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="nodeset/__init__.py"), 0, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("frontdoor", FrontDoorDirective)
    return {"parallel_read_safe": True}
