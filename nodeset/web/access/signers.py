"""Whose signatures count: keys, what was signed already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.application.service import Service
from twisted.logger import Logger

from nodeset.errors import StateUnusable
from nodeset.web.access.keyfile import KeyFile
from nodeset.web.access.keyring import WebKey
from nodeset.web.access.nonces import Full, Nonces, Replayed, TooOld
from nodeset.web.access.signature import (
    HEADERS,
    WINDOW,
    BadTarget,
    Malformed,
    Partial,
    isRecent,
    isSigned,
    readSigned,
)
from nodeset.web.access.slots import SlotFiles
from nodeset.web.agent import Agent
from nodeset.web.legacy.signing import checkOld
from nodeset.web.problem import Problem

if TYPE_CHECKING:
    from nodeset.web.site import BridgeRequest

__all__ = ["OVER", "WITHDRAWN", "Signers"]

#: Why what lived by a key is cut.
WITHDRAWN: Final = "the key by which it was let in was withdrawn"
OVER: Final = "the key by which it was let in has ended"

#: What is compared with for a key that there is not, so that it takes as long as for one that there is.
_NOBODY: Final = "nobody has this secret, it is in the source"


class Signers(Service):
    """The keys of a bridge, with its memory of what they signed.

    :param files: where that memory outlives the process, closed when this stops.
    """

    log = Logger()

    def __init__(self, keys: KeyFile, nonces: Nonces, files: SlotFiles | None = None) -> None:
        self.setName("nodeset-web-signers")
        self._keys, self.nonces, self._files = keys, nonces, files
        self._agents: dict[str, Agent] = {}

    def stopService(self) -> None:
        """Put the memory onto the disk."""
        Service.stopService(self)
        if self._files is not None:
            self._files.close()

    def check(self, request: BridgeRequest, body: bytes, now: float) -> WebKey:
        """The key that signed this request, which counts from now on as having been here; `now` is Unix time.

        Raises `Problem`: 401 without a whole set of headers, 400 for what is none, 403 for a wrong signature or a timestamp
        outside the window, 409 for a replay, 503 when it cannot be remembered.
        """
        if any(len(request.requestHeaders.getRawHeaders(name.encode()) or ()) > 1 for name in HEADERS):
            raise Problem(400, f"each of {', '.join(HEADERS)} comes once")
        try:
            signed = readSigned(request.getHeader)
        except Partial as error:
            raise Problem(401, str(error)) from None
        except Malformed as error:
            raise Problem(400, str(error)) from None
        assert signed is not None, "it has one of the headers"
        key = self._keys.find(signed.key, now)
        path, _mark, query = request.uri.decode("latin-1").partition("?")
        secret = _NOBODY if key is None else key.secret
        try:
            is_signed = isSigned(secret, signed, request.method.decode("latin-1"), path, query, body)
        except BadTarget as error:
            raise Problem(400, str(error)) from None
        if key is None or not is_signed:
            raise Problem(403, "this signature is wrong, or its key counts no longer")
        if not isRecent(signed.timestamp, now):
            off = signed.timestamp - now
            way = "ahead of" if off > 0 else "behind"
            raise Problem(403, f"x-verify-timestamp is {abs(off):.0f} s {way} our clock, {WINDOW} s are allowed: set the clock")
        try:
            self.nonces.take(signed.key, signed.nonce, signed.timestamp, now)
        except Replayed as error:
            raise Problem(409, str(error)) from None
        except TooOld as error:
            raise Problem(403, str(error)) from None
        except Full as error:
            raise Problem(503, str(error), retry_after=60) from None
        except StateUnusable:
            # Where that is, is for our log, which has it.
            raise Problem(503, "the bridge cannot remember signed requests now, so takes none", retry_after=5) from None
        return key

    def checkOld(self, request: BridgeRequest, now: float) -> WebKey:
        """The same for a request that is signed in the original's way."""
        return checkOld(self._keys, self.nonces, request, now)

    def agentOf(self, key: WebKey, own: Agent) -> Agent:
        """Who acts by a key without a grant of its own: the bridge itself, by another name."""
        found = self._agents.get(key.name)
        if found is None:
            found = self._agents[key.name] = Agent(f"key {key.name}", own.node, own.rights)
        found.rights = own.rights  # which may be others since the last link
        return found

    def reload(self) -> list[str]:
        """Read the keys again: the names of those that are gone, or are others now. What lived by them is cut."""
        before = dict(self._keys.keys)
        self._keys.reload()
        after = self._keys.keys
        gone = [name for name, key in before.items() if after.get(name) != key]
        for name in gone:
            self._withdraw(name, WITHDRAWN)
        return gone

    def expire(self, now: float) -> list[str]:
        """The names of keys that have ended; what lived by them is cut. `now` is Unix time."""
        over = [name for name, key in self._keys.keys.items() if key.isOver(now)]
        for name in over:
            self._withdraw(name, OVER)
        return over

    def _withdraw(self, name: str, reason: str) -> None:
        agent = self._agents.pop(name, None)
        if agent is not None:
            agent.end(reason)
