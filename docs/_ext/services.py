"""The options of the services, read from the classes that parse them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.rst import escape
from twisted.application.service import ServiceMaker
from twisted.plugins import nodeset_plugin

from nodeset.cli.opening.words import HELP
from nodeset.cli.options import withTwistd
from nodeset.settings import NAMES, environmentName


def listServices() -> list[ServiceMaker]:
    """What the plugin offers to twistd, in its order."""
    return [each for each in vars(nodeset_plugin).values() if isinstance(each, ServiceMaker)]


class ServicesDirective(SphinxDirective):
    """A section for each service, of its --help; twistd's own options come once, after them."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        made = []
        for maker in listServices():
            options = withTwistd(import_module(maker.module).Options, "")
            made.append(self._section(maker.tapname, "\n".join(_describe(maker, options))))
        made.append(self._section("nodeset-open", "\n".join(_describeOpen())))
        made.append(self._section("Options of twistd", "\n".join(_describeTwistd())))
        return made

    def _section(self, title: str, text: str) -> nodes.section:
        section = nodes.section(
            "", nodes.title(text=title), ids=[nodes.make_id(title)], names=[nodes.fully_normalize_name(title)]
        )
        self.state.document.note_implicit_target(section, section)
        self.state.nested_parse(StringList(text.splitlines(), source=title), 0, section)
        return section


def _describe(maker: ServiceMaker, options: Any) -> Iterator[str]:
    yield from (escape(options.longdesc), "")
    yield from (".. code-block:: text", "", f"   {options.synopsis.removeprefix('Usage: ')}", "")
    yield from (f".. program:: {maker.tapname}", "")
    yield from _describeOptions(options, _shown(options, is_theirs=False))
    yield from ("Example::", "", *(f"   {line.strip()}" for line in options.example.splitlines()), "")


def _describeOpen() -> Iterator[str]:
    """It is no service: its words are read by itself, before Twisted is imported."""
    help_lines = HELP.format(called="nodeset-open").splitlines()
    yield from (".. code-block:: text", "", *(f"   {line}" for line in help_lines), "")


def _describeTwistd() -> Iterator[str]:
    first = import_module(listServices()[0].module).Options
    options = withTwistd(first, "")
    yield from ("Every service takes these of twistd, which runs it:", "", ".. program:: twistd", "")
    yield from _describeOptions(options, _shown(options, is_theirs=True))


def _shown(options: Any, is_theirs: bool) -> list[str]:
    """The options that --help speaks of: twistd's, or all others."""
    names = [(each, each.rstrip("=")) for each in options.longOpt]
    return [each for each, name in names if options.isShown(name) and (name in options.twistds) == is_theirs]


def _describeOptions(options: Any, shown: list[str]) -> Iterator[str]:
    shorts = {long: short for short, long in options.synonyms.items() if len(short) == 1 and short != long}
    for each in dict.fromkeys(shown):
        name = each.rstrip("=")
        names = [f"-{shorts[name]}"] if name in shorts else []
        names.append(f"--{name}")
        value = " <value>" if each.endswith("=") else ""
        yield from (f".. option:: {', '.join(each + value for each in names)}", "")
        text = " ".join(str(options.docs.get(name) or _docstring(options, name)).split())
        yield from (f"   {escape(text)}", "")
        field = name.replace("-", "_")
        if field in NAMES:
            yield from (f"   Or by ``${environmentName(field)}``.", "")


def _docstring(options: Any, name: str) -> str:
    method = getattr(options, f"opt_{name.replace('-', '_')}", None)
    return re.sub(r"\s+", " ", (method.__doc__ or "").strip()) if method is not None else ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("services", ServicesDirective)
    return {"parallel_read_safe": True}
