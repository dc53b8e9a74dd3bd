"""How a node finds its dispatcher on disk."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import attrs

from nodeset.core.grants.revocations import Revocations
from nodeset.errors import BadFurl, BadSettings, NotThere, StateUnusable
from nodeset.transport.certificate import createCertificate, tubId
from nodeset.transport.endpoint import Endpoint, endpointOf, isEndpoint
from nodeset.transport.files import blaming, letGo, openQuick, readWhole, reasonOf, showPath, tryLock, writeWhole
from nodeset.transport.furl import DEFAULT_PLACE, LONGEST_FURL, Furl, parse, parsePlace, redact
from nodeset.transport.keys import loadKey, loadRevocations, mintMember, mintOwner, revokeLeaked, whyNotKept
from nodeset.transport.places import Named, furlFile, placeOf

__all__ = [
    "Claim",
    "FurlSource",
    "NotThere",
    "advising",
    "claim",
    "claimOf",
    "fileOf",
    "find",
    "isFixed",
    "lockIdentity",
    "prepareDirectory",
    "sourceOf",
    "stateDirectory",
]

_LONGEST_PEM = 65536  # an RSA certificate as Foolscap makes it has 3 KiB
_LONGEST_PATH = 4095
# A FURL that lost its start would otherwise be taken for a path, which errors may show.
_LOOKS_LIKE_FURL = re.compile(r"pb:/|\b[a-z2-7]{32}@|@(?:tcp|unix):", re.IGNORECASE)
_LOOKS_LIKE_ADDRESS = re.compile(r"[^/]*:")
# What stands after the slash may be the secret of a FURL that lost its start.
_HOST_PORT = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]{0,80}):([0-9]{1,5})(?:/.*)?")
_PUBLIC = "--dispatcher-url shows its FURL to every user of this machine: give @FILE, or set $NODESET_DISPATCHER"


def stateDirectory(environ: Mapping[str, str], explicit: str | None = None) -> Path:
    """Where dispatchers keep their files: `explicit`, else $NODESET_HOME, else $XDG_STATE_HOME/nodeset, else
    ~/.local/state/nodeset; absolute, not created. An empty variable counts as none; BadSettings for an impossible path.
    """
    if explicit is not None:
        return _absolute(explicit, environ)
    if home := environ.get("NODESET_HOME"):
        return _absolute(home, environ)
    state = environ.get("XDG_STATE_HOME", "")
    # The XDG specification wants a relative path in there ignored.
    return _absolute(state if state.startswith("/") else "~/.local/state", environ) / "nodeset"


@attrs.define(eq=False)
class Claim:
    """One dispatcher's hold on its files: nobody else gets them until `release`, or the end of this process with all
    that it forked. `member_name` is the grant in the FURL that nodes read, `owner_name` that in the owner's, both signed by
    `key`, which is what all grants are signed with.

    `fresh` means that no FURL was there, so no node can be on its way back. `notes` tells what was repaired, for the log.
    """

    directory: Path
    stem: str
    certificate: bytes = attrs.field(repr=False)
    tub_id: str
    member_name: str = attrs.field(repr=False)
    owner_name: str = attrs.field(repr=False)
    key: bytes = attrs.field(repr=False)
    revocations: Revocations = attrs.field(repr=False)
    fresh: bool
    notes: list[str]
    _held: list[int]

    @property
    def member_file(self) -> Path:
        """The file with the FURL that nodes read."""
        return self.directory / f"{self.stem}.furl"

    @property
    def owner_file(self) -> Path:
        """The file with the FURL that grants all."""
        return self.directory / f"{self.stem}.owner.furl"

    def publish(self, hints: Sequence[str], copies: Iterable[Path] = ()) -> None:
        """Write both FURLs with these places to connect to, each as a whole file that replaces the old one.

        The members' FURL is written to each of `copies` as well.

        BadFurl for a hint that is none, StateUnusable if the files cannot be written (the old ones stay) or if this
        claim was released.
        """
        if not self._held:
            raise StateUnusable(f"{showPath(self.member_file)}: this claim was released: make a new one")
        # Both before the first write, so that a bad hint changes nothing.
        owner = Furl(self.tub_id, hints, self.owner_name)
        member = Furl(self.tub_id, hints, self.member_name)
        with blaming(self.directory / f"{self.stem}.lock"):
            _writePid(self._held[0])  # becoming a daemon changed it
        # The members' file comes last: once a node finds it, everything is there.
        writeWhole(self.owner_file, f"{owner}\n".encode("ascii"))
        for path in (*copies, self.member_file):
            writeWhole(path, f"{member}\n".encode("ascii"))

    def renew(self) -> bool:
        """Make new grants for the files whose own were revoked; whether there are any: `publish` them then."""
        old = self.member_name, self.owner_name
        if whyNotKept(self.member_name, self.key, self.revocations, owner=False):
            self.member_name = mintMember(self.key)
        if whyNotKept(self.owner_name, self.key, self.revocations, owner=True):
            self.owner_name = mintOwner(self.key)
        return old != (self.member_name, self.owner_name)

    def release(self) -> None:
        """Let the next one have the files. They stay; releasing twice is no error."""
        # Closed, not unlocked: an unlock would also end the hold of a child that carries on as the daemon.
        letGo(self._held)


def claim(directory: Path, place: Named) -> Claim:
    """Take the files of the dispatcher at `place`: lock them, then load or make its certificate with its secret names.

    StateUnusable in one line if the directory or a file cannot be used, or if another dispatcher has them.
    """
    directory = directory.absolute()
    prepareDirectory(directory)
    lock_file = directory / f"{place.stem}.lock"
    with blaming(lock_file):
        lock = openQuick(lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            if not tryLock(lock):
                who = os.pread(lock, 20, 0).strip()
                pid = who.decode("ascii") if who.isdigit() else "unknown"
                who_is = f"another dispatcher, or center, (pid {pid}) holds {showPath(lock_file)}"
                raise StateUnusable(f"{who_is}: stop it, or listen elsewhere")
            _writePid(lock)
            for suffix in ("pem", "furl", "owner.furl", "key", "revoked"):
                for leftover in directory.glob(f".{place.stem}.{suffix}.{'?' * 16}.tmp"):
                    leftover.unlink(missing_ok=True)  # of one that was killed while it wrote
            return _load(directory, place.stem, lock)
        except BaseException:
            os.close(lock)
            raise


def claimOf(endpoint: Endpoint, state_directory: Path) -> Claim:
    """Take the files of the dispatcher that listens at this endpoint; see `claim`. BadSettings for another machine's."""
    return claim(state_directory, placeOf(endpoint))


def lockIdentity(path: Path) -> tuple[bytes, Callable[[], None]]:
    """The certificate in this file, made if there is none, with the function that lets go of it.

    StateUnusable if the file cannot be used, or while another process holds it.
    """
    for _ in range(10):
        with blaming(path):
            try:
                held = [openQuick(path, os.O_RDONLY)]
            except FileNotFoundError:
                writeWhole(path, createCertificate(), replace=False)
                continue
            try:
                if not tryLock(held[0]):
                    raise StateUnusable(
                        f"{showPath(path)} is in use, two processes must not share one identity: give each its own file"
                    )
                # Somebody may have put another file in place between our open and our lock.
                if os.path.samestat(os.fstat(held[0]), path.stat()):
                    return _readCertificate(path, []), partial(letGo, held)
            except BaseException:
                letGo(held)
                raise
            letGo(held)
    raise StateUnusable(f"{showPath(path)}: somebody keeps replacing this file: stop that, then start anew")


class FurlSource(Protocol):
    """Where a dispatcher's address comes from."""

    @property
    def warning(self) -> str | None:
        """What the user should know about having given the address in this way, in one line."""

    def read(self) -> Furl:
        """The address as it is now: call it before every attempt. NotThere while the file does not exist, BadFurl if
        there is something else in its place.
        """

    def describe(self) -> str:
        """Where it comes from, for a log line; no secret is in it."""


def find(
    constructor: str | None = None,
    option: str | None = None,
    *,
    option_is_default: bool = False,
    option_origin: str = "--dispatcher-url",
    environ: Mapping[str, str],
    state_directory: Path,
) -> FurlSource:
    """The source that counts: the constructor's value, the option, $NODESET_DISPATCHER, the default file.

    An option left at its default comes after the environment; `option_origin` says where it was given. A value is a FURL,
    `pbu://host:port/ref` or an endpoint for that file in the state directory, or a path, which may follow `@` or `file:`.
    BadFurl or BadSettings at once for one that is none.
    """
    if constructor is not None:
        return _source(constructor, "dispatcher_url", environ, state_directory)
    if option is not None and not option_is_default:
        return _source(option, option_origin, environ, state_directory)
    if variable := environ.get("NODESET_DISPATCHER"):
        return _source(variable, "$NODESET_DISPATCHER", environ, state_directory)
    return _source(option or DEFAULT_PLACE, "the default", environ, state_directory)


def sourceOf(endpoint: Endpoint, environ: Mapping[str, str], state_directory: Path, furl: str | None = None) -> FurlSource:
    """Where the FURL comes from of the center at this endpoint: from the file `furl`, else from that in the state directory.

    BadSettings at once for an endpoint of another machine without `furl`, or for an impossible path.
    """
    if furl is not None:
        return _InFile(_absolute(furl, environ))
    return _InFile(furlFile(state_directory, placeOf(endpoint)), who=str(endpoint))


@attrs.frozen
class _Given:
    furl: Furl
    origin: str
    warning: str | None

    def read(self) -> Furl:
        return self.furl

    def describe(self) -> str:
        return f"{redact(self.furl)} from {self.origin}"


def isFixed(source: FurlSource) -> bool:
    """Whether the FURL itself was given, so that another one never comes; what a file holds may change."""
    return isinstance(source, _Given)


def advising(source: FurlSource, instead: str) -> FurlSource:
    """The same source, which says as well what else there is to do than to start its dispatcher."""
    return attrs.evolve(source, instead=instead) if isinstance(source, _InFile) else source


def fileOf(source: FurlSource) -> Path | None:
    """The file that holds the FURL, which may not be there; None when the FURL itself was given."""
    return source.path if isinstance(source, _InFile) else None


@attrs.frozen
class _InFile:
    path: Path
    warning: str | None = None
    #: The endpoint that the file stands for.
    who: str = ""
    #: What else there is to do while nobody has written it.
    instead: str = ""

    def read(self) -> Furl:
        try:
            return _furlIn(readWhole(self.path, LONGEST_FURL))
        except FileNotFoundError:
            if self.who:
                why = f"nobody has listened at {self.who} yet, {showPath(self.path)} is not there"
                raise NotThere(f"{why}: start a center with this endpoint, as the same user") from None
            why = f"{showPath(self.path)} is not there yet: start the dispatcher, it writes this file{self.instead}"
            raise NotThere(why) from None
        except OSError as error:
            raise BadFurl(f"{showPath(self.path)} cannot be read ({reasonOf(error)}): give its path or its mode") from None
        except BadFurl as error:
            raise BadFurl(f"{showPath(self.path)}: {error}") from None

    def describe(self) -> str:
        return f"{self.who}, by the file {showPath(self.path)}" if self.who else f"the file {showPath(self.path)}"


def _source(text: str, origin: str, environ: Mapping[str, str], state_directory: Path) -> FurlSource:
    text = text.strip()
    try:
        if text.startswith("pbu://"):
            return _InFile(furlFile(state_directory, parsePlace(text)))
        if isEndpoint(text):
            return sourceOf(endpointOf(text), environ, state_directory)
        if not text or len(text) > LONGEST_FURL or _LOOKS_LIKE_FURL.search(text):
            return _Given(parse(text), origin, _PUBLIC if origin.startswith("--") else None)
        if text.startswith("file:"):
            return _InFile(_absolute(text.removeprefix("file:").removeprefix("//"), environ))
        if text.startswith("@"):
            return _InFile(_absolute(text.removeprefix("@"), environ))
        if named := _HOST_PORT.fullmatch(text):
            raise BadFurl(f"this is no FURL: for the dispatcher of this machine say pbu://{named[1]}:{named[2]}/dispatcher")
        if _LOOKS_LIKE_ADDRESS.match(text):
            parse(text)
        return _InFile(_absolute(text, environ))
    except (BadFurl, BadSettings) as error:
        raise type(error)(f"{origin}: {error}") from None


def _load(directory: Path, stem: str, lock: int) -> Claim:
    notes: list[str] = []
    pem_file = directory / f"{stem}.pem"
    if not os.path.lexists(pem_file):
        writeWhole(pem_file, createCertificate())
    certificate = _readCertificate(pem_file, notes)
    key = loadKey(directory / f"{stem}.key", notes)
    revocations = loadRevocations(directory / f"{stem}.revoked", time.time(), notes)
    found = Claim(directory, stem, certificate, tubId(certificate), "", "", key, revocations, False, notes, [lock])
    # Only if neither was ever published: who lost one file has nodes that may come back.
    found.fresh = not (os.path.lexists(found.member_file) or os.path.lexists(found.owner_file))
    found.member_name = _keptName(found, found.member_file, False) or mintMember(key)
    found.owner_name = _keptName(found, found.owner_file, True) or mintOwner(key)
    return found


def _keptName(found: Claim, path: Path, owner: bool) -> str | None:
    try:
        furl = _furlIn(readWhole(path, LONGEST_FURL, found.notes))
        if not owner:
            revokeLeaked(furl.name, found.key, found.revocations, time.time())
        why = "is of another certificate"
        if furl.tub_id == found.tub_id and not (why := whyNotKept(furl.name, found.key, found.revocations, owner)):
            return furl.name
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"cannot be read ({reasonOf(error)})"
    except BadFurl as error:
        why = f"has no FURL ({error})"
    found.notes.append(f"{showPath(path)} {why}: it gets a new one, which whoever copied the old one needs")
    return None


def _furlIn(data: bytes) -> Furl:
    # What is not ASCII becomes a character that parse refuses: a UnicodeDecodeError would carry the whole text along.
    return parse(data.decode("ascii", errors="replace").strip())


def _readCertificate(path: Path, notes: list[str]) -> bytes:
    with blaming(path):
        pem = readWhole(path, _LONGEST_PEM, notes)
    try:
        tubId(pem)
    except StateUnusable as error:
        raise StateUnusable(f"{showPath(path)}: {error}: bring the file back, or remove it to start anew") from None
    return pem


def prepareDirectory(directory: Path) -> None:
    """See to it that the directory is there for us alone to write in. StateUnusable if that cannot be."""
    with blaming(directory):
        if directory.exists() and not directory.is_dir():
            raise StateUnusable(f"{showPath(directory)} is not a directory: choose another --state-dir or $NODESET_HOME")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
    if found.st_uid != os.geteuid():
        raise StateUnusable(
            f"{showPath(directory)} belongs to user {found.st_uid}: choose another --state-dir or $NODESET_HOME"
        )
    if found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise StateUnusable(f"{showPath(directory)} can be written by others (mode {mode:04o}): chmod it to 0700")


def _absolute(text: str, environ: Mapping[str, str]) -> Path:
    # Now and not later: a daemon changes its working directory.
    if not text or "\0" in text or len(text) > _LONGEST_PATH:
        raise BadSettings(f"a path cannot have {len(text)} characters, or a NUL: name a file or a directory")
    if text == "~" or text.startswith("~/"):
        text = (environ.get("HOME") or str(Path.home())) + text[1:]
    if text.startswith("/"):
        return Path(text)
    try:
        return Path.cwd() / text
    except FileNotFoundError:
        why = f"{text[:200]!r} counts from the current directory, which is gone: write a path from /"
        raise BadSettings(why) from None


def _writePid(lock: int) -> None:
    os.ftruncate(lock, os.pwrite(lock, b"%d\n" % os.getpid(), 0))
