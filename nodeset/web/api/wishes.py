"""What the headers of a request wish for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

__all__ = ["MAX_KEY", "MAX_TIMEOUT", "BadWish", "CallWishes", "PublishWishes", "readCallWishes", "readKey", "readPublishWishes"]

#: Characters of an idempotency key.
MAX_KEY: Final = 255
#: Seconds for which a client may wait for a call, or for the next item of one.
MAX_TIMEOUT: Final = 3600.0

_PUBLISH: Final = ("nodeset-confirm", "nodeset-delivery", "nodeset-ttl", "nodeset-retain")
_CALL: Final = ("nodeset-timeout", "nodeset-idempotent")
_LEVELS: Final = ("accepted", "delivered", "handled")
_DELIVERIES: Final = ("all", "one")
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,8}(\.[0-9]{1,6})?|0\.[0-9]{0,5}[1-9]", re.ASCII)
_KEY: Final = re.compile(r"[!-~]+( +[!-~]+)*", re.ASCII)

#: By their names in small letters.
Headers = Mapping[str, str]


class BadWish(Exception):
    """A header says what it cannot say; with `status` 501 what is not offered."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


@attrs.frozen
class PublishWishes:
    """How to publish: `ttl` is in seconds."""

    level: str = "delivered"
    mode: str = "all"
    ttl: float | None = None
    retain: bool = False


@attrs.frozen
class CallWishes:
    """How to call: `timeout` is in seconds, None for the usual."""

    timeout: float | None = None
    idempotent: bool = False


_USUAL: Final = PublishWishes()


def readPublishWishes(headers: Headers) -> PublishWishes:
    """What NodeSet-Confirm, -Delivery, -TTL, -Retain say. Raises `BadWish`."""
    _checkNames(headers, _PUBLISH)
    header = headers.get
    confirm, delivery = header("nodeset-confirm"), header("nodeset-delivery")
    ttl, retain = header("nodeset-ttl"), header("nodeset-retain")
    if confirm is None and delivery is None and ttl is None and retain is None:
        return _USUAL
    if confirm == "durable":
        raise BadWish("NodeSet-Confirm: durable is not offered: no event is kept on a disk; handled is the most", 501)
    return PublishWishes(
        _readWord("NodeSet-Confirm", confirm, _LEVELS, "delivered"),
        _readWord("NodeSet-Delivery", delivery, _DELIVERIES, "all"),
        _readSeconds("NodeSet-TTL", ttl),
        _readBool("NodeSet-Retain", retain),
    )


def readCallWishes(headers: Headers) -> CallWishes:
    """What NodeSet-Timeout, -Idempotent say. Raises `BadWish`."""
    _checkNames(headers, _CALL)
    header = headers.get
    timeout = _readSeconds("NodeSet-Timeout", header("nodeset-timeout"))
    if timeout is not None and timeout > MAX_TIMEOUT:
        raise BadWish(f"NodeSet-Timeout is {timeout:g}; it must be {MAX_TIMEOUT:g} seconds at most")
    return CallWishes(
        timeout,
        _readBool("NodeSet-Idempotent", header("nodeset-idempotent")),
    )


def readKey(headers: Headers) -> str | None:
    """What Idempotency-Key says, without the quotes that the draft of that header puts around it. Raises `BadWish`."""
    key = headers.get("idempotency-key")
    return None if key is None else checkKey(key, "Idempotency-Key")


def checkKey(key: str, name: str) -> str:
    """The key itself, without quotes around it; `name` is what bears it. Raises `BadWish`."""
    bare = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if len(bare) > MAX_KEY or not _KEY.fullmatch(bare):
        raise BadWish(f"{name} is {_show(key)}; it must be 1 to {MAX_KEY} printable ASCII characters")
    return bare


def _checkNames(headers: Headers, known: tuple[str, ...]) -> None:
    """A header of ours that means nothing here is a slip: who wrote it believes in what he did not get."""
    for name in headers:
        if name.startswith("nodeset-") and name not in known:
            raise BadWish(f"the header {_show(name)} means nothing here, only {', '.join(known)} do")


def _readWord(name: str, text: str | None, words: tuple[str, ...], usual: str) -> str:
    if text is None:
        return usual
    if text not in words:
        raise BadWish(f"{name} is {_show(text)}; it must be one of {', '.join(words)}")
    return text


def _readSeconds(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    if not _SECONDS.fullmatch(text):
        raise BadWish(f"{name} is {_show(text)}; it must be a number of seconds, from 0.000001 to 999999999, such as 2.5")
    return float(text)


def _readBool(name: str, text: str | None) -> bool:
    if text is None:
        return False
    if text not in ("true", "false"):
        raise BadWish(f"{name} is {_show(text)}; it must be true or false")
    return text == "true"


def _show(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:59]!r}…"
