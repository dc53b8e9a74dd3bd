"""The systems that are compared, a module each, behind one contract."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from benchmarks.desk import Desk
from benchmarks.work import Work

__all__ = [
    "CROSSBAR",
    "KEPT",
    "PEERS",
    "ROOT",
    "Holder",
    "Peer",
    "Place",
    "Server",
    "describePlace",
    "findPace",
    "findPeer",
    "load",
    "pythonServer",
]

ROOT = Path(__file__).resolve().parent.parent.parent
#: Where what the benchmarks make is kept; .gitignore names it.
KEPT = ROOT / ".bench"
#: Crossbar asks for libraries of other versions than ours.
CROSSBAR = KEPT / "crossbar"
PEERS = (
    "nodeset",
    "nats",
    "nats_batched",
    "zeromq",
    "redis",
    "mosquitto",
    "rabbitmq",
    "crossbar",
    "foolscap",
    "tls",
)
#: Works that a system does in a module of their own, `NAME_KIND`.
_APART = {"call": ("nodeset", "nats", "zeromq", "rabbitmq", "crossbar", "foolscap"), "stream": ("nodeset",)}


class Place(msgspec.Struct, frozen=True):
    """Where a run takes place: a directory of its own, two free ports on loopback.

    :param python: the interpreter of the workers, where it is not ours.
    """

    directory: str
    port: int
    other_port: int
    python: str = sys.executable

    @property
    def path(self) -> Path:
        """The directory."""
        return Path(self.directory)


class Server(msgspec.Struct, frozen=True):
    """How to start the broker of a system: commands that keep running in the foreground, of which the last one is the broker;
    none where there is no broker.

    :param environ: what its environment has beside ours.
    :param patience: seconds until it must take connections.
    """

    commands: list[list[str]]
    environ: dict[str, str] = msgspec.field(default_factory=dict)
    patience: float = 15.0


class Peer(Protocol):
    """What a module here offers. `publisher` returns when all is sent; `subscriber` runs until its process is ended."""

    #: How the report calls it; what of it is not its default; events/s (calls/s, chunks/s) that it is known to reach about,
    #: of calls a dict: by how many are under way.
    TITLE: str
    SETTINGS: str
    PACE: int | dict[int, int]
    #: Debian's package of the broker with its program, the distributions of the client; empty where it needs none.
    DEBIAN: tuple[str, str]
    PYTHON: tuple[str, ...]

    def server(self, place: Place) -> Server:
        """Write what configuration it needs into the place; say how to start it."""

    def publisher(self, desk: Desk, place: Place) -> None:
        """Connect, say ready, wait for go, publish everything, say done."""

    def subscriber(self, desk: Desk, place: Place) -> None:
        """Subscribe, say ready, hand each event to the desk's takers."""

    def serveHere(self, place: Place) -> None:
        """Be the broker, for systems whose broker is written in Python."""


class Holder(Protocol):
    """A peer whose idle nodes are weighed."""

    def holder(self, desk: Desk, place: Place) -> None:
        """Connect as many nodes as the work has publishers, say ready, wait for go, connect `count` more, say done."""


def findPeer(name: str, kind: str = "") -> Peer:
    """The module of this name for works of this kind. Raises `ValueError` for none."""
    if name not in PEERS:
        raise ValueError(f"there is no peer {name!r}: the peers are {', '.join(PEERS)}")
    module = f"{name}_{kind}" if name in _APART.get(kind, ()) else name
    return cast(Peer, import_module(f"benchmarks.peers.{module}"))


def findPace(name: str, work: Work) -> int:
    """Events (or calls, or chunks) a second that a system is known to reach about."""
    pace = findPeer(name, work.kind).PACE
    return pace[work.window] if isinstance(pace, dict) else pace


def load(name: str) -> Any:
    """Import a library of a peer, which need not be installed where the types are checked."""
    return import_module(name)


def pythonServer(name: str, place: Place, kind: str = "") -> list[str]:
    """The command that runs `serveHere` of a peer for works of this kind."""
    return [place.python, "-m", "benchmarks.worker", "server", name, describePlace(place), kind]


def describePlace(place: Place) -> str:
    """The place in words that a worker reads."""
    return msgspec.json.encode(place).decode()
