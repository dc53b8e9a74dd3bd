"""Endpoints as users write them, with the files that they lead to."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import BadFurl, BadSettings, NotThere, StateUnusable
from nodeset.settings import load
from nodeset.settings.processes import DEFAULT_ENDPOINT
from nodeset.settings.schema import OPEN, PROCESSES
from nodeset.transport.default import findCenter
from nodeset.transport.endpoint import Endpoint, endpointOf, hintOf, pathOf
from nodeset.transport.furl import DEFAULT_PLACE, Furl, parse, parsePlace, redact
from nodeset.transport.places import placeOf, socketPath
from nodeset.transport.rendezvous import claimOf, find, sourceOf

TUB = "abcdefghijklmnopqrstuvwxyz234567"


class EndpointTests(SynchronousTestCase):
    def test_read(self) -> None:
        """The forms that the original's users type mean what they meant."""
        for text, meant in {
            "ipc://nerve.sock": Endpoint(path="nerve.sock"),
            "ipc:///run/x.sock": Endpoint(path="/run/x.sock"),
            "ipc://../a b/ü.sock": Endpoint(path="../a b/ü.sock"),
            "tcp://*:44444": Endpoint(host="*", port=44444),
            "tcp://localhost:44444": Endpoint(host="localhost", port=44444),
            "tcp://LocalHost:1": Endpoint(host="localhost", port=1),
            "tcp://127.0.0.1:65535": Endpoint(host="127.0.0.1", port=65535),
            "tcp://[::1]:1": Endpoint(host="::1", port=1),
        }.items():
            self.assertEqual(endpointOf(text), meant)
            self.assertEqual(endpointOf(str(meant)), meant)

    def test_refuse(self) -> None:
        """Anything else is refused on one line, which says what was given and what to give."""
        for text, hint in {
            "": "write ipc://PATH",
            "nerve.sock": "write ipc://nerve.sock for a socket",
            "localhost:44444": "write tcp://localhost:44444",
            "*:44444": "write tcp://*:44444",
            "ipc:nerve.sock": "two slashes",
            "tcp:localhost:1": "two slashes",
            "ipc://": "the name of a socket",
            "ipc:///run/": "the name of a socket",
            "ipc://a/..": "the name of a socket",
            "ipc://@name": "needs a path",
            "ipc://*": "needs a path",
            "ipc://a\nb": "unprintable",
            "ipc://a\0b": "unprintable",
            "ipc://" + "ü" * 501: "has 1002 bytes, at most 1000",
            "tcp://": "no port",
            "tcp://localhost": "no port",
            "tcp://localhost:": "no port",
            "tcp://localhost:0": "no port from 1",
            "tcp://localhost:65536": "no port",
            "tcp://localhost:٣": "no port",
            "tcp://localhost:1/x": "no port",
            "tcp://:1": "its host is neither",
            "tcp://a b:1": "its host is neither",
            "tcp://::1:1": "its host is neither",
            "tcp://[::g]:1": "IPv6",
            "inproc://x": "write ipc://PATH",
            "udp://localhost:1": "write ipc://PATH",
            "x" * 5000: "...",
        }.items():
            line = str(self.assertRaises(BadSettings, endpointOf, text))
            self.assertIn(hint, line)
            self.assertNotIn("\n", line)
            self.assertTrue(line.isprintable() and len(line) < 300, line)

    def test_secret(self) -> None:
        """A FURL that was given for an endpoint is not shown."""
        for text in (f"pb://{TUB}@tcp:localhost:1/s3cret", f"{TUB}@tcp:localhost:1/s3cret", "tcp://pb:/s3cret"):
            line = str(self.assertRaises(BadSettings, endpointOf, text))
            self.assertNotIn("s3cret", line)
            self.assertIn("--furl", line)


class HintTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        """Any path survives a FURL, in one way of writing it."""
        for path in ("/run/x.sock", "/a b/ü,@/100%/c:d.sock", "/" + "x" * 900, "/bad\udcff"):
            hint = hintOf(path)
            self.assertEqual(pathOf(hint), path)
            furl = Furl(TUB, [hint, "tcp:localhost:1"], "name")
            self.assertEqual(parse(str(furl)).hints, (hint, "tcp:localhost:1"))
        self.assertEqual(hintOf("/run/x.sock"), "unix:%2Frun%2Fx.sock")
        self.assertEqual(redact(Furl(TUB, ["unix:%2Fx"], "name")), "pb://abcd…@unix:%2Fx/…")

    def test_refuse(self) -> None:
        """A hint is an absolute path, whole, percent-encoded as we do it."""
        for hint in (
            "unix:",
            "unix:x.sock",
            "unix:nerve.sock",
            "unix:%2F",
            "unix:%2Fa%2F",
            "unix:%2Fa%2F..%2Fb",
            "unix:%2Fa%00b",
            "unix:%2fa",
            "unix:%2F%61",
            "unix:" + "%2Fabc" * 300,
        ):
            line = str(self.assertRaises(BadFurl, Furl, TUB, [hint], "name"))
            self.assertNotIn("\n", line)


class MeetingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.home = self.base / "state"

    def test_port(self) -> None:
        """A port has one file, whatever the interface, which is that of a dispatcher there."""
        stems = {placeOf(endpointOf(f"tcp://{host}:5333")).stem for host in ("*", "localhost", "127.0.0.1", "[::1]", "0.0.0.0")}
        self.assertEqual(stems, {parsePlace(DEFAULT_PLACE).stem})
        self.assertNotEqual(placeOf(endpointOf("tcp://*:5334")).stem, *stems)

    def test_socket(self) -> None:
        """One socket is one place, by whatever path one comes; its stem can be seen to be of it."""
        (self.base / "deep").mkdir()
        (self.base / "link").symlink_to(self.base / "deep")
        asked = [(f"ipc://{self.base}/deep/x y.sock", None), ("ipc://x y.sock", "deep"), ("ipc://../link/x y.sock", "deep")]
        places = {placeOf(endpointOf(text), str(self.base / where) if where else None) for text, where in asked}
        self.assertEqual(len(places), 1)
        [place] = places
        self.assertTrue(place.stem.startswith("ipc_") and place.stem.endswith("_x-y.sock"), place.stem)
        self.assertNotEqual(placeOf(endpointOf(f"ipc://{self.base}/x y.sock")).stem, place.stem)
        self.assertEqual(socketPath(endpointOf("ipc://x")), str(Path.cwd() / "x"))

    def test_meet(self) -> None:
        """Who knows the endpoint finds the FURL: not there yet, there, the same after a restart."""
        endpoint = endpointOf(f"ipc://{self.base}/nerve.sock")
        sources = [
            sourceOf(endpoint, {}, self.home),
            sourceOf(endpoint, {}, self.home, str(self.base / "copy.furl")),
            find(str(endpoint), environ={}, state_directory=self.home),
        ]
        for source in sources:
            self.assertIn("not there", str(self.assertRaises(NotThere, source.read)))
        self.assertIn(f"{endpoint}", sources[0].describe())
        found = set()
        for _ in range(2):
            claim = claimOf(endpoint, self.home)
            line = str(self.assertRaises(StateUnusable, claimOf, endpoint, self.home))
            self.assertIn("another dispatcher", line)
            claim.publish([hintOf(str(self.base / "nerve.sock"))], [self.base / "copy.furl"])
            found |= {str(source.read()) for source in sources}
            claim.release()
        self.assertEqual(len(found), 1)

    def test_elsewhere(self) -> None:
        """For another machine's center one is told to bring its file; with that it does not matter where it is."""
        endpoint = endpointOf("tcp://nerve.example.org:44444")
        line = str(self.assertRaises(BadSettings, sourceOf, endpoint, {}, self.home))
        self.assertIn("--furl FILE", line)
        self.assertIn("tcp://nerve.example.org:44444", line)
        self.assertIn("there.furl", sourceOf(endpoint, {}, self.home, "there.furl").describe())


class CenterTests(SynchronousTestCase):
    """Where a watcher looks for its center."""

    def setUp(self) -> None:
        self.home = str(Path(self.mktemp()).absolute())

    def find(self, environ: dict[str, str], default: str | None = DEFAULT_ENDPOINT, **options: str) -> str:
        """How the source that counts describes itself."""
        environ = {"NODESET_HOME": self.home, **environ}
        return findCenter(load(environ, options, OPEN), environ, default).describe()

    def test_order(self) -> None:
        """What was said counts, an option before the environment, a file before an endpoint; else the usual socket."""
        self.assertIn("ipc://nerve.sock", self.find({}))
        self.assertIn("localhost_5333", self.find({}, default=None))
        self.assertIn("tcp://localhost:7", self.find({}, endpoint="tcp://localhost:7"))
        self.assertIn("tcp://localhost:7", self.find({"NODESET_ENDPOINT": "tcp://localhost:7"}))
        self.assertIn("/x.furl", self.find({}, endpoint="tcp://elsewhere.example:7", furl="/x.furl"))
        self.assertIn("/y.furl", self.find({"NODESET_DISPATCHER": "@/y.furl"}))
        self.assertIn("ipc://a", self.find({"NODESET_DISPATCHER": "@/y.furl"}, endpoint="ipc://a"))
        self.assertIn("/y.furl", self.find({"NODESET_ENDPOINT": "ipc://a"}, dispatcher_url="@/y.furl"))

    def test_nobodyThere(self) -> None:
        """Who chose nothing is told both ways out: a dispatcher, a center. Who chose a dispatcher has one."""

        def why(environ: dict[str, str]) -> str:
            environ = {"NODESET_HOME": self.home, **environ}
            return str(self.assertRaises(NotThere, findCenter(load(environ, {}, PROCESSES), environ).read))

        self.assertIn("start the dispatcher, it writes this file, or name a center by --endpoint", why({}))
        self.assertNotIn("--endpoint", why({"NODESET_DISPATCHER": "@/none.furl"}))

    def test_refuse(self) -> None:
        """What cannot be is refused in the name of who said it."""
        for options, environ in (({"endpoint": "nerve"}, {}), ({}, {"NODESET_ENDPOINT": "nerve"})):
            line = str(self.assertRaises(BadSettings, self.find, environ, **options))
            self.assertTrue(line.startswith(("--endpoint: 'nerve'", "$NODESET_ENDPOINT: 'nerve'")), line)
