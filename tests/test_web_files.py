"""--path: what a directory looks like on the web."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.dashboard.pages import readPages
from nodeset.web.door import Door
from nodeset.web.legacy.files import Files
from tests.webs import Answer, Client, WebSite

SCRIPT = """
from twisted.web.resource import Resource

class Page(Resource):
    isLeaf = True
    def render(self, request):
        return b"I am " + request.site.getNode().name.encode() + b", " + request.method

resource = Page()
"""


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebSite(self)
        self.top = Path(self.mktemp()).absolute()
        self.root = self.top / "root"
        (self.root / "sub").mkdir(parents=True)
        (self.top / "secret.txt").write_text("secret")
        (self.root / ".hidden").write_text("secret")
        (self.root / ".git").mkdir()
        (self.root / ".git" / "config").write_text("secret")
        (self.root / "who.rpy").write_text(SCRIPT)
        (self.root / "bad.rpy").write_text("raise ValueError('secret')")
        (self.root / "page.txt").write_text("hello")
        (self.root / "out").symlink_to(self.top)
        (self.root / "out.txt").symlink_to(self.top / "secret.txt")
        (self.root / "in.txt").symlink_to(self.root / "page.txt")

    def open(self) -> None:
        """Serve it."""
        door = self.web.http.entrance
        assert isinstance(door, Door)
        self.http = Files(self.root).openSite(door, self.web.bridge)
        self.http.startFactory()
        self.addCleanup(self.http.cut)

    def ask(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
        """The answer to one request."""
        client = Client(self.http)
        client.ask(method, path, headers)
        [answer] = client.answers()
        client.leave()
        return answer

    def test_script(self) -> None:
        """A script is run, under its name with or without .rpy, by any method; its text is never sent."""
        self.open()
        for path in ("/who.rpy", "/who", "/who?x=y"):
            self.assertEqual(self.ask(path).body, b"I am bridge, GET")
        for draft in ("who.rpy~", "who.rpy.bak", "who.RPY", "who.rpy.orig"):
            (self.root / draft).write_text("secret")
            self.assertEqual(self.ask(f"/{draft}").status, 404, draft)
        self.assertEqual(self.ask("/who", "POST").body, b"I am bridge, POST")

    def test_badScript(self) -> None:
        """A script that fails is a 500 without its reason, which is in the log."""
        self.open()
        answer = self.ask("/bad.rpy")
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertNotIn(b"Traceback", answer.body)
        self.assertEqual(len(self.web.site.flushErrors(ValueError)), 1)

    def test_outside(self) -> None:
        """Nothing leads out: no dots, however they are written, no link; nothing with a dot in front is there."""
        self.open()
        for path in (
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/sub/../../secret.txt",
            "/sub/%2e%2e/%2e%2e/secret.txt",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/..%5csecret.txt",
            "/out/secret.txt",
            "/out.txt",
            "/.hidden",
            "/%2ehidden",
            "/.git/config",
            "/sub/",
            "/sub",
            "/page.txt%00",
            "/%ff",
            "/" + "x" * 5000,
            "/page.txt/more",
        ):
            answer = self.ask(path)
            self.assertIn(answer.status, (302, 404), path)
            self.assertNotIn(b"secret\n", answer.body + b"\n", path)
            self.assertNotIn(b"root:", answer.body, path)

    def test_head(self) -> None:
        """A file is there, with its length, by a link inside as well; the bridge's own addresses go before."""
        self.open()
        for path in ("/page.txt", "/in.txt"):
            answer = self.ask(path, "HEAD")
            self.assertEqual((answer.status, answer.headers["content-length"]), (200, "5"))
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(self.ask("/page.txt", "POST").status, 405)
        (self.root / "publish.rpy").write_text(SCRIPT)
        self.assertEqual(self.ask("/publish").status, 400)

    def test_index(self) -> None:
        """With an index `/` is that, and the dashboard is at /dashboard; without one, `/` is the dashboard."""
        self.assertFalse(Files(self.root).has_index)
        self.assertEqual(self.web.ask("GET", "/").body, readPages()["index.html"].body)
        (self.root / "index.rpy").write_text(SCRIPT)
        self.open()
        self.assertTrue(Files(self.root).has_index)
        self.assertEqual(self.ask("/").body, b"I am bridge, GET")
        page = self.ask("/dashboard")
        self.assertEqual((page.status, page.body), (200, readPages()["index.html"].body))
        moved = self.ask("/dashboard/")
        self.assertEqual((moved.status, moved.headers["location"]), (308, "../dashboard"))

    def test_noPath(self) -> None:
        """Without --path no file is served, no script is run."""
        self.http = self.web.http
        for path in ("/who.rpy", "/page.txt", "/setup.py"):
            self.assertEqual(self.ask(path).status, 404)
