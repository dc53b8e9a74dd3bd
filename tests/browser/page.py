"""What everybody sees who opens the page."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from tests.browser.house import await_
from tests.browser.window import WINDOWS, WindowCase, audit

HOSTILE = "<img src=x onerror=document.title='owned'>"
#: A name may have no space in it, no `>`.
HOSTILE_NAME = "evil.<img&lt;onerror='owned'"


class PageTests(WindowCase):
    def test_loads(self) -> None:
        """The page shows the nodes with their health, who subscribes to what, events going on, what is queued."""
        page = self.open()
        self.shows(page, "#nodes tbody tr", "shop")
        self.shows(page, "#nodes tbody tr", "Up")
        self.shows(page, "#graph svg", "shop.opened")
        self.shows(page, "[data-tile=published] .tile-value", "4")
        self.shows(page, "#queues", "No event waits for a node")
        self.assertGreaterEqual(page.locator(".plot canvas").count(), 3)
        self.assertEqual(page.locator("#publish:visible, #call:visible").count(), 0)

    def test_twins(self) -> None:
        """Nodes of one name in one process have a row each; in the drawing they share a box."""
        page = self.open()
        self.shows(page, "#nodes tbody tr", "till")
        self.assertEqual(page.locator("#nodes tbody tr", has_text="till").count(), 2)
        self.assertRegex(page.locator("#graph svg").text_content() or "", r"till \W2")

    def test_tail(self) -> None:
        """An event that was just published is in the tail; its payload opens."""
        page = self.open()
        page.fill("#tail input", "shop.opened")
        page.click("#tail button[type=submit]")
        self.shows(page, ".tail-told", "since opened")
        self.house.publish("shop.opened", {"door": "north"})
        self.shows(page, ".tail li", "shop.opened")
        page.locator(".tail summary").first.click()
        self.shows(page, ".tail-whole", '"door": "north"')

    def test_paused(self) -> None:
        """A paused tail stands still, counts what it does not show, goes on when told to; clear empties it."""
        page = self.open()
        self.shows(page, ".tail li", "shop.ticked")
        page.get_by_role("button", name="Pause").click()
        self.shows(page, ".tail-told", re.compile(r"[1-9]\d* not shown"))
        page.get_by_role("button", name="Clear").click()
        self.assertEqual(page.locator(".tail li").count(), 0)
        page.get_by_role("button", name="Go on").click()
        self.shows(page, ".tail li", "shop.ticked")

    def test_many(self) -> None:
        """Of many events the newest two hundred are shown, the rest are counted: the page does not grow."""
        page = self.open()
        page.fill("#tail input", "burst.*")
        page.click("#tail button[type=submit]")
        self.shows(page, ".tail-told", "0 since opened")
        for batch in range(10):
            self.house.publishMany("burst.came", [{"number": 100 * batch + each} for each in range(100)])
        self.shows(page, ".tail-told", "1,000 since opened")
        self.shows(page, ".tail li:first-child", '"number":999')
        self.assertEqual(page.locator(".tail li").count(), 200)

    def test_hostile(self) -> None:
        """Markup in an event's name or payload is text: nothing of it is run, nothing loaded."""
        page = self.open()
        page.fill("#tail input", "evil.>")
        page.click("#tail button[type=submit]")
        self.shows(page, ".tail-told", "since opened")
        self.house.publish(HOSTILE_NAME, {HOSTILE: HOSTILE, "</script>": "\u2028<b>"})
        self.shows(page, ".tail-event", HOSTILE_NAME)
        page.locator(".tail summary").first.click()
        self.shows(page, ".tail-whole", HOSTILE)
        self.assertEqual(page.locator("main img, main b").count(), 0)
        self.assertNotIn("owned", page.title())

    def test_table(self) -> None:
        """The drawing of the subscriptions is to be had as a table, too."""
        page = self.open()
        page.get_by_role("button", name="As a table").click()
        self.shows(page, "#graph tbody tr", "shop.opened")
        page.get_by_label("Find a node or pattern").fill("till")
        self.shows(page, "#graph tbody tr", "shop.closed")
        self.assertEqual(page.locator("#graph tbody tr").count(), 1)
        page.get_by_label("Find a node or pattern").fill("nobody")
        self.shows(page, "#graph .aside", "No node or pattern matches")
        self.assertEqual(page.locator("#graph svg:visible").count(), 0)

    def test_node(self) -> None:
        """A node's name opens all that is known of it; Escape closes that."""
        page = self.open()
        page.locator("#nodes tbody tr", has_text="shop").get_by_role("button").first.click()
        self.shows(page, "dialog .facts", "add")
        self.assertEqual(audit(page), [])
        page.keyboard.press("Escape")
        page.locator("dialog[open]").wait_for(state="detached")

    def test_windows(self) -> None:
        """In both themes, on a wide screen or a narrow one: nothing serious for axe-core, no scrolling to the side."""
        grounds = set()
        for width, theme in WINDOWS:
            page = self.open(width, theme)
            self.shows(page, ".tail li", "shop.ticked")
            self.shows(page, "#nodes tbody tr", "shop")
            page.get_by_role("button", name="Pause").click()
            self.assertEqual(audit(page), [], (width, theme))
            self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), width)
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            page.context.close()
        self.assertEqual(len(grounds), 2)

    def test_theme(self) -> None:
        """The switch chooses a theme over the system's, which is kept for the next time."""
        page = self.open(theme="light")
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Theme").click()
        page.get_by_role("button", name="Theme: light").click()
        page.get_by_role("button", name="Theme: dark").wait_for()
        page.reload()
        page.get_by_role("button", name="Theme: dark").wait_for()
        self.assertNotEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), before)

    def test_keyboard(self) -> None:
        """Tab leads from the skip link through everything that can be used, each with a ring, to the end: none is a trap."""
        page = self.open()
        self.shows(page, ".tail li", "shop.ticked")
        self.shows(page, "#nodes tbody tr", "shop")
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.className"), "skip")
        seen = []
        while (told := self.press(page, "Tab")) is not None:
            seen.append(told)
            self.assertLess(len(seen), 60, seen)
            if told == "Pause":
                page.keyboard.press("Enter")
        for wanted in (
            "Use a grant",
            "Theme",
            "Find a node",
            "As a table",
            "Pause",
            "Clear",
            "Follow",
            "Filter nodes",
            "Node",
            "shop",
        ):
            self.assertTrue(any(wanted in each for each in seen), (wanted, seen))

    def press(self, page: Page, key: str) -> str | None:
        """What is focused after this key, which must have a ring; None when that is the page itself."""
        page.keyboard.press(key)
        name, ring = page.evaluate(
            "(at => [at === document.body ? null : at.getAttribute('aria-label') || at.textContent.slice(0, 40) || at.id,"
            " getComputedStyle(at).outlineStyle])(document.activeElement)"
        )
        if name is not None:
            self.assertNotEqual(ring, "none", name)
        return None if name is None else str(name)

    def test_keys(self) -> None:
        """The skip link leads to the figures; in the tail the arrow keys go from event to event, Enter opens one."""
        page = self.open()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        self.assertEqual(page.evaluate("document.activeElement.id"), "panels")
        self.shows(page, ".tail li:nth-child(2)", "shop.ticked")
        page.get_by_role("button", name="Pause").press("Enter")
        page.locator(".tail summary[tabindex='0']").focus()
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        self.shows(page, ".tail li:last-child .tail-whole", "number")

    def test_stillness(self) -> None:
        """Who asked for less motion gets none."""
        page = self.open(reduced_motion="reduce")
        self.shows(page, "#graph svg", "shop.opened")
        self.assertEqual(page.evaluate("document.getAnimations().length"), 0)

    def test_examples(self) -> None:
        """The ten lines with EventSource show the events, as does the example that is no page."""
        self.expected = "status of 404"  # Its favicon, which ten lines have not.
        page = self.blank()
        page.goto(f"{self.house.address}/tail.html")
        self.shows(page, "#events li", "shop.ticked")
        self.house.startTail("shop.*")
        self.assertIn('"event":"shop.ticked"', self.house.hears("tail", "shop.ticked"))
        self.house.stop("tail")

    def test_leaves(self) -> None:
        """A closed page leaves nothing at the bridge: no stream is open there any more."""
        page = self.open()
        self.shows(page, ".tail li", "shop.ticked")
        await_(lambda: self.house.readMetric("nodeset_web_streams") > 0, "the bridge to count the page's streams")
        page.context.close()
        await_(lambda: self.house.readMetric("nodeset_web_streams") == 0, "the streams to end")
