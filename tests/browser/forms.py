"""What who came with a grant can do on the page."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.house import await_
from tests.browser.window import WindowCase, audit


class FormsTests(WindowCase):
    #: What the browser itself says of an answer that the test wants: a token that is none, a call that fails.
    expected = r"status of (401|403|404|405|502)"

    def useGrant(self, page: Page, token: str) -> None:
        page.get_by_role("button", name="Use a grant").click()
        page.fill("#grant-token", token)
        page.get_by_role("button", name="Use it").click()

    def test_work(self) -> None:
        """With a grant there are forms: what is published is received, what is called returns, within the grant's rights."""
        page = self.open()
        self.assertEqual(page.locator("#publish:visible, #call:visible").count(), 0)
        words = ["--publish", "shop.*", "--subscribe", "shop.*", "--call", "shop/*", "--call", "nodeset/nodes"]
        token = self.house.grant(*words)
        self.useGrant(page, token)
        publish, call = page.locator("#publish"), page.locator("#call")
        publish.wait_for()
        publish.get_by_label("Event").fill("shop.opened")
        publish.get_by_label("Message").fill('{"door": "from the page"}')
        publish.get_by_role("button", name="Publish").click()
        self.shows(page, "#publish .said", "Published, for ")
        await_(lambda: any("from the page" in line for line in self.house.heard("shop")), "the event at the shop")
        publish.get_by_label("Event").fill("other.event")
        publish.get_by_role("button", name="Publish").click()
        self.shows(page, "#publish .said[data-tone=bad]", "")
        call.get_by_label("Node").fill("shop")
        call.get_by_label("Method").fill("add")
        call.get_by_label("Arguments, a JSON list").fill("[40, 2]")
        call.get_by_role("button", name="Call").click()
        self.shows(page, "#call .result", "42")
        call.get_by_label("Method").fill("refuse")
        call.get_by_label("Arguments, a JSON list").fill("[]")
        call.get_by_role("button", name="Call").click()
        self.shows(page, "#call .said[data-tone=bad]", "<b>not today</b>")
        self.assertEqual(audit(page), [])
        kept = page.evaluate("JSON.stringify([sessionStorage, localStorage])")
        self.assertEqual((kept.count(token), page.evaluate("location.href").count(token)), (1, 0))
        self.assertNotIn(token, page.evaluate("document.cookie"))
        page.get_by_role("button", name="Your grant").click()
        page.get_by_role("button", name="Forget it").click()
        publish.wait_for(state="hidden")
        self.assertEqual(page.evaluate("sessionStorage.length"), 0)

    def test_narrow(self) -> None:
        """What a grant does not allow is said where it would stand, with what is lacking, instead of tried again for ever."""
        page = self.open()
        self.useGrant(page, self.house.grant("--publish", "shop.*"))
        self.shows(page, "#status", "No access")
        self.shows(page, "#banner", "nodeset/stats")
        self.shows(page, "#tail", "does not let it subscribe to '>'")

    def test_wrong(self) -> None:
        """A token that is none is refused in the dialog, with the reason; the page stays as it was."""
        page = self.open()
        self.useGrant(page, "g1.nonsense")
        page.locator("#grant-said").filter(has_text=" ").wait_for()
        self.assertEqual(audit(page), [])
        page.get_by_role("button", name="Cancel").click()
        self.shows(page, "#status-text", "Live")
        self.assertEqual(page.evaluate("sessionStorage.length"), 0)
