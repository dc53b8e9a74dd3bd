"""ZeroMQ: a DEALER asks, a REP answers, a proxy of ROUTER and DEALER between them, by pyzmq."""

from __future__ import annotations

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load, pythonServer
from benchmarks.peers.zeromq import DEBIAN, PYTHON, TITLE
from benchmarks.work import Event
from nodeset.cli.bench.rounds import Rounds, answerTo

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

SETTINGS = "calls through a proxy of ROUTER and DEALER, answered by a REP"
PACE = {1: 5_000, 100: 90_000}

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def server(place: Place) -> Server:
    """The proxy of libzmq, run by Python."""
    return Server([pythonServer("zeromq", place, "call")])


def serveHere(place: Place) -> None:
    """Forward for ever."""
    zmq = load("zmq")
    context = zmq.Context.instance()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    back.bind(f"tcp://127.0.0.1:{place.other_port}")
    front.bind(f"tcp://127.0.0.1:{place.port}")
    zmq.proxy(front, back)


def publisher(desk: Desk, place: Place) -> None:
    """One socket: what a REQ sends, without its waiting for the answer before the next request."""
    zmq = load("zmq")
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(f"tcp://127.0.0.1:{place.port}")
    send, receive = socket.send_multipart, socket.recv_multipart
    rounds = Rounds(desk.work, lambda event: send([b"", encode(event)]))
    desk.ready()
    desk.wait()
    rounds.begin()
    while rounds.answered < desk.work.count and not rounds.wrong:
        rounds.take(decode(receive()[1]))
    desk.answered(rounds)


def subscriber(desk: Desk, place: Place) -> None:
    """One socket. The proxy keeps what comes before it is connected."""
    zmq = load("zmq")
    socket = zmq.Context.instance().socket(zmq.REP)
    socket.connect(f"tcp://127.0.0.1:{place.other_port}")
    take = desk.taker(0)
    desk.ready()
    while True:
        request = decode(socket.recv())
        take(request)
        socket.send(encode(answerTo(request)))
