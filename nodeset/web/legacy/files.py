"""A directory on the web: its files, its .rpy scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from twisted.python.filepath import FilePath, InsecurePath
from twisted.web.pages import notFound
from twisted.web.resource import IResource
from twisted.web.script import ResourceScript
from twisted.web.server import Request
from twisted.web.static import File

from nodeset.web.bridge import Bridge
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.door import Door
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.routes import Route
from nodeset.web.site import BridgeRequest, BridgeSite

__all__ = ["Files"]

#: What runs instead of being sent.
_SCRIPT: Final = ".rpy"
#: Where the dashboard is when its place is taken.
_DASHBOARD: Final = "/dashboard"
#: Parts of a file that one request may ask for; who asks for more gets all of it, once.
_RANGES: Final = 8


class Files:
    """The files of a directory, for GET; a script answers what it likes.

    What begins with a dot is not there, nor what an editor leaves of a script, a directory without an index neither, nor what a
    link leads out to.
    """

    def __init__(self, directory: Path) -> None:
        self._root = _Directory(str(directory.resolve()))

    @property
    def has_index(self) -> bool:
        """Whether there is anything at `/`."""
        return any(self._root.child(name).isfile() for name in self._root.indexNames)

    def openSite(self, door: Door, bridge: Bridge) -> BridgeSite:
        """The site of a bridge with these files where `door` has no route; at `/` too, if there is an index."""
        site = _ScriptSite(door, bridge)
        root: IResource = self._root
        site.resource = root

        def serve(request: BridgeRequest) -> bool:
            # The names that the bridge may be called by, the pages that may have an effect, are the same here.
            changes = request.method not in (b"GET", b"HEAD")
            bridge.access.admit(request, Route("GET", "/{path}", _never, "files", "open", changes))
            request.responseHeaders.setRawHeaders(b"X-Content-Type-Options", [b"nosniff"])
            if (request.getHeader("range") or "").count(",") >= _RANGES:
                request.requestHeaders.removeHeader(b"range")
            Request.process(request)
            return True

        door.elsewhere = serve
        if self.has_index:
            for route in door.routes.leave("/"):
                # The page names its files from there as it does from the root.
                door.routes.add(route.method, _DASHBOARD, route.endpoint, route.name, route.access, route.changes)
                door.routes.add(route.method, f"{_DASHBOARD}/", _toDashboard, route.name, route.access, route.changes)
        return site


async def _toDashboard(inquiry: Inquiry) -> Reply:
    return Reply(308, headers=((b"Location", b"../dashboard"),))


async def _never(inquiry: Inquiry) -> Reply | None:
    raise AssertionError("files have no endpoint")


class _ScriptSite(BridgeSite):
    """A site that scripts can ask for its node, as the original's."""

    def __init__(self, door: Door, bridge: Bridge) -> None:
        super().__init__(door, lambda: bridge.limits, bridge.clock, bridge.counters)
        self._node = bridge.node

    def getNode(self) -> BridgeNode:
        """The bridge's own node."""
        return self._node

    def getVerifier(self) -> None:
        """None: who is let in, the bridge itself says."""


def _isDraft(path: bytes) -> bool:
    """Whether this is the text of a script under another name, as editors keep it, or for a disk that knows no case."""
    name, script = path.lower(), _SCRIPT.encode()
    return script in name and not path.endswith(script)


class _Directory(File):
    """A directory, or a file in it.

    :ivar root: the directory that nothing leads out of.
    """

    def __init__(self, path: str, *args: Any, **options: Any) -> None:
        super().__init__(path, *args, **options)
        self.indexNames = ["index.rpy", "index.html", "index.htm"]
        self.processors = {_SCRIPT: ResourceScript}
        self.root: FilePath[str] = FilePath(path)
        self.ignoreExt(_SCRIPT)

    def createSimilarFile(self, path: str) -> _Directory:
        """See `File`."""
        base: Any = super()
        similar: _Directory = base.createSimilarFile(path)
        similar.root = self.root
        return similar

    def directoryListing(self) -> IResource:
        """Nobody is told what else there is."""
        return notFound()

    def getChild(self, path: bytes, request: Any) -> IResource:
        """See `File`."""
        if path.startswith(b".") or b"\0" in path or _isDraft(path) or not self._isInside(path):
            return notFound()
        base: Any = super()
        found: IResource = base.getChild(path, request)
        return found

    def _isInside(self, path: bytes) -> bool:
        try:
            real = self.child(path.decode()).realpath()
        except (InsecurePath, UnicodeDecodeError, OSError, ValueError):
            return False
        return real == self.root or self.root in real.parents()
