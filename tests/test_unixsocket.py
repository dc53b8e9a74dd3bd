"""Sockets in the file system: whose they are, whether they are taken, what is left of them."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli import listen
from nodeset.cli.listen import listenAt, probe, readListen
from nodeset.errors import BadSettings, PortTaken
from nodeset.transport.endpoint import endpointOf
from nodeset.transport.socketfile import bindSocket, describeSocket, probeSocket, reachSocket, readSocket, removeSocket


class SocketCase(SynchronousTestCase):
    """A directory with a short path, since that of a trial directory may be long."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.path = self.base / "nerve.sock"

    def bind(self, path: Path | None = None) -> tuple[socket.socket, os.stat_result]:
        """One that listens until the test is over."""
        made, ours = bindSocket(path or self.path)
        self.addCleanup(made.close)
        return made, ours

    def refuse(self, path: Path | None = None) -> str:
        """The one line that says why nobody may listen there, told by the probe as well."""
        lines = {
            str(self.assertRaises(PortTaken, call, path or self.path))
            for call in (bindSocket, lambda path: probeSocket(str(path)))
        }
        [line] = lines
        self.assertNotIn("\n", line)
        self.assertIn(str(path or self.path), line)
        self.assertEqual([each.name for each in self.base.iterdir() if each.name.startswith(".")], [])
        return line

    def reach(self, path: Path | None = None) -> None:
        """Somebody connects."""
        with socket.socket(socket.AF_UNIX) as client, reachSocket(path or self.path) as name:
            client.connect(name)


class BindTests(SocketCase):
    def test_private(self) -> None:
        """It is there for its user alone, whatever the umask, and nothing else of it is left in the directory."""
        before = os.umask(0)
        try:
            self.bind()
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(list(self.base.iterdir()), [self.path])
        self.reach()

    def test_never_open(self) -> None:
        """No name leads to it before it is private and listens."""
        seen: list[int] = []
        link = Path.hardlink_to

        def linked(path: Path, target: Path) -> None:
            seen.append(stat.S_IMODE(target.stat().st_mode))
            self.reach(target)
            link(path, target)

        self.patch(Path, "hardlink_to", linked)
        self.bind()
        self.assertEqual(seen, [0o600])

    def test_taken(self) -> None:
        """Where somebody listens, even one who accepts nobody any more, another is refused; the first one stays."""
        made, ours = self.bind()
        self.assertIn("somebody listens", self.refuse())
        made.listen(0)
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for each in crowd:
            self.addCleanup(each.close)
            each.setblocking(False)
            each.connect_ex(str(self.path))
        self.assertIn("somebody listens", self.refuse())
        self.assertTrue(os.path.samestat(self.path.lstat(), ours))

    def test_stale(self) -> None:
        """What a dead listener left is replaced."""
        made, dead = self.bind()
        made.close()
        self.assertTrue(self.path.exists())
        found = probeSocket(str(self.path))
        self.assertTrue(found is not None and os.path.samestat(found, dead))
        self.bind()
        self.assertEqual(list(self.base.iterdir()), [self.path])
        self.reach()

    def test_datagrams(self) -> None:
        """A socket of another kind is somebody's."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(os.path.relpath(self.path))  # a path of 107 bytes at most
            self.assertIn("somebody listens", self.refuse())

    def test_no_socket(self) -> None:
        """What is no socket is refused, and stays."""
        self.path.write_text("precious")
        self.assertIn("is no socket, so it stays", self.refuse())
        self.assertEqual(self.path.read_text(), "precious")
        (self.base / "directory").mkdir()
        self.assertIn("is no socket", self.refuse(self.base / "directory"))
        (self.base / "link").symlink_to(self.base / "nowhere")
        self.assertIn("is no socket", self.refuse(self.base / "link"))
        self.assertTrue((self.base / "link").is_symlink())

    def test_nowhere(self) -> None:
        """Without its directory, or below a file, there can be no socket."""
        self.assertIn("make that first", self.refuse(self.base / "gone" / "nerve.sock"))
        self.path.write_text("")
        self.assertIn("Not a directory", self.refuse(self.path / "nerve.sock"))

    def test_denied(self) -> None:
        """Where the system refuses, its words are passed on; a socket that we may not try is not taken for a dead one."""
        made, _ours = self.bind()
        made.close()

        def deny(*args: object) -> int:
            return 13

        class Denied(socket.socket):
            connect_ex = deny

        self.patch(socket, "socket", Denied)
        self.assertIn("(Permission denied)", self.refuse())
        self.assertTrue(self.path.exists())

    def test_others(self) -> None:
        """In a directory of another user nothing can be made; another user's socket there, alive or dead, stays."""
        made, _ours = self.bind()
        me = os.geteuid()
        if me:
            self.base.chmod(0o500)
            self.addCleanup(self.base.chmod, 0o700)
        else:
            os.seteuid(65534)
        try:
            for path in (self.base / "new.sock", *([] if me else [self.path])):
                self.assertIn("(Permission denied)", str(self.assertRaises(PortTaken, bindSocket, path)))
            made.close()
            self.assertIn("(Permission denied)", str(self.assertRaises(PortTaken, bindSocket, self.path)))
        finally:
            os.seteuid(me)
        self.assertTrue(self.path.is_socket())

    def test_race(self) -> None:
        """Of those who meet at a dead socket one listens there, the others are told; nobody's living socket is lost."""
        for late in ("rename", "hardlink_to"):
            with self.subTest(late):
                self.race(late)

    def race(self, late: str) -> None:
        """Another comes first, just before this one calls the method `late`."""
        self.bind()[0].close()
        original = getattr(Path, late)
        winners: list[Any] = []

        def meanwhile(path: Path, target: Path) -> object:
            if not winners:
                winners.append(None)
                winners[0] = self.bind()
            return original(path, target)

        patch = self.patch(Path, late, meanwhile)
        self.assertIn("somebody listens", str(self.assertRaises(PortTaken, bindSocket, self.path)))
        patch.restore()
        self.reach()
        winner, ours = winners[0]
        self.assertTrue(os.path.samestat(self.path.lstat(), ours))
        self.assertEqual(list(self.base.iterdir()), [self.path])
        winner.close()
        self.path.unlink()

    def test_long(self) -> None:
        """A path that is longer than the kernel takes at once does as well."""
        deep = self.base / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        for name in ("nerve.sock", "ü" * 120):
            path = deep / name
            made, ours = self.bind(path)
            self.reach(path)
            self.assertIn("somebody listens", self.refuse(path))
            made.close()
            self.bind(path)
            self.reach(path)
            removeSocket(path, ours)
            self.assertTrue(path.exists())
        self.assertEqual(len(list(deep.iterdir())), 2)

    def test_remove(self) -> None:
        """Who stops removes its own socket alone."""
        made, ours = self.bind()
        made.close()
        self.path.rename(self.base / "kept")  # so that its inode is not used again
        removeSocket(self.path, ours)
        other, theirs = self.bind()
        removeSocket(self.path, ours)
        self.assertTrue(self.path.exists())
        removeSocket(self.path, theirs)
        self.assertFalse(self.path.exists())
        other.close()


class ListenTests(SocketCase):
    def test_socket(self) -> None:
        """`--listen` takes a socket in both ways of writing it, with what a FURL and its files need."""
        (self.base / "a b:c").mkdir()
        path = str(self.base / "a b:c" / "n,1.sock")
        found = readListen(f"ipc://{path}")
        self.assertEqual(found, listenAt(endpointOf(f"ipc://{path}")))
        self.assertEqual(found, readListen(describeSocket(path)))
        self.assertEqual((found.path, readSocket(found.endpoint)), (path, path))
        self.assertEqual((found.hints[0][:8], found.address, found.is_local), ("unix:%2F", None, False))
        self.assertEqual(readListen("unix:n.sock").endpoint, describeSocket(str(Path.cwd() / "n.sock")))  # daemons go to /
        self.assertIsNone(readSocket("tcp:5333"))
        probe(found)
        self.bind(Path(path))
        self.assertIn("somebody listens", str(self.assertRaises(PortTaken, probe, found)))

    def test_port(self) -> None:
        """An endpoint of a port listens where it says; its files are those of the port."""
        everywhere = readListen("tcp://*:44444")
        self.assertEqual((everywhere.endpoint, everywhere.is_local), ("tcp:44444", True))
        loopback = readListen("tcp://localhost:44444")
        self.assertEqual(loopback.endpoint, "tcp:44444:interface=127.0.0.1")
        self.assertEqual((everywhere.place, everywhere.hints), (loopback.place, loopback.hints))
        self.assertEqual(str(readListen("tcp://127.0.0.1:44444").place), "pbu://localhost:44444/dispatcher")
        six = readListen("tcp://[::1]:44444")
        self.assertEqual((six.hints, six.place), (("tcp:[::1]:44444",), loopback.place))
        self.patch(listen, "lookUp", lambda host: ["127.0.0.1"])
        self.assertEqual(readListen("tcp://me.example.org:44444").place, loopback.place)

    def test_refuse(self) -> None:
        """What is not ours to listen on is refused under the option's name; a socket has one mode."""
        endpoint = endpointOf("tcp://192.0.2.1:44444")
        line = str(self.assertRaises(BadSettings, listenAt, endpoint, option="--endpoint"))
        self.assertIn("--endpoint", line)
        self.assertIn("not an address of this machine", line)
        self.assertIn("use tcp://*:44444 with --advertise tcp:192.0.2.1:44444", line)
        self.assertIn("use 0.0.0.0:44444", str(self.assertRaises(BadSettings, readListen, "tcp://192.0.2.1:44444")))
        for text in ("unix:/x:mode=666", "unix:"):
            self.assertIn("write unix:PATH alone", str(self.assertRaises(BadSettings, readSocket, text)))
        self.assertRaises(BadSettings, readListen, "ipc://")
