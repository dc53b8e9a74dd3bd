"""ZeroMQ: publishers and subscribers on an XSUB/XPUB proxy, by pyzmq."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load, pythonServer
from benchmarks.work import EVENT, NOTE, TEXT, Event

TITLE = "pyzmq proxy"
SETTINGS = "high-water marks 0, since at the default of 1,000 it drops what is too fast"
PACE = 150_000
DEBIAN = ("", "")
PYTHON: tuple[str, ...] = ("pyzmq",)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
TOPIC = EVENT.encode()


def server(place: Place) -> Server:
    """The proxy of libzmq, run by Python."""
    return Server([pythonServer("zeromq", place)])


def _socket(kind: str) -> Any:
    zmq = load("zmq")
    socket = zmq.Context.instance().socket(getattr(zmq, kind))
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    return socket


def serveHere(place: Place) -> None:
    """Forward for ever."""
    zmq = load("zmq")
    inside, outside = _socket("XSUB"), _socket("XPUB")
    inside.bind(f"tcp://127.0.0.1:{place.other_port}")
    outside.bind(f"tcp://127.0.0.1:{place.port}")
    zmq.proxy(inside, outside)


def publisher(desk: Desk, place: Place) -> None:
    """An XPUB socket, which is a PUB that hears of the subscription: what it sends before is sent to nobody."""
    socket = _socket("XPUB")
    socket.connect(f"tcp://127.0.0.1:{place.other_port}")
    socket.recv()
    desk.ready()
    desk.wait()
    send, monotonic = socket.send_multipart, time.monotonic
    for number in range(desk.work.count):
        send([TOPIC, encode(Event(number, TEXT, monotonic(), 0, NOTE))])
    desk.done(None)


def subscriber(desk: Desk, place: Place) -> None:
    """One socket for each subscriber, all in this process."""
    takers = [(_subscribed(place), desk.taker(index)) for index in range(desk.work.subscribers)]
    _probe(place, [socket for socket, _ in takers])
    desk.ready()
    if len(takers) == 1:
        socket, take = takers[0]
        while True:
            take(decode(socket.recv_multipart()[1]))
    _takeTurns(takers)


def _subscribed(place: Place) -> Any:
    socket = _socket("SUB")
    socket.connect(f"tcp://127.0.0.1:{place.port}")
    socket.setsockopt(load("zmq").SUBSCRIBE, TOPIC)
    return socket


def _probe(place: Place, sockets: list[Any]) -> None:
    """Return when every socket gets what is published; nothing else says when a subscription has come through."""
    publisher = _socket("PUB")
    publisher.connect(f"tcp://127.0.0.1:{place.other_port}")
    for socket in sockets:
        while not socket.poll(10):
            publisher.send_multipart([TOPIC, b"probe"])
    publisher.send_multipart([TOPIC, b"over"])
    for socket in sockets:
        while socket.recv_multipart()[1] != b"over":
            pass
    publisher.close()


def _takeTurns(takers: list[tuple[Any, Callable[[Event], None]]]) -> None:
    zmq = load("zmq")
    poller, by_socket = zmq.Poller(), dict(takers)
    for socket in by_socket:
        poller.register(socket, zmq.POLLIN)
    while True:
        for socket, _ready in poller.poll():
            take = by_socket[socket]
            try:
                for _ in range(100):
                    take(decode(socket.recv_multipart(zmq.NOBLOCK)[1]))
            except zmq.Again:
                pass
