"""What goes wrong with any sub-command of `nodeset` is one line with an exit code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from nodeset.cli.group import COMMANDS, nodeset
from nodeset.cli.people.service import Service
from nodeset.core.grants.chain import Caveat, narrow
from tests.commands import FURL, PATIENCE, ROOT, CommandCase

#: What a command needs to get as far as its dispatcher, where that is not any word.
WORDS = {
    "call": ["calc", "add"],
    "completion": ["bash"],
    "grant": ["--publish", "a"],
    "revoke": ["5d1c2a7790e4a1b2c3d4e5f6"],
}
#: What narrows a grant on the spot, asking nobody.
NARROWING = {"grant"}
#: Those that look for a dispatcher, but also for what else may be wrong, and go on.
DIAGNOSES = {"doctor"}
NO_DISPATCHER, REFUSED, USAGE = 3, 4, 2


def everyCommand() -> dict[str, click.Command]:
    """All of them."""
    context = click.Context(nodeset)
    found = {name: nodeset.get_command(context, name) for names in COMMANDS.values() for name in names}
    return {name: command for name, command in found.items() if command is not None}


def people() -> dict[str, click.Command]:
    """All but the services, whose options, with what goes wrong with them, are Twisted's."""
    return {name: command for name, command in everyCommand().items() if not isinstance(command, Service)}


def visitors() -> list[str]:
    """Those that visit a dispatcher."""
    return [
        name
        for name, command in everyCommand().items()
        if {"timeout", "dispatcher"} <= {param.name for param in command.params} and name not in DIAGNOSES
    ]


def needed(name: str) -> list[str]:
    """The words without which it does nothing."""
    required = [param for param in everyCommand()[name].params if isinstance(param, click.Argument) and param.required]
    return WORDS.get(name, ["a" for _param in required])


class BadInputTests(CommandCase):
    """Every command of COMMANDS, whoever adds one."""

    def judge(self, cases: list[dict[str, Any]], codes: set[int], part: str = "") -> None:
        """Each ends with one of these codes, one line on stderr that names the command, no traceback, no secret."""
        for case, (code, out, err) in zip(cases, self.runCases(cases), strict=True):
            said = f"{case}: {code}, {out!r}, {err!r}"
            self.assertIn(code, codes, said)
            complaint = [line for line in err.splitlines() if "warning" not in line]
            self.assertEqual(len(complaint), 1, said)
            self.assertTrue(complaint[0].startswith("nodeset"), said)
            self.assertIn(part, err, said)
            self.assertNotIn("Traceback", out + err, said)
            self.assertNotIn("thesecret", out + err, said)
            self.assertLess(len(complaint[0]), 600, said)

    def test_unknownOption(self) -> None:
        """An option that is none is one line, exit code 2, for each command."""
        self.judge([{"words": [name, "--bogus"]} for name in everyCommand()], {USAGE}, "bogus")

    def test_near(self) -> None:
        """What is like an option or a command is named; `help` is --help, of all or of one."""
        line = "no such option '--cuont': did you mean '--count'? (see nodeset pub --help)"
        self.judge([{"words": ["pub", "--cuont", "3"]}], {USAGE}, line)
        help_of = [{"words": words} for words in (["help"], ["--help"], ["help", "pub"], ["pub", "--help"])]
        told = self.runCases(help_of)
        self.assertEqual((told[0], told[2]), (told[1], told[3]))
        self.assertEqual(told[0][0], 0)

    def test_neverThere(self) -> None:
        """Who has started no dispatcher yet is told so in one sentence, with the file that is missing once."""
        ((_code, _out, err),) = self.runCases([{"words": ["nodes", "--timeout", "0.2"]}])
        self.assertIn("dispatcher.furl is not there: start one with nodeset dispatcher", err)
        self.assertEqual(err.count("dispatcher.furl"), 1, err)

    def test_deadDispatcher(self) -> None:
        """Without a dispatcher, or with an address where nobody is, each says so in time: exit code 3."""
        cases = [{"words": [name, *needed(name), "--timeout", "0.2"]} for name in visitors()]
        cases += [{"words": [name, *needed(name), "--timeout", "0.2", "-d", FURL]} for name in ("nodes", "pub")]
        self.judge(cases, {NO_DISPATCHER}, "dispatcher")

    def test_wrongFurl(self) -> None:
        """A FURL that is none is exit code 2, without its secret, with the option as it is called here."""
        bad = ("pb://thesecret", "http://thesecret/", "pb://abcdefgh@tcp:localhost:1/" + "x" * 5000)
        cases = [{"words": [name, *needed(name), "-d", bad[0]]} for name in visitors()]
        self.judge([*cases, *({"words": ["nodes", "-d", furl]} for furl in bad)], {USAGE}, "--dispatcher: ")

    def test_refused(self) -> None:
        """Somebody else at the address is exit code 3; a grant that has expired is 4; with --debug there is a traceback."""
        self.startDispatcher()
        furl = (self.home / "state" / "localhost_5333_dispatcher.furl").read_text().strip()
        place, _slash, name = furl.rpartition("/")
        expired = f"{place}/{narrow(name, Caveat(bytes(8), expires=1))}"
        other = re.sub(r"pb://[a-z2-7]+@", f"pb://{FURL[5:37]}@", furl)
        # Nobody there, or somebody else, is the same to all of them: test_deadDispatcher asks each.
        everyone = [name for name in visitors() if name not in NARROWING]
        for text, code, names in ((expired, REFUSED, everyone), (other, NO_DISPATCHER, ["nodes", "pub"])):
            path = self.home / f"{code}.furl"
            path.write_text(text)
            path.chmod(0o600)
            there = ["--timeout", str(PATIENCE), "-d", f"@{path}"]
            self.judge([{"words": [name, *needed(name), *there]} for name in names], {code})
            ((found, out, err),) = self.runCases([{"words": ["nodes", *there, "--debug"]}])
            self.assertEqual(found, code, err)
            self.assertIn("Traceback", err)
            self.assertNotIn(text.rpartition("/")[2], out + err)

    def test_unwritable(self) -> None:
        """Help that nobody reads ends with exit code 141, on a full disk with 1, in one line."""
        for stdout, code in (("closed", 141), ("full", 1)):
            names = [["--help"], *([name, "--help"] for name in people())]
            self.judge([{"words": words, "stdout": stdout} for words in names], {code})

    def test_narrow(self) -> None:
        """Help fits 40 columns, but for examples, which are to be copied."""
        names = [[], *([name] for name in people())]
        cases = [{"words": [*words, "--help"], "env": {"COLUMNS": "40"}} for words in names]
        for case, (code, out, err) in zip(cases, self.runCases(cases), strict=True):
            self.assertEqual((code, err), (0, ""))
            text, _example, options = out.partition("Example:\n")
            for line in (text + options.partition("\n\n")[2]).splitlines():
                self.assertLessEqual(len(line), 40, f"{case}: {line}")


class SourceTests(CommandCase):
    """What the commands promise together."""

    def test_examples(self) -> None:
        """Each command says what it is for in a line, with an example."""
        for name, command in everyCommand().items():
            self.assertTrue(command.get_short_help_str(), name)
            if name in people():
                self.assertIn("Example:", command.help or "", name)

    def test_files(self) -> None:
        """Each command has a room of its name."""
        for name in everyCommand():
            self.assertTrue((Path(ROOT) / "nodeset" / "cli" / "people" / f"{name}.py").exists(), name)
