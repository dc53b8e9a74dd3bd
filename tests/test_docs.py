"""The documents tell the truth: their code runs, their links lead somewhere, their options exist."""

from __future__ import annotations

import doctest
import io
import pkgutil
import re
import sys
from contextlib import redirect_stdout
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import Any

import click
from twisted.application.service import ServiceMaker
from twisted.plugins import nodeset_plugin
from twisted.trial.unittest import SynchronousTestCase

import nodeset
from nodeset.cli import group
from nodeset.cli.opening.words import BadWords
from nodeset.cli.opening.words import read as readWords
from nodeset.cli.options import CommonOptions, withTwistd
from tests import documents
from tests.documents import DOCUMENTS, ROOT, blocks, commandsIn, consoleLines

SERVICES = {each.tapname: each.module for each in vars(nodeset_plugin).values() if isinstance(each, ServiceMaker)}


def optionsOf(service: str) -> set[str]:
    """The long options of a service that its --help shows, those of twistd included."""
    options = _options(service)
    return {name for each in options.longOpt if options.isShown(name := each.rstrip("="))}


def _options(service: str) -> CommonOptions:
    return withTwistd(import_module(SERVICES[service]).Options, "x")


def complainOpen(words: list[str]) -> str:
    """What nodeset-open does not know of these words, or nothing."""
    try:
        readWords(words)
    except BadWords as error:
        return str(error)
    return ""


def complainService(name: str, words: list[str]) -> str:
    """What a service does not know of these words, or nothing."""
    options = _options(name)
    known = {each.rstrip("=") for each in options.longOpt} | {f"-{each}" for each in options.shortOpt.replace(":", "")}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    unknown = [each for each in given if each.removeprefix("--") not in known]
    return f"{name} has no {unknown[0]}" if unknown else ""


def complainCommand(words: list[str]) -> str:
    """What `nodeset` would say of the names and the number of these words, or nothing; it is not run."""
    try:
        parent = group.nodeset.make_context("nodeset", list(words), resilient_parsing=True)
        if {"--help", "-h", "--version"} & set(words) or not words:
            return ""
        name, *rest = words
        command = group.nodeset.get_command(parent, name)
        if command is None:
            return f"nodeset has no {name}"
        if command.context_settings.get("ignore_unknown_options"):
            return complainService(f"nodeset-{name}", rest)
        context = click.Context(command, info_name=name, parent=parent)
        values, beyond, _order = command.make_parser(context).parse_args(rest)
        if beyond:
            return f"nodeset {name} does not take {beyond[0]}"
        for each in command.params:
            if each.required and not isinstance(values.get(each.name or ""), (str, tuple, list)):
                return f"nodeset {name} needs {each.human_readable_name}"
    except click.ClickException as error:
        return error.format_message()
    return ""


class DocumentTests(SynchronousTestCase):
    """README, CONTRIBUTING, CHANGELOG, docs."""

    def test_python(self) -> None:
        """Every Python block that is no file of its own runs, after those before it in the same document."""
        ran = 0
        for document in DOCUMENTS:
            module = ModuleType("document")
            self.patch(sys, "modules", {**sys.modules, "document": module})
            names: dict[str, Any] = module.__dict__
            for file, code in blocks(document, "python"):
                if file is None:
                    with redirect_stdout(io.StringIO()):
                        exec(compile(code, str(document.name), "exec"), names)
                    ran += 1
                else:
                    compile(code, file, "exec")
        self.assertGreater(ran, 2)
        self.flushLoggedErrors(LookupError)  # docs/calls.md shows how a method's exception comes back; it is logged, once

    def test_examples(self) -> None:
        """The README's first program is the one in examples/simple, but for the remarks to our tools."""
        for file, code in blocks(ROOT / "README.md", "python"):
            if file is not None:
                example = (ROOT / "examples" / "simple" / file).read_text()
                for line in code.splitlines():
                    self.assertIn(line.strip(), example.replace("  # type:", "\n"), f"{file}: {line}")

    def test_links(self) -> None:
        """Every link to a file leads to one."""
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8")):
                self.assertTrue((document.parent / target).exists(), f"{document.name} links to {target}")

    def test_files(self) -> None:
        """Every file that docs/design.md names is there."""
        for name in re.findall(r"nodeset/\w+/\w+\.py", (ROOT / "docs" / "design.md").read_text("utf-8")):
            self.assertTrue((ROOT / name).exists(), name)

    def test_commands(self) -> None:
        """Every command line in a document is one that its command takes: sub-command, options, number of words."""
        seen = 0
        for document in DOCUMENTS:
            for line in consoleLines(document):
                for name, *words in commandsIn(line):
                    if name == "twistd" and (service := next((word for word in words if word in SERVICES), None)):
                        complaint = complainService(service, words)
                    elif name in SERVICES:
                        complaint = complainService(name, words)
                    elif name in ("nodeset-open", "nrv-open"):
                        complaint = complainOpen(words)
                    elif name == "nodeset":
                        complaint = complainCommand(words)
                    else:
                        continue
                    self.assertEqual(complaint, "", f"{document.name}: {line}")
                    seen += 1
        self.assertGreater(seen, 5)

    def test_commandsFound(self) -> None:
        """A sub-command, an option, a word that does not exist is found."""
        for line in ("nodeset nosuch", "nodeset nodes --nosuch", "nodeset nodes a b"):
            self.assertNotEqual(complainCommand(line.split()[1:]), "", line)
        self.assertNotEqual(complainService("nodeset-node", ["subscriber", "--nosuch=1"]), "")
        self.assertEqual(complainCommand(["nodes", "--json", "kitchen", "-d", "@bus.furl"]), "")


class DocstringTests(SynchronousTestCase):
    """The examples in docstrings."""

    def test_run(self) -> None:
        """Every `>>>` in a docstring of the package gives what it shows."""
        rooms = [nodeset, documents]
        rooms += [
            import_module(each.name)
            for each in pkgutil.walk_packages(nodeset.__path__, "nodeset.")
            if each.name != "nodeset.__main__"
        ]
        finder, ran = doctest.DocTestFinder(exclude_empty=True), 0
        for room in rooms:
            for test in filter(attrgetter("examples"), finder.find(room, room.__name__)):
                said = io.StringIO()
                result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL).run(
                    test, out=said.write
                )
                self.assertEqual(result.failed, 0, said.getvalue())
                ran += result.attempted
        self.assertGreater(ran, 5)
