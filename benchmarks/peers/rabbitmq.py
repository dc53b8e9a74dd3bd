"""RabbitMQ by pika's blocking connection."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load
from benchmarks.work import EVENT, NOTE, TEXT, Event

TITLE = "pika, RabbitMQ"
SETTINGS = "acknowledged by itself, nothing durable"
PACE = 22_000
DEBIAN = ("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server")
PYTHON: tuple[str, ...] = ("pika",)

EXCHANGE = "bench"

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def server(place: Place) -> Server:
    """A node of its own beside a port mapper of its own: what RabbitMQ would start by itself outlives it."""
    config, home = place.path / "rabbitmq.conf", place.path / "rabbitmq"
    home.mkdir()
    # Only what is on this machine: other listeners would want their ports.
    config.write_text(f"listeners.tcp.1 = 127.0.0.1:{place.port}\nlog.console = false\nlog.file = false\n")
    (place.path / "enabled_plugins").write_text("[].\n")
    environ = {
        "ERL_EPMD_PORT": str(place.other_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "HOME": str(home),
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place.path / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home),
        # Without it the distribution listens on a fixed port.
        "RABBITMQ_DIST_PORT": str(_freePort()),
    }
    mapper = ["epmd", "-address", "127.0.0.1", "-port", str(place.other_port)]
    return Server([mapper, [DEBIAN[1]]], environ, patience=60.0)


def _freePort() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def serveHere(place: Place) -> None:
    """Not used: the broker is a program."""


def _channel(place: Place) -> Any:
    pika = load("pika")
    channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", place.port)).channel()
    channel.exchange_declare(EXCHANGE, exchange_type="topic")
    return channel


def publisher(desk: Desk, place: Place) -> None:
    """One connection."""
    channel, monotonic = _channel(place), time.monotonic
    desk.ready()
    desk.wait()
    for number in range(desk.work.count):
        channel.basic_publish(EXCHANGE, EVENT, encode(Event(number, TEXT, monotonic(), 0, NOTE)))
    channel.connection.close()
    desk.done(None)


def subscriber(desk: Desk, place: Place) -> None:
    """One connection with a queue of its own."""
    channel, take = _channel(place), desk.taker(0)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, EXCHANGE, EVENT)
    channel.basic_consume(queue, lambda _channel, _method, _properties, body: take(decode(body)), auto_ack=True)
    desk.ready()
    channel.start_consuming()
