"""The examples do what they say, as real processes beside a real dispatcher."""

from __future__ import annotations

import time

from tests.commands import PATIENCE, ROOT, CommandCase

EXAMPLES = ROOT / "examples"


class ExampleTests(CommandCase):
    """Each with a state directory of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.furl = self.home / "bus.furl"
        self.env["NODESET_DISPATCHER"] = str(self.furl)
        self.startDispatcher("--furlfile", str(self.furl))

    def example(self, *words: str, **env: str) -> list[str]:
        """The lines that an example prints; it must end well."""
        code, out, err = self.ask(*words, **env)
        self.assertEqual(code, 0, out + err)
        return out.splitlines()

    def test_calls(self) -> None:
        """A guest calls a kitchen: results with their types, errors with their reasons, a menu line by line."""
        kitchen = self.spawn(str(EXAMPLES / "calls" / "kitchen.py"))
        self.awaitLine(kitchen, "the kitchen is open")
        lines = self.example(str(EXAMPLES / "calls" / "guest.py"))
        self.assertEqual(lines[:4], ["two soups: 9.00", "a hot tea", "menu: soup at 4.50", "menu: tea at 2.20"])
        self.assertTrue(lines[4].startswith("RemoteError: "), lines)
        self.assertIn("there is no pizza on the menu", lines[4])
        self.assertTrue(lines[5].startswith("BadArguments: "), lines)
        self.assertIn("dish", lines[5])
        self.assertTrue(lines[6].startswith("UnknownMethod: "), lines)
        self.assertEqual(lines[7:], ["no roast today"])
        self.assertEqual(self.stop(kitchen), 0)

    def test_capabilities(self) -> None:
        """An owner grants; a guest with another state directory does just that, hands a smaller grant on, takes it back."""
        (owner_file,) = (self.home / "state").glob("*.owner.furl")
        guest_file = self.home / "guest.furl"
        (line,) = self.example(str(EXAMPLES / "capabilities" / "owner.py"), str(owner_file), str(guest_file))
        self.assertIn("guest.furl", line)
        self.assertEqual(guest_file.stat().st_mode & 0o777, 0o600)
        elsewhere = {"NODESET_HOME": str(self.home / "elsewhere"), "NODESET_DISPATCHER": ""}
        begin = time.monotonic()
        lines = self.example(str(EXAMPLES / "capabilities" / "guest.py"), str(guest_file), **elsewhere)
        self.assertEqual(
            lines,
            [
                "publish orders.created: Receipt(matched=0, delivered=0, dropped=0)",
                "publish prices.soup: Refused",
                "subscribe to orders.>: Refused",
                "the friend publishes orders.created: Receipt(matched=0, delivered=0, dropped=0)",
                "the friend publishes orders.paid: Refused",
                "the friend comes back: GrantRefused",
            ],
        )
        self.assertLess(time.monotonic() - begin, PATIENCE / 2, "what is refused is refused at once")
