"""The address of a dispatcher, as text."""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
from collections.abc import Iterable
from typing import NoReturn

import attrs

from nodeset.errors import BadFurl, BadSettings
from nodeset.transport.endpoint import hintOf, pathOf

__all__ = ["DEFAULT_PLACE", "LONGEST_FURL", "Furl", "Place", "newName", "parse", "parsePlace", "redact"]

# A capability's name may have 4 KiB (DESIGN D12); the rest is room for hints.
LONGEST_FURL = 8192
DEFAULT_PLACE = "pbu://localhost:5333/dispatcher"

_EXAMPLE = "pb://TUBID@tcp:HOST:PORT/NAME"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15})://")
_TUB_ID = re.compile(r"[a-z2-7]{32}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9.])?")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+)(?:%[A-Za-z0-9.]+)?\]")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNWANTED = re.compile(r"[^\x21-\x7e]")
_LONGEST_HOST = 253
_LONGEST_STEM = 200  # leaves room for the suffixes in the 255 bytes of a file name


def _normalizeHints(hints: Iterable[str]) -> tuple[str, ...]:
    """Every hint as `unix:path` or as `tcp:host:port`, the one form in which Foolscap takes IPv6 too. BadFurl for others."""
    return tuple(map(_normalizeHint, [hints] if isinstance(hints, str) else hints))


def _normalizeHint(hint: str) -> str:
    if hint.startswith("unix:"):
        return hintOf(pathOf(hint))
    host, colon, port = hint.removeprefix("tcp:").rpartition(":")
    # Of the port only its five digits: a FURL that lost a slash has more of it behind them, not for showing.
    shown = repr((hint[: len(hint) - len(port)] + port[:5] if colon else hint)[:80])
    if not colon or not host:
        raise BadFurl(f"the hint {shown} lacks a host or a port: write tcp:HOST:PORT")
    if not _isHost(host):
        raise BadFurl(f"the hint {shown} has no host that can be looked up: write tcp:HOST:PORT, IPv6 as [ADDRESS]")
    if (number := _portNumber(port)) is None:
        raise BadFurl(f"the hint {shown} has no port from 1 to 65535: write tcp:HOST:PORT")
    return f"tcp:{host}:{number}"


def _isHost(host: str) -> bool:
    if bracketed := _IPV6.fullmatch(host):
        try:
            ipaddress.IPv6Address(bracketed[1])
        except ValueError:
            return False
        return True
    return len(host) <= _LONGEST_HOST and _HOST.fullmatch(host) is not None


def _portNumber(text: str) -> int | None:
    # str.isdigit alone would let through digits that int() or Foolscap do not know.
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return number if 1 <= (number := int(text)) <= 65535 else None


@attrs.frozen(repr=False)
class Furl:
    """A dispatcher's TubID, the places where to look for it, and the name there, which is the secret.

    `str()` is the whole text, to be given to a Tub or written to a file; `repr()` and every error are safe to show.
    Making one raises BadFurl for parts that no dispatcher has. Hints are kept as `tcp:host:port`, or as `unix:` with a path.
    """

    tub_id: str
    hints: tuple[str, ...] = attrs.field(converter=_normalizeHints)
    name: str

    def __attrs_post_init__(self) -> None:
        if not _TUB_ID.fullmatch(self.tub_id):
            raise BadFurl(f"the TubID {_clip(self.tub_id)} is not 32 letters of a-z2-7: copy the FURL again")
        if not self.hints:
            raise BadFurl("this FURL has no hint where the dispatcher listens: start it with --advertise tcp:HOST:PORT")
        if not self.name:
            raise BadFurl(f"this FURL ends before its name: copy it again, whole ({_EXAMPLE})")
        if unwanted := _UNWANTED.search(self.name):
            raise BadFurl(f"the name in this FURL has {_describe(unwanted)}: copy the FURL again")
        if len(str(self)) > LONGEST_FURL:
            raise BadFurl(f"this FURL has {len(str(self))} characters, at most {LONGEST_FURL} are allowed: give fewer hints")

    def __str__(self) -> str:
        return f"pb://{self.tub_id}@{','.join(self.hints)}/{self.name}"

    def __repr__(self) -> str:
        return f"<Furl {redact(self)}>"


def parse(text: str) -> Furl:
    """The FURL in this text. BadFurl says in one line what is wrong, without the part that is secret."""
    if len(text) > LONGEST_FURL:
        raise BadFurl(f"a FURL has at most {LONGEST_FURL} characters, this text has {len(text)}: copy it again, alone")
    if not text:
        raise BadFurl(f"the FURL is empty: give {_EXAMPLE}, or the file that the dispatcher wrote")
    if unwanted := _UNWANTED.search(text):
        raise BadFurl(f"the FURL has {_describe(unwanted)}: copy it again, on one line")
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise BadFurl(f"this is no FURL, it does not start with pb://: give {_EXAMPLE}")
    if scheme[1].lower() == "pbu":
        raise BadFurl(
            "pbu:// is a rendezvous name, not an address: it names a file that a dispatcher on this machine writes: "
            "give the text of that file, which starts with pb://"
        )
    if scheme[1] != "pb":
        raise BadFurl(f"a FURL starts with pb://, not with {scheme[1]}://: give {_EXAMPLE}")
    # Whatever stands after the first slash is taken for secret, and all of it while there is no slash.
    place, slash, name = text[len("pb://") :].partition("/")
    tub_id, at, hints = place.partition("@")
    if not slash or not at:
        raise BadFurl(f"this FURL is cut off or has lost a part ({len(text)} characters): copy it again, {_EXAMPLE}")
    return Furl(tub_id, hints.split(",") if hints else [], name)


def newName() -> str:
    """A name that nobody can guess, for a reference that one must be given to reach: 160 bits, 32 letters."""
    return base64.b32encode(secrets.token_bytes(20)).decode("ascii").lower()


def redact(text: str | Furl) -> str:
    """An address as it may be shown, such as `pb://abcd…@tcp:127.0.0.1:5333/…`. Takes any text, raises nothing."""
    if isinstance(text, Furl):
        return f"pb://{text.tub_id[:4]}…@{','.join(text.hints)}/…"
    try:
        return str(parsePlace(text)) if text.startswith("pbu://") else redact(parse(text))
    except (BadFurl, BadSettings):
        return "pb://…" if text.startswith("pb://") else "…"


def _lower(host: str) -> str:
    return host.lower()


@attrs.frozen
class Place:
    """A rendezvous name: where a dispatcher of this machine listens, `ref` to tell two of them apart. Not a secret.

    Making one raises BadSettings for parts that could not be part of a file name.
    """

    host: str = attrs.field(converter=_lower)
    port: int
    ref: str

    def __attrs_post_init__(self) -> None:
        if len(self.host) > _LONGEST_HOST or not _HOST.fullmatch(self.host):
            _refusePlace(f"the host {_clip(self.host, 40)} is no host name or IPv4 address")
        if not 1 <= self.port <= 65535:
            _refusePlace(f"the port {self.port} is not from 1 to 65535")
        if not _REF.fullmatch(self.ref):
            _refusePlace("the part after the slash may only have letters, digits, '.', '_' or '-', a letter or digit first")
        if self.ref.endswith(".owner"):
            _refusePlace("the part after the slash ends in '.owner', as another dispatcher's owner file would")
        if len(self.stem) > _LONGEST_STEM:
            _refusePlace(f"with {len(self.stem)} characters it is too long for the name of a file")

    def __str__(self) -> str:
        return f"pbu://{self.host}:{self.port}/{self.ref}"

    @property
    def stem(self) -> str:
        """What the names of its files start with. No host has an underscore, so two places never share one."""
        return f"{self.host}_{self.port}_{self.ref}"


def parsePlace(text: str) -> Place:
    """The place in `pbu://host:port/ref`. BadSettings says in one line what is wrong with it."""
    if len(text) > LONGEST_FURL:
        _refusePlace(f"this text has {len(text)} characters")
    if not text.startswith("pbu://"):
        _refusePlace("it does not start with pbu://")
    host, colon, rest = text.removeprefix("pbu://").partition(":")
    port, slash, ref = rest.partition("/")
    if not colon or not slash:
        _refusePlace("the port or the part after the slash is missing")
    if (number := _portNumber(port)) is None:
        _refusePlace("its port is not a number from 1 to 65535")
    return Place(host, number, ref)


def _refusePlace(why: str) -> NoReturn:
    raise BadSettings(f"not a rendezvous name: {why}; write it like {DEFAULT_PLACE}")


def _clip(text: str, length: int = 4) -> str:
    return repr(text) if len(text) <= length else f"{text[:length]!r}… ({len(text)} characters)"


def _describe(unwanted: re.Match[str]) -> str:
    return f"a blank, control or foreign character (U+{ord(unwanted[0]):04X}) at position {unwanted.start()}"
