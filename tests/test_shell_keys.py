"""The files of a shell: who may log in, who it is, where its socket is."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.attach import findSocket
from nodeset.cli.keyfiles import KeyFile, loadHostKey, readKeyFile, takeSocket
from nodeset.cli.manhole import readPlaces, socketEndpoint
from nodeset.cli.outcome import Exit, GaveUp
from nodeset.errors import BadSettings, StateUnusable
from nodeset.shell.keys import readHostKey, readKeys
from nodeset.transport import files
from tests.sshclients import makeKey, publicLine


class KeyTests(SynchronousTestCase):
    """What stands in the file."""

    def test_lines(self) -> None:
        """One key a line, comments and empty lines between them."""
        one, two = makeKey(), makeKey()
        notes: list[str] = []
        found = readKeys(b"# who\n\n" + publicLine(one, "me@here") + b"  " + publicLine(two), notes)
        self.assertEqual((list(found), notes), ([one.public().blob(), two.public().blob()], []))
        shown = [str(owner) for owner in found.values()]
        self.assertRegex(shown[0], r"^SHA256:\S{43} \(me@here\)$")
        self.assertRegex(shown[1], r"^SHA256:\S{43}$")

    def test_hidden(self) -> None:
        """What only looks like the end of a line, in the comment of a key, begins no other key."""
        line = publicLine(makeKey()).rstrip()
        for end in ("\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"):
            found = readKeys(line + b" me" + end.encode() + publicLine(makeKey()), [])
            self.assertEqual(len(found), 1, repr(end))
        self.assertEqual([str(owner)[-3:] for owner in readKeys(line + b" a@b\r\n", []).values()], ["@b)"])

    def test_options(self) -> None:
        """A line with options, which could not be kept to, does not count; neither does what is no key. The log hears of it."""
        line = publicLine(makeKey())
        for bad in (
            b'from="10.0.0.1" ' + line,
            b"no-pty " + line,
            b'command="ls" ' + line,
            b"ssh-ed25519 AAAA\n",
            b"ssh-ed25519\n",
            b"ssh-dss " + line.split()[1],
            b"ssh-rsa " + line.split()[1],
            b"\xff\xfe nonsense",
            b"-----BEGIN OPENSSH PRIVATE KEY-----",
        ):
            notes: list[str] = []
            found = readKeys(publicLine(makeKey()) + bad, notes)
            self.assertEqual((len(found), len(notes)), (1, 1), bad)
            self.assertIn("line 2", notes[0])
            self.assertNotIn(line.split()[1].decode(), notes[0])

    def test_weak(self) -> None:
        """An RSA key of 1024 bits is refused."""
        from cryptography.hazmat.primitives.asymmetric import rsa
        from twisted.conch.ssh.keys import Key

        weak = Key(rsa.generate_private_key(65537, 1024)).public().toString("openssh")
        notes: list[str] = []
        self.assertEqual(readKeys(weak, notes), {})
        self.assertIn("1024 bits", notes[0])

    def test_comment(self) -> None:
        """A comment that could do something to a terminal is not shown."""
        (owner,) = readKeys(publicLine(makeKey(), "\x1b[2Jx"), []).values()
        self.assertEqual(owner.comment, "")


class FileTests(SynchronousTestCase):
    """Where they are."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(mode=0o700)
        self.keys = self.directory / "shell_keys"

    def refuses(self, part: str) -> None:
        error = self.assertRaises(StateUnusable, readKeyFile, self.keys, [])
        self.assertIn(part, str(error))
        self.assertIn(str(self.directory), str(error))
        self.assertNotIn("\n", str(error))

    def test_keys(self) -> None:
        """A file of ours with a key is fine; without one, or if others could write to it, it is not."""
        self.refuses("is not there")
        self.keys.write_bytes(b"# nobody yet\n")
        self.refuses("holds no key")
        self.keys.write_bytes(publicLine(makeKey()))
        self.assertEqual(len(readKeyFile(self.keys, [])), 1)
        self.keys.chmod(0o644)
        self.assertEqual(len(readKeyFile(self.keys, [])), 1)
        for mode in (0o664, 0o646):
            self.keys.chmod(mode)
            self.refuses(f"mode {mode:04o}")
        self.keys.chmod(0o600)
        self.directory.chmod(0o770)
        self.refuses("can be written by others")
        self.directory.chmod(0o700)
        self.keys.write_bytes(b"#" * 70_000)
        self.refuses("longer than")
        self.keys.unlink()
        self.keys.mkdir()
        self.refuses("cannot be used")

    def test_othersFile(self) -> None:
        """The file of another user is refused."""
        self.keys.write_bytes(publicLine(makeKey()))
        uid = os.geteuid() + 1
        if uid == 1:  # root can give it away; for anybody else it is us who become another
            os.chown(self.keys, uid, -1)
        else:
            self.patch(os, "geteuid", lambda: uid)
        self.refuses("belongs to user")

    def test_swapped(self) -> None:
        """A file that takes the name while the keys are read is looked at as well: what was opened counts."""
        self.keys.write_bytes(publicLine(makeKey()))
        self.keys.chmod(0o600)
        other = self.directory / "other"
        other.write_bytes(publicLine(makeKey()))
        other.chmod(0o666)
        openQuick = files.openQuick
        self.patch(files, "openQuick", lambda path, flags: openQuick(other if path == self.keys else path, flags))
        self.refuses("can be written by others (mode 0666)")

    def test_again(self) -> None:
        """What the file holds is made out when it has changed, its owner and mode are looked at each time."""
        first, second = makeKey(), makeKey()
        self.keys.write_bytes(publicLine(first))
        self.keys.chmod(0o600)
        file = KeyFile(self.keys)
        known = file.read()
        self.assertEqual(list(known), [first.public().blob()])
        self.assertIs(file.read(), known)
        self.keys.write_bytes(publicLine(second))
        self.assertEqual(list(file.read()), [second.public().blob()])
        self.keys.chmod(0o620)
        self.assertRaises(StateUnusable, file.read)
        self.keys.chmod(0o600)
        self.keys.write_bytes(b"")
        self.assertRaises(StateUnusable, file.read)
        self.assertRaises(StateUnusable, KeyFile(self.keys).read)

    def test_hostKey(self) -> None:
        """The host key is made once, private; what is none is refused, not replaced."""
        path = self.directory / "shell_host_key"
        made = loadHostKey(path)
        self.assertEqual((loadHostKey(path), stat.S_IMODE(path.stat().st_mode)), (made, 0o600))
        self.assertEqual(readHostKey(made).type(), "Ed25519")
        path.chmod(0o644)
        self.assertEqual((loadHostKey(path), stat.S_IMODE(path.stat().st_mode)), (made, 0o600))
        for bad in (b"", b"nonsense", publicLine(makeKey())):
            path.write_bytes(bad)
            self.assertIn("no host key", str(self.assertRaises(StateUnusable, loadHostKey, path)))

    def test_socket(self) -> None:
        """What a dead process left is removed; what a live one has, or what is no socket, is refused."""
        # Sockets have short names.
        path = Path(os.path.relpath(self.directory / "s"))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        free = takeSocket(path)
        self.assertFalse(path.exists())
        self.assertIn("in use", str(self.assertRaises(StateUnusable, takeSocket, path)))
        free()
        path.write_text("precious")
        self.assertIn("no socket", str(self.assertRaises(StateUnusable, takeSocket, path)))
        self.assertEqual(path.read_text(), "precious")
        self.assertIn("too long", str(self.assertRaises(BadSettings, takeSocket, Path("/tmp/" + "x" * 110))))
        self.directory.chmod(0o777)
        self.assertIn("can be written by others", str(self.assertRaises(StateUnusable, takeSocket, path)))

    def test_find(self) -> None:
        """The only shell is found without a name, one of several by its own; a socket that nobody listens on is none."""
        directory = Path(os.path.relpath(self.directory))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(directory / "nodeset-node.sock"))
        error = self.assertRaises(GaveUp, findSocket, "", directory)
        self.assertEqual((error.code, "no shell listens" in str(error)), (Exit.NO_DISPATCHER, True))
        live = []
        for name in ("nodeset-shell", "own"):
            live.append(socket.socket(socket.AF_UNIX))
            self.addCleanup(live[-1].close)
            live[-1].bind(str(directory / f"{name}.sock"))
            live[-1].listen()
            self.assertEqual(findSocket(name.removeprefix("nodeset-"), directory).name, f"{name}.sock")
            if name == "nodeset-shell":
                self.assertEqual(findSocket("", directory).name, "nodeset-shell.sock")
        error = self.assertRaises(GaveUp, findSocket, "", directory)
        self.assertEqual((error.code, "nodeset-shell, own" in str(error)), (Exit.USAGE, True))
        self.assertEqual(findSocket("./x/y.sock", directory), Path("x/y.sock"))


class PlaceTests(SynchronousTestCase):
    """What --manhole says."""

    def test_forms(self) -> None:
        """A port is one of this machine; an address, sockets, several of them."""
        default = Path("/state/x.sock")
        places = readPlaces("10331, 0.0.0.0:1,unix,unix:/run/y.sock", "--manhole", default)
        self.assertEqual([place.endpoint for place in places.ssh], ["tcp:10331:interface=127.0.0.1", "tcp:1:interface=0.0.0.0"])
        self.assertEqual(places.sockets, (default, Path("/run/y.sock")))

    def test_oddPaths(self) -> None:
        """A socket is where its path says, with its mode, whatever the path has in it."""
        for path in ("/run/a=b.sock", "/run/mode=777:mode=777", "/run/a\\:b=\\.sock", "/run/lockfile=1"):
            endpoint: Any = serverFromString(MemoryReactor(), socketEndpoint(Path(path)))
            self.assertEqual((endpoint._address, endpoint._mode, endpoint._wantPID), (path, 0o600, False))

    def test_bad(self) -> None:
        """What is no place is refused, by name."""
        for bad in ("", "99999", "x", "10331,", "-1", "8.8.8.8:1", "unixx", "systemd:domain=INET:index=0"):
            error = self.assertRaises(BadSettings, readPlaces, bad, "--manhole", Path("/x"))
            self.assertTrue(str(error).startswith("--manhole "), str(error))
            self.assertIn("write PORT", str(error))
