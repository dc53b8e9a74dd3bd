"""The site of the documents, as `make docs` makes it.

`make test` runs it as a part of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import nodeset
from nodeset.cli import group
from tests.documents import ROOT
from tests.test_docs import SERVICES, optionsOf

_LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


class _Resources(HTMLParser):
    """What a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of what this element loads."""
        given = dict(attrs)
        loads = given.get(_LOADING.get(tag, ""))
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            loads = given.get("href")
        if loads:
            self.found.append(loads)


class SiteTests(SynchronousTestCase):
    """docs/, made into pages."""

    site: Path
    complaints: str

    def setUp(self) -> None:
        cls = type(self)
        if not hasattr(cls, "site"):
            cls.site = Path(self.mktemp()).absolute()
            doctrees = Path(self.mktemp()).absolute()
            words = ["-q", "-W", "--keep-going", "-n", "-d", str(doctrees), str(ROOT / "docs"), str(cls.site)]
            done = subprocess.run(
                [sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, timeout=300, check=False
            )
            cls.complaints = done.stdout + done.stderr

    def read(self, page: str) -> str:
        """The text of a page, as it is shown."""
        return re.sub(r"<[^>]*>", "", (self.site / page).read_text("utf-8"))

    def test_warnings(self) -> None:
        """Nothing is wrong with the sources: every reference leads somewhere, every page is in the table of contents."""
        self.assertEqual(self.complaints, "")

    def test_commands(self) -> None:
        """The reference has every sub-command, each with its example."""
        text = self.read("reference/commands.html")
        services = {name.removeprefix("nodeset-") for name in SERVICES}
        for name in {name for names in group.COMMANDS.values() for name in names}:
            before = "" if name in {*services, "open"} else r"\$ .*"  # that one shows its example with the services
            self.assertTrue(re.search(rf"{before}nodeset {name}\b", text), name)

    def test_services(self) -> None:
        """The reference has every option of every service."""
        text = self.read("reference/services.html")
        for name in SERVICES:
            self.assertIn(name, text)
            for option in optionsOf(name):
                self.assertTrue(f"--{option}" in text, f"{name} --{option}")

    def test_api(self) -> None:
        """The reference has every name that can be imported from `nodeset`, with a page for what it means."""
        page = (self.site / "reference/api.html").read_text("utf-8")
        for name in nodeset.__all__:
            if not name.startswith("__"):
                self.assertTrue(re.search(rf'href="[^"]+#[^"]+\.{name}"', page), name)

    def test_offline(self) -> None:
        """No page fetches anything from elsewhere, and the search needs nobody."""
        pages = list(self.site.rglob("*.html"))
        self.assertGreater(len(pages), 20)
        for page in pages:
            resources = _Resources()
            resources.feed(page.read_text("utf-8"))
            for name in resources.found:
                self.assertFalse(re.match(r"(https?:)?//", name), f"{page.name} loads {name}")
        self.assertIn("retained", (self.site / "searchindex.js").read_text("utf-8"))
