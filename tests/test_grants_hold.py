"""Grants beside the other things that nodes do: last values, names, links of many."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from nodeset.core.calls.expose import expose
from nodeset.errors import NodeSetError, Refused, UnknownNode
from tests.grantees import GrantCase
from tests.sites import Order, Quiet


class RetainedTests(GrantCase):
    """Last values under grants."""

    def test_newcomer(self) -> None:
        """A newcomer gets last values from whoever may publish them, from nobody else, whatever that one keeps."""
        good, bad = self.holder(self.granted(publish=["prices.>"]), "good"), self.holder(self.granted(publish=["x"]), "bad")
        self.site.wait(good.publish("prices.tea", Order, id=1, retain=True))
        self.failing(Refused, bad.publish("prices.soup", Order, id=2, retain=True))
        newcomer = self.holder(self.granted(subscribe=["prices.*"]), "newcomer")
        self.assertTrue(self.subscribesTo(newcomer, "prices.*"))
        self.site.advance(1.0)
        self.assertEqual(newcomer.events(), ["prices.tea"])
        self.assertFalse(self.subscribesTo(newcomer, "prices.>"))

    def test_revoked(self) -> None:
        """After its grant is gone nobody gets its last values, and nobody is asked for what is not there."""
        furl = self.granted(publish=["prices.>"])
        keeper = self.holder(furl, "keeper")
        self.site.wait(keeper.publish("prices.tea", Order, id=1, retain=True))
        self.site.wait(self.owner.revoke(furl))
        newcomer = self.holder(self.site.member, "newcomer")
        self.assertTrue(self.subscribesTo(newcomer, "prices.*"))
        self.site.advance(3.0)
        self.assertEqual(newcomer.events(), [])


class CallTests(GrantCase):
    """Calls under grants that end."""

    def test_midCall(self) -> None:
        """Who is cut off in the middle of a call learns that its outcome is unknown; who had called it, as well."""
        furl = self.granted(call=["slow"], answer=["slow"])
        slow, caller = self.site.node(Slow, name="slow", grant=furl), self.site.node(Quiet, name="caller", grant=furl)
        waiting, called = self.listener.call("slow", "sleep", timeout=30), caller.call("slow", "sleep", timeout=30)
        self.site.advance(0.5)
        self.assertEqual(slow.begun, 2)
        self.site.wait(self.owner.revoke(furl))
        for each in (waiting, called):
            self.failing(NodeSetError, each)

    def test_notMine(self) -> None:
        """A node whose grant does not let it answer under its name is not there for callers, one that may is."""
        self.site.node(Slow, name="calc", grant=self.granted(answer=["other"]))

        self.failing(UnknownNode, self.listener.call("calc", "quick"))
        self.site.node(Slow, name="calc", grant=self.granted(answer=["calc"]))
        self.assertEqual([self.site.wait(self.listener.call("calc", "quick")) for _ in range(4)], ["here"] * 4)
        found = self.site.wait(self.listener.call("calc", "quick", mode="all"))
        self.assertEqual(len(found), 1)


class Slow(Quiet):
    """A node with a method that takes its time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.begun = 0

    @expose
    def sleep(self) -> Deferred[None]:
        """Never answers."""
        self.begun += 1
        return Deferred()

    @expose
    def quick(self) -> str:
        return "here"
