"""What the page says when somebody is gone, how it comes back."""

from __future__ import annotations

from tests.browser.house import House, brokenHouse
from tests.browser.window import WindowCase, audit


class LossTests(WindowCase):
    #: A browser says by itself that a connection was refused or cut, or what a bridge without a dispatcher answers.
    expected = r"net::ERR_|status of 503"

    def makeHouse(self) -> House:
        house = brokenHouse()
        house.open()
        return house

    def test_dispatcher(self) -> None:
        """The page says that the dispatcher is gone, that it is back, by itself; its tail goes on."""
        page = self.open()
        self.shows(page, ".tail li", "shop.ticked")
        self.house.stop("dispatcher")
        self.shows(page, "#status-text", "Dispatcher gone")
        self.shows(page, "#banner", "The dispatcher is gone.")
        self.assertIn("Dispatcher gone", page.title())
        self.assertEqual(audit(page), [])
        self.house.startDispatcher()
        self.shows(page, "#status-text", "Live")
        self.assertFalse(page.locator("#banner").is_visible())
        page.get_by_role("button", name="Clear").click()
        self.shows(page, ".tail li", "shop.ticked")

    def test_bridge(self) -> None:
        """The page says that the bridge itself is gone, keeps what it knew, comes back by itself when that does."""
        page = self.open(width=400, theme="dark")
        self.shows(page, "#nodes tbody tr", "shop")
        self.house.stop("web")
        self.shows(page, "#status-text", "Bridge gone")
        self.shows(page, "#banner", "nodeset-web does not answer.")
        self.shows(page, "#nodes tbody tr", "shop")
        self.assertEqual(audit(page), [])
        self.house.startWeb()
        self.shows(page, "#status-text", "Live")
        page.get_by_role("button", name="Clear").click()
        self.shows(page, ".tail li", "shop.ticked")

    def test_refused(self) -> None:
        """Where nobody gets in without credentials the page says so, shows nothing, until a grant is given."""
        self.expected = r"net::ERR_|status of (401|503)"
        self.house.stop("web")
        self.house.startWeb("--anonymous", "refuse")
        self.addCleanup(self.house.stop, "web")
        page = self.blank()
        page.goto(f"{self.house.address}/")
        self.shows(page, "#banner", "This bridge wants a grant.")
        self.assertEqual(page.locator("#nodes tbody tr").count(), 0)
        page.get_by_role("button", name="Use a grant").click()
        page.fill("#grant-token", self.house.grant("--expires", "1h"))
        page.get_by_role("button", name="Use it").click()
        self.shows(page, "#status-text", "Live")
        self.shows(page, ".tail li", "shop.ticked")
