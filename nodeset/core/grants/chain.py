"""The name in a FURL that says what its holder may do, signed link by link.

    g1.<key id>.<caveat>. ... .<caveat>.<tag>          each part base64url without padding

The first tag is HMAC-SHA256 by the dispatcher's key over the version, the key id, the first caveat; each further one is by the
tag before it, over its own caveat. So whoever holds a name can append a caveat to it, asking nobody, and nobody can take one
away. What a name allows is what all of its links allow.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Annotated, Final

import attrs
import msgspec

from nodeset.errors import BadGrant, GrantRefused

__all__ = [
    "KEY_SIZE",
    "MAX_LINKS",
    "MAX_NAME",
    "Caveat",
    "Chain",
    "Link",
    "caveatsOf",
    "idOf",
    "isGrant",
    "keyId",
    "mint",
    "narrow",
    "verify",
]

#: Characters of a whole name, links in it.
MAX_NAME: Final = 4096
MAX_LINKS: Final = 16
#: Bytes of the key that a dispatcher signs with.
KEY_SIZE: Final = 32

_VERSION: Final = "g1"
_TAG_SIZE: Final = 32

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_Patterns = Annotated[list[_Text], msgspec.Meta(max_length=256)]


class Caveat(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,  # what we do not understand may well forbid something
    rename={
        "id": "i",
        "publish": "p",
        "subscribe": "s",
        "call": "c",
        "answer": "a",
        "rate": "r",
        "expires": "x",
        "tub": "t",
        "owner": "o",
    },
):
    """What one link allows; a verb that it does not name it does not restrict, an empty list allows nothing of it.

    `id` is 8 random bytes, so that no two links are alike. `publish` and `subscribe` are patterns of events, `call` is
    `NODE/METHOD` with a pattern of methods, `answer` has names of nodes. `rate` is events and calls in a second, `expires`
    seconds of Unix time, `tub` the TubID of the only one who may use it. `owner` is the right to mint and to revoke.
    """

    id: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
    publish: _Patterns | None = None
    subscribe: _Patterns | None = None
    call: _Patterns | None = None
    answer: _Patterns | None = None
    rate: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None
    expires: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    tub: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    owner: bool = False


@attrs.frozen
class Link:
    """A caveat in a chain that was verified, with the id by which the grant that ends with it is known and revoked.

    That id is made of the link's tag: an id that a holder may choose could be chosen to be somebody else's.
    """

    caveat: Caveat
    id: str


Chain = tuple[Link, ...]

_pack = msgspec.msgpack.Encoder().encode
_caveat = msgspec.msgpack.Decoder(Caveat)


def isGrant(name: str) -> bool:
    """Whether this name means to be a grant."""
    return name.startswith(f"{_VERSION}.")


def keyId(key: bytes) -> str:
    """By what a key is told from others; it says nothing of the key."""
    return _encode(hashlib.sha256(b"nodeset key id\0" + key).digest()[:6])


def mint(key: bytes, caveat: Caveat) -> str:
    """A name of one link. Raises `BadGrant` when it would be too long."""
    known = keyId(key)
    packed = _pack(caveat)
    return _join([known, _encode(packed)], _sign(key, _VERSION.encode(), known.encode(), packed))


def narrow(name: str, caveat: Caveat) -> str:
    """`name` with one link more. Raises `BadGrant` when that is too many or too much, or when `name` is no grant."""
    try:
        known, parts, tag = _split(name)
    except GrantRefused as error:
        raise BadGrant(f"it cannot be narrowed: {error}") from None
    if len(parts) >= MAX_LINKS:
        raise BadGrant(f"this grant has {len(parts)} links already, the most there may be: narrow the one that it came from")
    packed = _pack(caveat)
    return _join([known, *parts, _encode(packed)], _sign(tag, packed))


def verify(key: bytes, name: str) -> Chain:
    """The links of `name`, all of them signed under `key`. Raises `GrantRefused`, which says why not.

    Nothing is taken apart before its tag is known to be right; the work is bounded by `MAX_LINKS` and `MAX_NAME`.
    """
    known, parts, tag = _split(name)
    if not hmac.compare_digest(known.encode(), keyId(key).encode()):
        raise GrantRefused("this grant is not signed with the key of this dispatcher: get one from its owner")
    packed = [_decode(part) for part in parts]
    signed = _sign(key, _VERSION.encode(), known.encode(), packed[0])
    tags = [signed]
    for one in packed[1:]:
        tags.append(_sign(tags[-1], one))
    if not hmac.compare_digest(tags[-1], tag):
        raise GrantRefused("this grant is not signed by this dispatcher: it was changed, or damaged; copy it again, whole")
    return tuple(Link(_read(one), _idOf(each)) for one, each in zip(packed, tags, strict=True))


def caveatsOf(name: str) -> list[Caveat]:
    """What the links of `name` say, whether or not they are signed. Raises `GrantRefused` for what is no grant."""
    return [_read(_decode(part)) for part in _split(name)[1]]


def idOf(name: str) -> str:
    """The id of the grant that `name` is, if it is one at all. Raises `GrantRefused`."""
    return _idOf(_split(name)[2])


def _idOf(tag: bytes) -> str:
    return hashlib.sha256(b"nodeset grant id\0" + tag).hexdigest()[:24]


def _sign(key: bytes, *arguments: bytes) -> bytes:
    """Every argument has its length before it, so that no two lists of them are the same text."""
    text = b"".join(len(argument).to_bytes(4, "big") + argument for argument in arguments)
    return hmac.digest(key, text, "sha256")


def _join(parts: list[str], tag: bytes) -> str:
    name = ".".join([_VERSION, *parts, _encode(tag)])
    if len(name) > MAX_NAME:
        raise BadGrant(f"this grant would have {len(name)} characters, over {MAX_NAME}: give fewer or shorter patterns")
    return name


def _split(name: str) -> tuple[str, list[str], bytes]:
    """Key id, caveats, tag; sizes and counts are looked at before anything else."""
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise GrantRefused(f"this grant is too long: {MAX_NAME} characters are the most")
    if not isGrant(name):
        raise GrantRefused("this is no grant: it does not begin with g1.")
    _version, known, *parts = name.split(".")
    if len(parts) < 2:
        raise GrantRefused("this grant is cut off: copy it again, whole")
    if len(parts) > MAX_LINKS + 1:
        raise GrantRefused(f"this grant has {len(parts) - 1} links, over {MAX_LINKS}: narrow the one that it came from")
    *caveats, last = parts
    tag = _decode(last)
    if len(tag) != _TAG_SIZE:
        raise GrantRefused("this grant is cut off, or has too much at its end: copy it again, whole")
    return known, caveats, tag


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        data = b""
    if not data or _encode(data) != text:  # base64 passes over what it does not know, and one text has many spellings
        raise GrantRefused("this grant is damaged: copy it again, whole")
    return data


def _read(packed: bytes) -> Caveat:
    try:
        return _caveat.decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise GrantRefused("this grant says what this dispatcher does not understand: it is from a newer NodeSet") from None
