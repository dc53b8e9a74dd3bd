"""A browser, its windows, what they complain of."""

from __future__ import annotations

import atexit
import functools
import re
import shutil
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Browser, Page, sync_playwright
from twisted.trial.unittest import SynchronousTestCase

from tests.browser.house import House, sharedHouse

__all__ = ["WINDOWS", "WindowCase", "audit"]

#: Widths by themes: those that the page must look good in.
WINDOWS = [(width, theme) for width in (1440, 400) for theme in ("light", "dark")]
#: Milliseconds for what a page should show.
PATIENCE = 20_000
#: Without these Chromium asks its maker's hosts for things, at each start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@functools.cache
def startBrowser() -> Browser:
    """Debian's Chromium, one for all tests."""
    path = shutil.which("chromium")
    if path is None:
        raise AssertionError("there is no chromium here: install it first (Debian: apt-get install chromium)")
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=path, args=FLAGS)

    def end() -> None:
        browser.close()
        playwright.stop()

    atexit.register(end)
    return browser


@functools.cache
def readAxe() -> str:
    """axe-core, as the package from PyPI has it."""
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")


def audit(page: Page) -> list[str]:
    """What axe-core, with all of its rules, finds of impact serious or critical."""
    # By the browser's own console, as the page lets in no script that is not the bridge's.
    page.evaluate(readAxe())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']}: {[(node['html'][:200], node['failureSummary'][:300]) for node in each['nodes'][:3]]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


class WindowCase(SynchronousTestCase):
    """Opens the page; a test fails if the browser's console had an error that the test did not expect.

    :ivar expected: a regular expression of such.
    """

    expected: str | None = None

    def setUp(self) -> None:
        self.house = self.makeHouse()
        self._complaints: list[str] = []

    def makeHouse(self) -> House:
        """Before which system the page stands."""
        return sharedHouse()

    def open(self, width: int = 1440, theme: str = "light", **options: Any) -> Page:
        """The page in a window of its own, once it is live."""
        page = self.blank(width, theme, **options)
        page.goto(f"{self.house.address}/")
        self.shows(page, "#status-text", "Live")
        return page

    def blank(self, width: int = 1440, theme: str = "light", **options: Any) -> Page:
        """An empty window, closed after the test."""
        scheme: Any = theme
        context = startBrowser().new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        context.set_default_timeout(PATIENCE)
        self.addCleanup(self._close, context)
        page = context.new_page()
        page.on("console", lambda each: self._complaints.append(each.text) if each.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        return page

    def _close(self, context: Any) -> None:
        context.close()
        left = [each for each in self._complaints if self.expected is None or not re.search(self.expected, each)]
        self._complaints.clear()
        self.assertEqual(left, [], "the console had errors")

    def shows(self, page: Page, selector: str, text: str | re.Pattern[str]) -> None:
        """Wait until an element that one can see has this text."""
        page.locator(selector).filter(has_text=text, visible=True).first.wait_for()
