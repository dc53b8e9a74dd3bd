"""Who is let in by a verifier of the program's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from nodeset.core.patience import deferredOf
from nodeset.web.access.origins import Origins
from nodeset.web.agent import Agent
from nodeset.web.anyone import Anyone
from nodeset.web.legacy.words import Signature
from nodeset.web.problem import Problem

if TYPE_CHECKING:
    from nodeset.web.legacy.site import NodeSetSite
    from nodeset.web.routes import Route
    from nodeset.web.site import BridgeRequest

__all__ = ["Verifier", "Verifying"]

#: What HTTP wants said with a 401.
_CHALLENGE: Final = (b"WWW-Authenticate", b"NodeSet-Signature")


class Verifier(Protocol):
    """Judges signatures: what the original's site took by `setVerifier`."""

    def verify(self, a: str, b: str, c: str, /) -> Any:
        """Whether the signature `c` is right, or a Deferred of that, or an awaitable.

        For a publish, `a` is the event, `b` the message as it came; for a subscribe, `a` is the key that the client says to
        have (x-verify-key), `b` its timestamp. One that raises, or fails, lets nobody in; that is logged.
        """


class Verifying(Anyone):
    """Lets in whom the site's verifier lets in; everybody, while it has none."""

    log = Logger()

    def __init__(self, site: NodeSetSite) -> None:
        super().__init__(site.agent)
        self._site = site
        self._origins = Origins()

    def admit(self, request: BridgeRequest, route: Route) -> None:
        """See `Access`. No page of somebody else's may publish on behalf of its reader, by GET neither."""
        header = request.getHeader
        if route.changes and not self._origins.mayAct(header("origin"), header("sec-fetch-site"), header("host")):
            raise Problem(403, "a page of another site may not do this: only this site's own pages, or programs")

    async def identify(self, request: BridgeRequest, body: bytes) -> Agent:
        """See `Access`."""
        verifier = self._site.getVerifier()
        if verifier is not None:
            shown = Signature.read(request.args or {}, request.getHeader("x-verify-key"))
            if not await self._ask(verifier, *_words(request.path, shown)):
                raise Problem(403, "the signature is wrong: it must be made of what is sent, with the right key")
        return self._site.agent

    async def _ask(self, verifier: Verifier, a: str, b: str, c: str) -> bool:
        try:
            result = verifier.verify(a, b, c)
            deferred = deferredOf(result)
            return bool(result if deferred is None else await deferred)
        except CancelledError:
            raise  # it was we who gave up
        except Exception:
            self.log.failure("the verifier failed, so nobody is let in")
            return False


def _words(path: bytes, shown: Signature) -> tuple[str, str, str]:
    """What the verifier is asked. Raises `Problem` for who shows too little."""
    if path == b"/subscribe":
        needed = {"the header x-verify-key": shown.key, "a timestamp": shown.timestamp, "a signature": shown.signature}
        words = shown.key, shown.timestamp, shown.signature
    else:
        needed = {"a signature": shown.signature}
        words = shown.event, shown.message, shown.signature
    for what, value in needed.items():
        if not value:
            raise Problem(401, f"{what} is missing: this site lets in who signs its requests", headers=[_CHALLENGE])
    return words
