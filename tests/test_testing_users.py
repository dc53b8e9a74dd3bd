"""The test kit in the hands of users: modules of theirs, run by trial and by pytest."""

from __future__ import annotations

from tests.commands import PATIENCE, ROOT, CommandCase
from tests.documents import blocks

#: As installed, whether or not this environment was installed before the entry point was there.
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:nodeset", "-p", "nodeset.pytest_plugin"]
TRIAL = ["-m", "twisted.trial"]

PIZZA = """
import unittest

class TrialTests(SynchronousTestCase):
    def test_pizza(self):
        site = Site.forTest(self)
        site.node(Kitchen, name="kitchen")
        site.publish("orders.created", Order, id=1, dish="pizza")

class PlainTests(unittest.TestCase):
    def test_pizza(self):
        site = Site.forTest(self)
        site.node(Kitchen, name="kitchen")
        site.publish("orders.created", Order, id=1, dish="pizza")

def test_pizza(site):
    site.node(Kitchen, name="kitchen")
    site.publish("orders.created", Order, id=1, dish="pizza")

def test_both(site):
    test_pizza(site)
    assert not "what was asked"

def test_elsewhere(paris):
    test_pizza(paris)

@pytest.fixture
def paris():
    with Site(site="paris") as made:
        yield made
"""

WRONG = """
import pytest, sys

def test_early():
    assert not [name for name in sys.modules if name.startswith(("nodeset.", "twisted")) and name not in NAMES]

NAMES = ("nodeset.pytest_plugin", "nodeset.version")

def test_hang(site):
    from twisted.internet.defer import Deferred

    async def hang():
        await Deferred()

    site.wait(hang())

def test_timer(site):
    site.me.clock.callLater(5, print)

def test_stopsEvenThen(site):
    site.freeze(site.me)
    site.killDispatcher()
    raise LookupError("this one")
"""


class UserTests(CommandCase):
    """What a user writes, in a directory of his own."""

    def setUp(self) -> None:
        super().setUp()
        python = [code for _file, code in blocks(ROOT / "docs" / "testing.md", "python")]
        self.node, self.tests = python[0], python[1:3]

    def write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)

    def test_short(self) -> None:
        """The first test of the guide has less than ten lines, with trial as with pytest."""
        for test in self.tests:
            self.assertLess(len([line for line in test.splitlines() if line]), 12)
            self.assertLess(len(test[test.index("    def test") if "class" in test else 0 :].splitlines()), 10)

    def askAll(self, *commands: list[str]) -> list[tuple[int, str]]:
        """Run these beside each other to their ends: the exit code of each, with all that it has printed."""
        children = [self.spawn(*words) for words in commands]
        printed = ["".join(child.communicate(timeout=PATIENCE)) for child in children]
        return [(child.returncode, text) for child, text in zip(children, printed, strict=True)]

    def test_asInTheGuide(self) -> None:
        """The first tests of the guide pass, by trial and by pytest."""
        self.write("test_kitchen.py", "\n".join([self.node, *self.tests]))
        by_trial, by_pytest = self.askAll([*TRIAL, "test_kitchen"], [*PYTEST, "test_kitchen.py"])
        self.assertEqual((by_trial[0], by_pytest[0]), (0, 0), by_trial[1] + by_pytest[1])
        self.assertIn("PASSED (successes=1)", by_trial[1])
        self.assertIn("2 passed", by_pytest[1])

    def test_failingHandler(self) -> None:
        """A handler that raises fails the test, by trial, by unittest, by pytest; each shows the exception and where it was."""
        self.write("test_pizza.py", "\n".join([self.node, *self.tests, "import pytest", PIZZA]))
        by_trial, by_unittest, by_pytest = self.askAll(
            [*TRIAL, "test_pizza.TrialTests"], ["-m", "unittest", "test_pizza.PlainTests"], [*PYTEST, "test_pizza.py"]
        )
        self.assertEqual((by_trial[0], by_unittest[0], by_pytest[0]), (1, 1, 1))
        self.assertIn("FAILED (errors=1)", by_trial[1])
        self.assertIn("there is no pizza on the menu", by_trial[1])
        self.assertIn("site.flushErrors(LookupError)", by_unittest[1])
        out = by_pytest[1]
        self.assertIn("5 failed, 2 passed", out)
        self.assertNotIn("ERROR at teardown", out)
        # The lines that begin with E alone: with CI set pytest does not shorten its summary, which says each of them again.
        raised = [
            line for line in out.splitlines() if line.startswith("E ") and "1 error was logged that nobody looked at" in line
        ]
        self.assertEqual(len(raised), 3, out)
        self.assertIn("logged meanwhile: kitchen.cook failed at orders.created: LookupError: there is no pizza", out)
        self.assertIn("line 17, in cook", out)

    def test_wrong(self) -> None:
        """Nothing of NodeSet is read before the fixture is used; what hangs, leaves timers or raises is told as such."""
        self.write("test_wrong.py", WRONG)
        code, out, err = self.ask(*PYTEST, "test_wrong.py")
        self.assertEqual(code, 1, out + err)
        self.assertIn("2 failed, 2 passed, 1 error", out, out + err)
        self.assertIn("nothing came within 120 s of the site's time from test_hang.<locals>.hang()", out)
        self.assertIn("which is at test_wrong.py:13: await Deferred(); the dispatcher runs", out)
        self.assertIn("timers are left on the clock, cancel them in stopService: me: print, due in 5 s", out)
        self.assertIn("LookupError: this one", out)
