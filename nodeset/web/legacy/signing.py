"""Requests that are signed in the original's way.

publish    signature = HMAC-SHA256(secret, event + message), or, with a timestamp, event + message + timestamp
subscribe  signature = HMAC-SHA256(secret, key + timestamp), the key's name being in the header x-verify-key

All as 64 hexadecimal digits, of the UTF-8 of the texts. Such a signature counts once for as long as nonces are remembered. One
without a timestamp could be sent again after that, which is why only keys that are marked `legacy` may sign so.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final

from nodeset.errors import StateUnusable
from nodeset.web.access.nonces import Full, Nonces, Replayed, TooOld
from nodeset.web.access.signature import WINDOW, isRecent, signatureOf
from nodeset.web.legacy.words import Signature
from nodeset.web.problem import Problem

if TYPE_CHECKING:
    from nodeset.web.access.keyfile import KeyFile
    from nodeset.web.access.keyring import WebKey
    from nodeset.web.site import BridgeRequest

__all__ = ["checkOld", "isOld", "oldText"]

_SUBSCRIBE: Final = b"/subscribe"
_PATHS: Final = frozenset({b"/publish", _SUBSCRIBE})
_DIGITS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
#: What is compared with for a key that there is not, so that it takes as long as for one that there is.
_NOBODY: Final = "nobody has this secret, it is in the source"


def isOld(request: BridgeRequest) -> bool:
    """Whether this request is signed in the original's way, rightly or not."""
    has_new = request.getHeader("x-verify-signature") is not None
    return request.path in _PATHS and b"signature" in (request.args or {}) and not has_new


def oldText(path: bytes, shown: Signature) -> bytes:
    """What is signed."""
    if path == _SUBSCRIBE:
        return f"{shown.key}{shown.timestamp}".encode()
    return f"{shown.event}{shown.message}{shown.timestamp}".encode()


def checkOld(keys: KeyFile, nonces: Nonces, request: BridgeRequest, now: float) -> WebKey:
    """The key that signed this request, which counts from now on as having been here; `now` is Unix time.

    Raises `Problem`: 401 for what is missing, 400 for what is none, 403 for a wrong signature or a timestamp outside the
    window, 409 for a replay, 503 when it cannot be remembered.
    """
    path = request.path
    shown = Signature.read(request.args or {}, request.getHeader("x-verify-key"))
    name = shown.key or ("" if path == _SUBSCRIBE else _onlyOne(keys))
    if not name:
        raise Problem(401, "the header x-verify-key is missing: it names the key by which this is signed")
    if path == _SUBSCRIBE and not shown.timestamp:
        raise Problem(401, "the timestamp is missing: a subscribe is signed over key and timestamp")
    if shown.timestamp and not _DIGITS.fullmatch(shown.timestamp):
        raise Problem(400, "the timestamp is none: it is seconds of Unix time, in digits")
    key = keys.find(name, now)
    secret = _NOBODY if key is None or not key.legacy else key.secret
    right = hmac.compare_digest(signatureOf(secret, oldText(path, shown)).encode(), shown.signature.lower().encode())
    if key is None or not key.legacy or not right:
        raise Problem(403, "this signature is wrong, or its key counts no longer, or may not sign in this way")
    if shown.timestamp and not isRecent(int(shown.timestamp), now):
        raise Problem(
            403, f"the timestamp is {abs(int(shown.timestamp) - now):.0f} s off, {WINDOW} s are allowed: set the clock"
        )
    try:
        # In front stands what no nonce of a signed request has.
        nonces.take(key.name, f"legacy {shown.signature.lower()}", int(shown.timestamp or now), now)
    except Replayed:
        raise Problem(
            409, "this request was made before: its signature counts once, add a timestamp and sign that too"
        ) from None
    except TooOld as error:
        if not shown.timestamp:  # we have not run for long enough to know of such
            raise Problem(503, "the bridge has just begun: come back", retry_after=5) from None
        raise Problem(403, str(error)) from None
    except Full as error:
        raise Problem(503, str(error), retry_after=60) from None
    except StateUnusable:
        raise Problem(503, "the bridge cannot remember signed requests now, so takes none", retry_after=5) from None
    return key


def _onlyOne(keys: KeyFile) -> str:
    """The one key that may sign so, if there is but one: the original had no names for them."""
    names = [name for name, key in keys.keys.items() if key.legacy]
    return names[0] if len(names) == 1 else ""
