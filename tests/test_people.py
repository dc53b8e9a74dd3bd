"""The command `nodeset`: its help, its complaints, a first look at a dispatcher."""

from __future__ import annotations

import msgspec

from tests.commands import FURL, NODE, NODESET, CommandCase


class NodesetTests(CommandCase):
    """What people type."""

    def test_help(self) -> None:
        """--help lists the sub-commands; each has its own, with an example."""
        from nodeset.cli.group import COMMANDS

        commands = [name for names in COMMANDS.values() for name in names]
        (code, out, err), *told = self.runCases([{"words": [*words, "--help"]} for words in ([], *zip(commands))])
        self.assertEqual((code, err), (0, ""))
        for name, (code, out_of_one, err) in zip(commands, told, strict=True):
            self.assertIn(f"  {name} ", out)
            self.assertEqual((code, err), (0, ""))
            self.assertIn("Example:\n", out_of_one)

    def test_services(self) -> None:
        """`nodeset dispatcher`, `nodeset node` stay in the foreground, need no extra, say so in their own --help."""
        without = ["-c", "import sys; sys.modules['click'] = None; from nodeset.cli.main import main; main()"]
        child = self.spawn(*NODESET, "dispatcher", "--listen", "localhost:0")
        self.awaitLine(child, "listening on")
        for words in (NODESET, without):
            member = self.spawn(*words, "node")
            self.awaitLine(member, "is linked to its dispatcher")
            self.assertEqual(self.stop(member), 0)
            for service in ("dispatcher", "node"):
                code, out, err = self.ask(*words, service, "--help")
                self.assertEqual((code, err), (0, ""))
                self.assertIn(f"Usage: nodeset {service} ", out)
                self.assertNotIn("becomes a daemon", out)
        self.assertEqual(self.stop(child), 0)
        self.refuses(2, "nodeset dispatcher --help", *NODESET, "dispatcher", "--bogus")
        self.refuses(2, "pip install", *without, "nodes")

    def test_unknownCommand(self) -> None:
        """A sub-command, or an option, that is none is one line with exit code 2."""
        self.refuses(2, "'nod'", *NODESET, "nod")
        self.refuses(2, "--nod", *NODESET, "nodes", "--nod")
        self.refuses(2, "'soon'", *NODESET, "nodes", "--timeout", "soon")

    def test_deadDispatcher(self) -> None:
        """Without a dispatcher a command says so in time, and what to do, with exit code 3."""
        self.refuses(3, "nodeset dispatcher", *NODESET, "nodes", "--timeout", "0.2")
        self.refuses(3, "of-another", *NODESET, "nodes", "--timeout", "0.2", "--dispatcher-url", "of-another")

    def test_furlAsArgument(self) -> None:
        """A FURL on the command line works, with a warning that everybody can see it."""
        code, out, err = self.ask(*NODESET, "nodes", "--timeout", "0.2", "--dispatcher", FURL)
        self.assertEqual(code, 3, err)
        self.assertIn("warning", err.splitlines()[0])
        self.assertNotIn("thesecret", out + err)

    def test_nodes(self) -> None:
        """`nodes` lists who is there, but for itself."""
        self.startDispatcher()
        other = self.spawn(*NODE, "-n", "subscriber", "--event", "orders.*", "--name", "kitchen")
        assert other.stderr is not None
        while "subscribed" not in (line := other.stderr.readline()):
            self.assertTrue(line, "it ended before it had subscribed")
        code, out, err = self.ask(*NODESET, "nodes", "--json")
        self.assertEqual((code, err), (0, ""))
        (told,) = [msgspec.json.decode(line) for line in out.splitlines()]
        self.assertEqual((told["name"], told["subscriptions"]), ("kitchen", ["orders.*"]))
        code, out, err = self.ask(*NODESET, "nodes")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("kitchen@localhost", out)
