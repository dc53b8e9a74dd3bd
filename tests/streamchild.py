"""A taker of streams in a process of its own, for tests that kill it.

python -m tests.streamchild FURLFILE HOME      prints "subscribed" when it takes `video`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from nodeset.transport.rendezvous import find
from nodeset.transport.tub import TubTransport
from tests.test_streamnode import Recorder

reactor: Any = _reactor


async def take(file: str, home: str) -> None:
    """Take streams until killed."""
    source = find(file, environ={}, state_directory=Path(home))
    node = Recorder(name="child", transport=TubTransport(source, reactor, ("tcp:0:interface=127.0.0.1",), None, "localhost"))
    node.startService()
    await node.start()
    await node.subscribe("video")
    print("subscribed", flush=True)


if __name__ == "__main__":
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(take(*sys.argv[1:])).addErrback(lambda failure: print(failure)))
    reactor.run()
