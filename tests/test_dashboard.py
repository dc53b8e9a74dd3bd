"""The dashboard's files, without a browser: tests/browser has what they do in one."""

from __future__ import annotations

import gzip
import hashlib
import re

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.dashboard.pages import readPages
from tests.commands import ROOT
from tests.webs import WebSite

FOLDER = ROOT / "nodeset/web/dashboard"
#: As npm's uplot-1.6.32.tgz has them.
RELEASED = {
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uPlot.esm.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
OURS = [path for path in sorted(FOLDER.rglob("*")) if path.suffix in (".js", ".css", ".html") and path.parent.name != "vendor"]
SCRIPTS = [path for path in OURS if path.suffix == ".js"]


class ServedTests(SynchronousTestCase):
    def test_page(self) -> None:
        """The page is at the root, for everybody; it runs its own scripts alone, in no frame, telling nobody where it was."""
        answer = WebSite(self).ask("GET", "/")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(answer.body, (FOLDER / "index.html").read_bytes())
        policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
        self.assertEqual((policy["default-src"], policy["script-src"], policy["style-src"]), ("'none'", "'self'", "'self'"))
        self.assertEqual((policy["connect-src"], policy["frame-ancestors"]), ("'self'", "'none'"))
        self.assertEqual(
            (answer.headers["referrer-policy"], answer.headers["x-content-type-options"]), ("no-referrer", "nosniff")
        )

    def test_everyFile(self) -> None:
        """Each file that the page is made of comes as it lies in the package."""
        site = WebSite(self)
        for path in OURS:
            name = path.relative_to(FOLDER).as_posix()
            self.assertEqual(site.ask("GET", f"/dashboard/{name}").body, path.read_bytes(), name)

    def test_nothingElse(self) -> None:
        """Only the page's own files are served: no module of ours, no licence, nothing outside, however the path is written."""
        site = WebSite(self)
        for path in (
            "/dashboard/pages.py",
            "/dashboard/vendor/uPlot.LICENSE",
            "/dashboard/vendor",
            "/dashboard/..%2f..%2f__init__.py",
            "/dashboard/%2e%2e/pages.py",
            "/dashboard/panels/../pages.py",
            "/dashboard/panels%2f..%2fpages.py",
            "/dashboard/none.js",
        ):
            self.assertEqual(site.ask("GET", path).status, 404, path)

    def test_packed(self) -> None:
        """Who takes gzip gets it, others do not."""
        site = WebSite(self)
        path = "/dashboard/vendor/uPlot.esm.js"
        packed = site.ask("GET", path, {"Accept-Encoding": "br, gzip;q=0.8"})
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertEqual(gzip.decompress(packed.body), (FOLDER / "vendor/uPlot.esm.js").read_bytes())
        self.assertLess(len(packed.body) * 2, len(gzip.decompress(packed.body)))
        for refused in ("identity", "gzip;q=0", ""):
            self.assertNotIn("content-encoding", site.ask("GET", path, {"Accept-Encoding": refused}).headers)

    def test_unchanged(self) -> None:
        """A browser that has a file is told so in a few bytes; another content has another tag."""
        site = WebSite(self)
        first, other = site.ask("GET", "/"), site.ask("GET", "/dashboard/app.js")
        self.assertNotEqual(first.headers["etag"], other.headers["etag"])
        again = site.ask("GET", "/", {"If-None-Match": f'"x", {first.headers["etag"]}'})
        self.assertEqual((again.status, again.body, again.headers["etag"]), (304, b"", first.headers["etag"]))
        self.assertEqual(site.ask("GET", "/", {"If-None-Match": other.headers["etag"]}).status, 200)

    def test_methods(self) -> None:
        """HEAD tells of a file without it; nothing can be sent to it."""
        site = WebSite(self)
        head = site.ask("HEAD", "/")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(site.ask("POST", "/").status, 405)


class FilesTests(SynchronousTestCase):
    def test_vendor(self) -> None:
        """uPlot is as its authors released it, its licence beside it."""
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (FOLDER / "vendor").iterdir()}
        self.assertEqual(found, RELEASED)
        self.assertIn("(v1.6.32)", (FOLDER / "vendor/uPlot.esm.js").read_text("utf-8")[:400])

    def test_rooms(self) -> None:
        """No file of ours is longer than a room may be; each script says in its first line what lives in it."""
        for path in OURS:
            lines = path.read_text("utf-8").splitlines()
            self.assertLessEqual(len(lines), 400, path.name)
            if path.suffix == ".js":
                self.assertTrue(lines[0].startswith("// "), path.name)

    def test_imports(self) -> None:
        """Every script that is imported, every file that the page names, is there, from the package itself."""
        for path in SCRIPTS:
            for name in re.findall(r'^import .*?"(.*?)";$', path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
                target = (path.parent / name).resolve().relative_to(FOLDER).as_posix()
                self.assertIn(target, readPages(), path.name)
        page = (FOLDER / "index.html").read_text("utf-8")
        for name in re.findall(r'(?:src|href)="(dashboard/.*?)"', page):
            self.assertIn(name.removeprefix("dashboard/"), readPages())
        self.assertEqual(re.findall(r'(?:src|href)="(?:https?:)?//', page), [])

    def test_panels(self) -> None:
        """Each file in panels/ is a panel of the list, so that none lies there unseen."""
        listed = set(re.findall(r'"\./panels/(\w+)\.js"', (FOLDER / "panels.js").read_text("utf-8")))
        self.assertEqual(listed, {path.stem for path in (FOLDER / "panels").iterdir()})

    def test_textOnly(self) -> None:
        """No script of ours makes markup of text, or runs text; the page has no script or style of its own inside."""
        for path in SCRIPTS:
            self.assertNotRegex(
                path.read_text("utf-8"), r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function"
            )
        page = (FOLDER / "index.html").read_text("utf-8")
        self.assertNotRegex(page, r"<script>|<style| style=| on\w+=")
