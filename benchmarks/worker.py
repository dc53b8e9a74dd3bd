"""What the processes of a run execute.

python -m benchmarks.worker server PEER PLACE KIND
python -m benchmarks.worker publisher|subscriber|holder PEER PLACE WORK tuned|plain
"""

from __future__ import annotations

import sys
from typing import cast

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Holder, Place, findPeer
from benchmarks.work import Work

__all__ = ["main"]


def main() -> None:
    """Do as sys.argv says; whoever started a publisher or subscriber ends it through its stdin."""
    role, name, place_text, *rest = sys.argv[1:]
    place = msgspec.json.decode(place_text, type=Place)
    if role == "server":
        findPeer(name, rest[0]).serveHere(place)
        return
    work = msgspec.json.decode(rest[0], type=Work)
    desk, peer = Desk(work, rest[1] == "tuned"), findPeer(name, work.kind)
    if role == "publisher":
        peer.publisher(desk, place)
    elif role == "subscriber":
        peer.subscriber(desk, place)
    else:
        cast(Holder, peer).holder(desk, place)
    desk.stay()


if __name__ == "__main__":
    main()
