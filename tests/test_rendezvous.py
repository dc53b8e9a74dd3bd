"""Files by which dispatchers and nodes of one machine meet."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import BadFurl, BadSettings, LocalError, NodeSetError, NotThere, StateUnusable
from nodeset.transport.certificate import createCertificate, tubId
from nodeset.transport.furl import DEFAULT_PLACE, Furl, newName, parse, parsePlace
from nodeset.transport.keys import whyNotKept
from nodeset.transport.rendezvous import Claim, FurlSource, claim, find, lockIdentity, stateDirectory

PLACE = parsePlace(DEFAULT_PLACE)
STEM = PLACE.stem
HINTS = ["tcp:127.0.0.1:5333"]
SECRET = "s3cretswissnumber"
FURL = f"pb://{'abcdefghijklmnopqrstuvwxyz234567'}@tcp:127.0.0.1:5333/{SECRET}"


def modeOf(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class DirectoryCase(SynchronousTestCase):
    """A directory for each test, and errors that fit on one line."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.home = self.base / "state"

    def claim(self, place: str = DEFAULT_PLACE, directory: Path | None = None) -> Claim:
        """A claim that ends with the test."""
        made = claim(directory or self.home, parsePlace(place))
        self.addCleanup(made.release)
        return made

    def published(self) -> Claim:
        """A dispatcher that ran here once."""
        first = self.claim()
        first.publish(HINTS)
        first.release()
        return first

    def refuse(self, error: type[NodeSetError], call: Callable[..., Any], *args: Any, **kw: Any) -> str:
        """The one line that says why, without a secret."""
        line = str(self.assertRaises(error, call, *args, **kw))
        self.assertNotIn("\n", line)
        self.assertNotIn(SECRET, line)
        self.assertNotIn(".tmp", line)
        return line

    def names(self) -> set[str]:
        return {entry.name for entry in self.home.iterdir()}

    def fail_(self, number: int) -> Callable[..., NoReturn]:
        def call(*args: object, **kw: object) -> NoReturn:
            raise OSError(number, os.strerror(number), "/some/.thing.tmp")

        return call


class StateDirectoryTests(SynchronousTestCase):
    """`stateDirectory` finds one place for all that we keep."""

    def test_order(self) -> None:
        """The option, $NODESET_HOME, $XDG_STATE_HOME, then the home directory; empty variables count as none."""
        environ = {"NODESET_HOME": "/n", "XDG_STATE_HOME": "/x", "HOME": "/h"}
        self.assertEqual(stateDirectory(environ, "/e"), Path("/e"))
        self.assertEqual(stateDirectory(environ), Path("/n"))
        self.assertEqual(stateDirectory({**environ, "NODESET_HOME": ""}), Path("/x/nodeset"))
        self.assertEqual(stateDirectory({"HOME": "/h", "XDG_STATE_HOME": ""}), Path("/h/.local/state/nodeset"))

    def test_absolute(self) -> None:
        """The result is absolute, so a daemon may change its directory; ~ is the user's home."""
        self.assertEqual(stateDirectory({}, "here"), Path.cwd() / "here")
        self.assertEqual(stateDirectory({"NODESET_HOME": "~/n", "HOME": "/h"}), Path("/h/n"))
        self.assertTrue(stateDirectory({}).is_absolute())

    def test_relativeXdg(self) -> None:
        """A relative $XDG_STATE_HOME is ignored, as its specification wants."""
        self.assertEqual(stateDirectory({"XDG_STATE_HOME": "x", "HOME": "/h"}), Path("/h/.local/state/nodeset"))

    def test_impossible(self) -> None:
        """No path at all, a NUL or a megabyte is refused in one line."""
        for bad in ("", "a\0b", "x" * 1_000_000):
            self.assertLess(len(str(self.assertRaises(BadSettings, stateDirectory, {}, bad))), 200)


class ClaimTests(DirectoryCase):
    """A dispatcher's files."""

    def test_firstStart(self) -> None:
        """A first start makes a private directory with a certificate, and publishes two different FURLs."""
        made = self.claim()
        self.assertTrue(made.fresh)
        self.assertEqual(made.notes, [])
        self.assertEqual(tubId(made.certificate), made.tub_id)
        made.publish(HINTS)
        self.assertEqual(modeOf(self.home), 0o700)
        self.assertEqual(self.names(), {f"{STEM}.{end}" for end in ("lock", "pem", "key", "furl", "owner.furl")})
        for entry in self.home.iterdir():
            self.assertEqual(modeOf(entry), 0o600, entry.name)
        member, owner = parse(made.member_file.read_text().strip()), parse(made.owner_file.read_text().strip())
        self.assertEqual(member, Furl(made.tub_id, HINTS, made.member_name))
        self.assertEqual(owner, Furl(made.tub_id, HINTS, made.owner_name))
        self.assertNotEqual(member.name, owner.name)
        for name in (member.name, owner.name):
            self.assertRegex(name, r"^g1\.[\w-]{8}\.[\w-]+\.[\w-]{43}$")

    def test_restart(self) -> None:
        """The FURLs survive a restart, whatever the new hints."""
        first = self.published()
        again = self.claim()
        self.assertFalse(again.fresh)
        self.assertEqual(again.notes, [])
        self.assertEqual(again.certificate, first.certificate)
        again.publish(["tcp:example.org:1"])
        furl = parse(again.member_file.read_text().strip())
        self.assertEqual((furl.tub_id, furl.name), (first.tub_id, first.member_name))
        self.assertEqual(furl.hints, ("tcp:example.org:1",))
        self.assertEqual(again.owner_name, first.owner_name)

    def test_neverPublished(self) -> None:
        """A start that ended before it published counts as none."""
        self.claim().release()
        self.assertTrue(self.claim().fresh)

    def test_noSecretShown(self) -> None:
        """The repr of a claim shows neither names nor key."""
        made = self.claim()
        for secret in (made.member_name, made.owner_name, "PRIVATE"):
            self.assertNotIn(secret, repr(made))

    def test_oneDispatcher(self) -> None:
        """A second dispatcher on the same files is told which process holds them; another name is free."""
        self.claim()
        line = self.refuse(StateUnusable, claim, self.home, PLACE)
        self.assertIn(f"another dispatcher, or center, (pid {os.getpid()}) holds {self.home / STEM}.lock", line)
        self.claim("pbu://localhost:5333/other")
        self.claim("pbu://localhost:5334/dispatcher")

    def test_release(self) -> None:
        """After a release, which may be repeated, the next one gets the files; the old claim cannot write them."""
        first = self.claim()
        first.release()
        first.release()
        second = self.claim()
        self.assertEqual(second.tub_id, first.tub_id)
        self.refuse(StateUnusable, first.publish, HINTS)
        first.release()
        self.refuse(StateUnusable, claim, self.home, PLACE)

    def test_daemon(self) -> None:
        """A child that was forked holds the files after its parent has let go, as twistd's daemon mode needs."""
        made = self.claim()
        wait, go = os.pipe()
        child = os.fork()
        if not child:
            os.close(go)
            os.read(wait, 1)
            os._exit(0)
        try:
            made.release()
            self.refuse(StateUnusable, claim, self.home, PLACE)
        finally:
            os.close(go)
            os.close(wait)
            os.waitpid(child, 0)
        self.claim()

    def test_daemonsPid(self) -> None:
        """Publishing writes the pid anew, so that the daemon is named and not the parent that is gone."""
        made = self.claim()
        (self.home / f"{STEM}.lock").write_text("123456789")
        made.publish(HINTS)
        self.assertIn(f"(pid {os.getpid()})", self.refuse(StateUnusable, claim, self.home, PLACE))

    def test_programsDoNotHold(self) -> None:
        """A program that the dispatcher starts does not inherit the lock."""
        made = self.claim()
        self.assertFalse(any(map(os.get_inheritable, made._held)))

    def test_badHint(self) -> None:
        """A bad hint is refused before any file is touched."""
        made = self.claim()
        self.refuse(BadFurl, made.publish, ["localhost"])
        self.refuse(BadFurl, made.publish, [])
        self.assertFalse(made.member_file.exists() or made.owner_file.exists())

    def test_repaired(self) -> None:
        """A FURL file that is empty, garbage or of another certificate gets a new name, and the log a note."""
        first = self.published()
        for content in (b"", b"garbage\n", b"\xff" * 100, b"x" * 20_000, FURL.encode(), first.certificate):
            first.member_file.write_bytes(content)
            again = self.claim()
            self.assertEqual(len(again.notes), 1, content)
            self.assertIn(str(first.member_file), again.notes[0])
            self.assertNotIn(SECRET, again.notes[0])
            self.assertNotEqual(again.member_name, first.member_name)
            self.assertEqual(again.owner_name, first.owner_name)
            self.assertFalse(again.fresh)
            again.publish(HINTS)
            self.assertEqual(parse(again.member_file.read_text().strip()).name, again.member_name)
            again.release()

    def test_lostFile(self) -> None:
        """Who lost only one of the two files is not starting for the first time."""
        first = self.published()
        first.member_file.unlink()
        again = self.claim()
        self.assertFalse(again.fresh)
        self.assertNotEqual(again.member_name, first.member_name)

    def test_sameName(self) -> None:
        """An owner's FURL copied over the members' one does not make owners of them: it counts no longer."""
        first = self.published()
        first.member_file.write_bytes(first.owner_file.read_bytes())
        again = self.claim()
        self.assertNotEqual(again.owner_name, again.member_name)
        self.assertNotEqual(again.owner_name, first.owner_name)
        self.assertEqual(len(again.notes), 2)
        self.assertTrue(whyNotKept(first.owner_name, again.key, again.revocations, owner=True))

    def test_narrowed(self) -> None:
        """Files that others could read are made private, and the log gets a note."""
        first = self.published()
        files = [self.home / f"{STEM}.{end}" for end in ("pem", "furl", "owner.furl")]
        for path in files:
            path.chmod(0o644)
        again = self.claim()
        self.assertEqual([modeOf(path) for path in files], [0o600] * 3)
        self.assertEqual(len(again.notes), 3)
        self.assertIn("0644", again.notes[0])
        self.assertEqual(again.member_name, first.member_name)

    def test_umask(self) -> None:
        """A careless umask does not make the files public."""
        old = os.umask(0)
        try:
            self.published()
        finally:
            os.umask(old)
        self.assertEqual(modeOf(self.home), 0o700)
        self.assertEqual({modeOf(entry) for entry in self.home.iterdir()}, {0o600})

    def test_brokenCertificate(self) -> None:
        """A certificate that cannot be read is never replaced by a new identity: one line names it."""
        first = self.published()
        pem = self.home / f"{STEM}.pem"
        for content in (b"", b"garbage", first.certificate[:200], b"x" * 100_000):
            pem.write_bytes(content)
            self.assertIn(str(pem), self.refuse(StateUnusable, claim, self.home, PLACE))
            self.assertEqual(pem.read_bytes(), content)
        pem.unlink()
        pem.mkdir()
        self.assertIn("not a regular file", self.refuse(StateUnusable, claim, self.home, PLACE))
        pem.rmdir()
        self.assertNotEqual(self.claim().tub_id, first.tub_id)  # the failures above left no lock behind

    def test_notADirectory(self) -> None:
        """A state directory that is a file, or lies below one, is refused in one line."""
        self.home.write_text("")
        self.assertIn("not a directory", self.refuse(StateUnusable, claim, self.home, PLACE))
        self.assertIn("Not a directory", self.refuse(StateUnusable, claim, self.home / "below", PLACE))
        self.refuse(StateUnusable, claim, self.base / ("x" * 300), PLACE)

    def test_cannotBeMade(self) -> None:
        """A state directory that may not be created or written is refused with the system's reason."""
        self.patch(os, "mkdir", self.fail_(errno.EACCES))
        line = self.refuse(StateUnusable, claim, self.home, PLACE)
        self.assertIn(str(self.home), line)
        self.assertIn("Permission denied", line)
        self.patch(os, "mkdir", self.fail_(errno.ENOSPC))
        self.assertIn("disk is full", self.refuse(StateUnusable, claim, self.home, PLACE))

    def test_readOnly(self) -> None:
        """A directory on a read-only file system is refused with the system's reason."""
        self.published()
        self.patch(os, "open", self.fail_(errno.EROFS))
        self.assertIn("Read-only file system", self.refuse(StateUnusable, claim, self.home, PLACE))

    def test_othersCanWrite(self) -> None:
        """A directory in which others can write is refused: they could put their own address there."""
        for mode in (0o777, 0o770, 0o702):
            self.home.mkdir(exist_ok=True)
            self.home.chmod(mode)
            self.assertIn(f"{mode:04o}", self.refuse(StateUnusable, claim, self.home, PLACE))
        self.assertEqual(self.names(), set())

    def test_somebodyElses(self) -> None:
        """A directory that belongs to somebody else is refused."""
        self.home.mkdir(mode=0o700)
        other = os.geteuid() + 1
        self.patch(os, "geteuid", lambda: other)
        self.assertIn("belongs to user", self.refuse(StateUnusable, claim, self.home, PLACE))

    def test_strangeLock(self) -> None:
        """A lock that is a directory or a link to somewhere else is refused."""
        self.home.mkdir(mode=0o700)
        lock = self.home / f"{STEM}.lock"
        lock.mkdir()
        self.assertIn(str(lock), self.refuse(StateUnusable, claim, self.home, PLACE))
        lock.rmdir()
        lock.symlink_to(self.base / "elsewhere")
        self.refuse(StateUnusable, claim, self.home, PLACE)
        self.assertFalse((self.base / "elsewhere").exists())

    def test_leftovers(self) -> None:
        """What a killed dispatcher left half written is cleared away; that of another place stays."""
        self.home.mkdir(mode=0o700)
        ours = self.home / f".{STEM}.pem.0123456789abcdef.tmp"
        theirs = self.home / f".{STEM}.x.pem.0123456789abcdef.tmp"
        for path in (ours, theirs):
            path.write_text("half")
        self.claim()
        self.assertFalse(ours.exists())
        self.assertTrue(theirs.exists())

    def test_linkIsReplaced(self) -> None:
        """A FURL file that is a link to elsewhere is replaced; what it pointed to is not written."""
        made = self.claim()
        elsewhere = self.base / "elsewhere"
        elsewhere.write_text("mine")
        made.member_file.symlink_to(elsewhere)
        made.publish(HINTS)
        self.assertFalse(made.member_file.is_symlink())
        self.assertEqual(elsewhere.read_text(), "mine")


class FullDiskTests(DirectoryCase):
    """No file is ever half written."""

    def unchanged(self, publish: Callable[[], None]) -> str:
        before = {entry.name: entry.read_bytes() for entry in self.home.iterdir()}
        line = self.refuse(StateUnusable, publish)
        self.assertEqual({entry.name: entry.read_bytes() for entry in self.home.iterdir()}, before)
        return line

    def test_fullDisk(self) -> None:
        """When the disk or the quota is full the old files stay whole, nothing half written stays, and one line says so."""
        self.published()
        made = self.claim()
        for name in ("write", "fsync"):
            for number in (errno.ENOSPC, errno.EDQUOT):
                patched = self.patch(os, name, self.fail_(number))
                self.assertIn("the disk is full", self.unchanged(lambda: made.publish(["tcp:new:1"])))
                patched.restore()
        made.publish(["tcp:new:1"])
        self.assertIn("tcp:new:1", made.member_file.read_text())

    def test_otherFailures(self) -> None:
        """A failing disk leaves the old files too, with the system's reason."""
        self.published()
        made = self.claim()
        for name in ("write", "fsync", "replace"):
            patched = self.patch(os, name, self.fail_(errno.EIO))
            self.assertIn("Input/output error", self.unchanged(lambda: made.publish(["tcp:new:1"])))
            patched.restore()

    def test_fullAtFirstStart(self) -> None:
        """A first start on a full disk is refused in one line, holds no lock, and leaves no broken certificate."""
        patched = self.patch(os, "write", self.fail_(errno.ENOSPC))
        self.assertIn("the disk is full", self.refuse(StateUnusable, claim, self.home, PLACE))
        patched.restore()
        self.assertEqual(self.names(), {f"{STEM}.lock"})
        self.assertTrue(self.claim().fresh)

    def test_realFullDevice(self) -> None:
        """The system's own answer from a full device is understood."""
        self.published()
        made = self.claim()
        real = os.open

        def openFull(path: Any, flags: int, mode: int = 0o777) -> int:
            return real("/dev/full", os.O_WRONLY) if flags & os.O_EXCL else real(path, flags, mode)

        self.patch(os, "open", openFull)
        self.assertIn("the disk is full", self.unchanged(lambda: made.publish(["tcp:new:1"])))

    def test_shortWrites(self) -> None:
        """A system that writes a few bytes at a time still gets the whole file written."""
        real = os.write
        self.patch(os, "write", lambda opened, data: real(opened, bytes(data[:7])))
        made = self.published()
        self.assertEqual(tubId((self.home / f"{STEM}.pem").read_bytes()), made.tub_id)
        self.assertEqual(parse(made.member_file.read_text().strip()).name, made.member_name)

    def test_order(self) -> None:
        """A file is forced to the disk before it takes its name, its directory after; so a power cut leaves one whole."""
        made = self.claim()
        calls: list[str] = []
        real_fsync, real_replace = os.fsync, os.replace

        def fsync(opened: int) -> None:
            calls.append("directory" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file")
            real_fsync(opened)

        def replace(source: Any, target: Any) -> None:
            calls.append(Path(target).name)
            real_replace(source, target)

        self.patch(os, "fsync", fsync)
        self.patch(os, "replace", replace)
        made.publish(HINTS)
        self.assertEqual(calls, ["file", f"{STEM}.owner.furl", "directory", "file", f"{STEM}.furl", "directory"])


class FindTests(DirectoryCase):
    """`find`: which address a node uses."""

    def find(self, *args: str | None, environ: dict[str, str] | None = None, default: bool = False) -> FurlSource:
        return find(*args, option_is_default=default, environ=environ or {}, state_directory=self.home)

    def file(self, name: str, text: str) -> Path:
        path = self.base / name
        path.write_text(text)
        return path

    def test_order(self) -> None:
        """The constructor wins over the option, the option over the environment, that over the default file."""
        made = self.published()
        one, two, three = (str(self.file(name, FURL + name)) for name in ("one", "two", "three"))
        environ = {"NODESET_DISPATCHER": three}
        self.assertEqual(self.find(one, two, environ=environ).read().name, SECRET + "one")
        self.assertEqual(self.find(None, two, environ=environ).read().name, SECRET + "two")
        self.assertEqual(self.find(environ=environ).read().name, SECRET + "three")
        self.assertEqual(self.find().read().name, made.member_name)
        self.assertEqual(self.find(environ={"NODESET_DISPATCHER": ""}).read().name, made.member_name)

    def test_defaultOption(self) -> None:
        """An option left at its default loses to the environment; without one it names the default file."""
        made = self.published()
        environ = {"NODESET_DISPATCHER": FURL}
        self.assertEqual(self.find(None, DEFAULT_PLACE, default=True, environ=environ).read(), parse(FURL))
        self.assertEqual(self.find(None, DEFAULT_PLACE, default=True).read().name, made.member_name)
        self.assertEqual(self.find(None, DEFAULT_PLACE, environ=environ).read().name, made.member_name)

    def test_forms(self) -> None:
        """A FURL, pbu://, a path, @path, file:path, file:///path and ~/path are all understood."""
        path = self.file("x.furl", FURL + "\n")
        values = [FURL, f" {FURL}\n", str(path), f"@{path}", f"file:{path}", f"file://{path}", os.path.relpath(path)]
        for value in values:
            self.assertEqual(self.find(value).read(), parse(FURL), value)
        self.assertEqual(self.find("~/x.furl", environ={"HOME": str(self.base)}).read(), parse(FURL))
        self.published()
        self.claim("pbu://127.0.0.1:1/other").publish(["tcp:other:1"])
        self.assertEqual(self.find("pbu://127.0.0.1:1/other").read().hints, ("tcp:other:1",))

    def test_warning(self) -> None:
        """Only a FURL on the command line is warned about, since every user of the machine can read it there."""
        path = str(self.file("x.furl", FURL))
        self.assertIn("every user", self.find(None, FURL).warning or "")
        quiet = [
            self.find(FURL),
            self.find(None, path),
            self.find(None, DEFAULT_PLACE),
            self.find(environ={"NODESET_DISPATCHER": FURL}),
        ]
        self.assertEqual([source.warning for source in quiet], [None] * 4)

    def test_described(self) -> None:
        """Every source can be logged: a file by its path, a FURL without its secret."""
        self.assertEqual(self.find().describe(), f"the file {self.home / STEM}.furl")
        given = self.find(FURL)
        self.assertEqual(given.describe(), "pb://abcd…@tcp:127.0.0.1:5333/… from dispatcher_url")
        self.assertNotIn(SECRET, repr(given))
        self.assertNotIn("\n", self.find("a\nb").describe())

    def test_notThereYet(self) -> None:
        """A file that is not there yet says so, until it is: it is read anew each time."""
        source = self.find()
        line = self.refuse(NotThere, source.read)
        self.assertIn(f"{self.home / STEM}.furl", line)
        made = self.claim()
        made.publish(HINTS)
        self.assertEqual(source.read().hints, tuple(HINTS))
        made.publish(["tcp:moved:1"])
        self.assertEqual(source.read().hints, ("tcp:moved:1",))
        made.member_file.unlink()
        self.refuse(NotThere, source.read)

    def test_badFile(self) -> None:
        """A file with something else in it is named, its text is not shown."""
        for text in ("", "\n", SECRET, FURL[:40], FURL + "\n" + FURL, "x" * 9000, FURL.replace("5333", "99999")):
            path = self.file("bad.furl", text)
            line = self.refuse(BadFurl, self.find(str(path)).read)
            self.assertTrue(line.startswith(str(path)), line)
        path.write_bytes(FURL.encode() + b"\xff")
        self.refuse(BadFurl, self.find(str(path)).read)

    def test_noFile(self) -> None:
        """A directory, a FIFO, a device or a file below a file is refused at once, without hanging."""
        fifo = self.base / "fifo"
        os.mkfifo(fifo)
        before = time.monotonic()
        for path in (self.base, fifo, Path("/dev/zero"), self.file("plain", FURL) / "below"):
            self.assertIn(str(path), self.refuse(BadFurl, self.find(str(path)).read))
        self.assertLess(time.monotonic() - before, 5)

    def test_unreadable(self) -> None:
        """A file that may not be read is named with the system's reason."""
        path = self.file("x.furl", FURL)
        source = self.find(str(path))
        self.patch(os, "open", self.fail_(errno.EACCES))
        self.assertIn("Permission denied", self.refuse(BadFurl, source.read))

    def test_badAtOnce(self) -> None:
        """A bad address raises before anything is started, and says where it came from."""
        tub_at = FURL.removeprefix("pb://")
        for bad in (
            *("", "  ", "pb://", FURL[:20], FURL.removesuffix(SECRET), FURL.replace("pb:", "http:"), "http://x/y"),
            *(tub_at, f"@{tub_at}", f"file:{tub_at}", "x" + FURL, f"@{FURL}", FURL.upper(), FURL + "x" * 1_000_000),
            *("localhost:5333", "127.0.0.1:5333", f"abc@localhost:5333/{SECRET}", "pb:/x", "y" * 1_000_000),
        ):
            for origin, args, environ in (
                ("dispatcher_url: ", (bad,), {}),
                ("--dispatcher-url: ", (None, bad), {}),
                ("$NODESET_DISPATCHER: ", (), {"NODESET_DISPATCHER": bad}),
            ):
                if environ and not bad:
                    continue
                line = self.refuse(BadFurl, self.find, *args, environ=environ)
                self.assertTrue(line.startswith(origin), line)
                self.assertLess(len(line), 300)
        for bad in ("pbu://localhost", "pbu://h:1/../x", "@", "file:", "a\0b", "x" * 5000):
            self.refuse(BadSettings, self.find, bad)

    def test_relative(self) -> None:
        """A relative path is taken from where the program was started, also after it became a daemon."""
        path = self.file("x.furl", FURL)
        source = self.find(os.path.relpath(path))
        here = Path.cwd()
        os.chdir("/")
        try:
            self.assertEqual(source.read(), parse(FURL))
        finally:
            os.chdir(here)


class IdentityTests(DirectoryCase):
    """`lockIdentity`: a node's certificate that stays."""

    def lock(self, path: Path) -> tuple[bytes, Callable[[], None]]:
        pem, release = lockIdentity(path)
        self.addCleanup(release)
        return pem, release

    def test_made(self) -> None:
        """A missing file is made, private, and gives the same identity the next time."""
        path = self.base / "identity.pem"
        pem, release = self.lock(path)
        self.assertEqual(path.read_bytes(), pem)
        self.assertEqual(modeOf(path), 0o600)
        release()
        release()
        self.assertEqual(self.lock(path)[0], pem)
        self.assertEqual([entry.name for entry in self.base.iterdir()], ["identity.pem"])

    def test_shared(self) -> None:
        """A second process with the same file is refused until the first lets go."""
        path = self.base / "identity.pem"
        _, release = self.lock(path)
        self.assertIn("two processes must not share one identity", self.refuse(StateUnusable, lockIdentity, path))
        release()
        self.lock(path)

    def test_narrowed(self) -> None:
        """An identity that others could read is made private."""
        path = self.base / "identity.pem"
        path.write_bytes(createCertificate())
        path.chmod(0o644)
        self.lock(path)
        self.assertEqual(modeOf(path), 0o600)

    def test_refused(self) -> None:
        """A directory, a FIFO, garbage or a place that does not exist is refused, and nothing is overwritten."""
        garbage = self.base / "garbage"
        garbage.write_text(SECRET)
        fifo = self.base / "fifo"
        os.mkfifo(fifo)
        for path in (self.base, fifo, garbage, garbage / "below", self.base / "no" / "where"):
            self.assertIn(str(path), self.refuse(StateUnusable, lockIdentity, path))
        self.assertEqual(garbage.read_text(), SECRET)

    def test_fullDisk(self) -> None:
        """On a full disk no broken identity is left behind."""
        path = self.base / "identity.pem"
        self.patch(os, "write", self.fail_(errno.ENOSPC))
        self.assertIn("the disk is full", self.refuse(StateUnusable, lockIdentity, path))
        self.assertEqual(list(self.base.iterdir()), [])

    def test_race(self) -> None:
        """Of two processes that both find no file, the second takes what the first has made."""
        path = self.base / "identity.pem"
        first = createCertificate()
        real = os.link

        def tooLate(source: Any, target: Any, **kw: Any) -> None:
            path.write_bytes(first)
            path.chmod(0o600)
            real(source, target, **kw)

        self.patch(os, "link", tooLate)
        self.assertEqual(self.lock(path)[0], first)

    def test_replaced(self) -> None:
        """A file that is replaced while we lock it is locked again, so that nobody shares the new one."""
        path = self.base / "identity.pem"
        path.write_bytes(createCertificate())
        other = createCertificate()
        real = os.fstat
        again: list[int] = []

        def swap(opened: int) -> os.stat_result:
            if not again:
                again.append(opened)
                (self.base / newName()).write_bytes(other)
                path.unlink()
                path.write_bytes(other)
            return real(opened)

        self.patch(os, "fstat", swap)
        self.assertEqual(self.lock(path)[0], other)
        self.refuse(StateUnusable, lockIdentity, path)

    def test_errorIsLocal(self) -> None:
        """Unusable files are the user's own business, a file that is not there yet is nobody's."""
        self.assertTrue(issubclass(StateUnusable, LocalError))
        self.assertFalse(issubclass(NotThere, LocalError))
