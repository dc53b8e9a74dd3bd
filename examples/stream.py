"""A file that goes from node to node, past the dispatcher: python examples/stream.py FILE, beside nodeset-dispatcher -n.

`sender` pushes the file in chunks, at the pace of whoever takes them; `archive` answers the last one with a checksum.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from nodeset.core.stream import StreamNode, StreamSource
from nodeset.errors import NodeSetError

CHUNK = 256 * 1024


class Archive(StreamNode):
    """Takes files."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.digest = hashlib.sha256()

    def onStream(self, name: str, data: bytes, source: StreamSource | None = None) -> str | None:
        """Take a chunk; an empty one asks for the checksum."""
        if not data:
            return self.digest.hexdigest()
        self.digest.update(data)
        return None

    def onStreamEnd(self, name: str, source: StreamSource, error: NodeSetError | None) -> None:
        """Say how it ended."""
        print(f"{self.name}: the stream of {source} {'is complete' if error is None else f'broke off: {error}'}")


async def send(sender: StreamNode, path: Path) -> None:
    """Push the file to all that subscribe."""
    async with await sender.stream("files") as stream:
        for peer in stream.peers:
            print(f"to {peer}, {'directly' if peer.direct else 'relayed by the dispatcher'}")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                await stream.write(chunk)  # waits for room
        found = await stream.push(b"")
        print("the checksum is", "right" if found == hashlib.sha256(path.read_bytes()).hexdigest() else f"wrong: {found}")


async def main(reactor: Any, path: Path) -> None:
    """Start both, send, stop."""
    archive, sender = Archive(0, name="archive"), StreamNode(name="sender")
    for node in (archive, sender):
        node.startService()
        await node.start()
    await archive.subscribe("files")
    await send(sender, path)
    for node in (sender, archive):
        await node.stopService()


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("say: stream.py FILE")
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, Path(sys.argv[1]))))
