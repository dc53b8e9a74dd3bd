"""Sign a request to a bridge with a shared secret.

>>> sorted(sign("alice", "x" * 32, "GET", "/v1/nodes"))
['x-verify-key', 'x-verify-nonce', 'x-verify-signature', 'x-verify-timestamp']
"""

from __future__ import annotations

import secrets
import time

from nodeset.web.access.signature import HEADERS, signatureOf, textOf

__all__ = ["sign"]


def sign(
    key: str,
    secret: str,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    timestamp: int | None = None,
    nonce: str | None = None,
) -> dict[str, str]:
    """The four headers that make a request one of the holder of `key`.

    They are good for one request, within 300 s. What is signed is method, path, query and body: other headers are not.

    :param target: path with query, as it will be sent: percent-encoded, without the host.
    :param body: exactly what will be sent.
    :param timestamp: Unix time; now, unless a test says otherwise.
    :param nonce: a random one, unless a test says otherwise.
    :raise ValueError: for a target that no request can have.
    """
    at = int(time.time()) if timestamp is None else timestamp
    once = secrets.token_urlsafe(18) if nonce is None else nonce
    path, _mark, query = target.partition("?")
    text = textOf(key, at, once, method.upper(), path, query, body)
    return dict(zip(HEADERS, (key, str(at), once, signatureOf(secret, text)), strict=True))
