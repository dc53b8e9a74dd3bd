"""Mosquitto by paho-mqtt, quality of service 0."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load
from benchmarks.work import EVENT, NOTE, TEXT, Event

TITLE = "paho-mqtt, Mosquitto"
SETTINGS = "QoS 0; the broker's max_queued_messages 0, since at the default of 1,000 it drops what is too fast"
PACE = 45_000
DEBIAN = ("mosquitto", "mosquitto")
PYTHON: tuple[str, ...] = ("paho-mqtt",)

TOPIC = EVENT.replace(".", "/")

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def server(place: Place) -> Server:
    """One mosquitto, open to all on loopback."""
    config = place.path / "mosquitto.conf"
    lines = [f"listener {place.port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "persistence false"]
    config.write_text("\n".join([*lines, "log_dest stderr", "log_type error", ""]))
    return Server([["mosquitto", "-c", str(config)]])


def serveHere(place: Place) -> None:
    """Not used: the broker is a program."""


def _client() -> Any:
    mqtt = load("paho.mqtt.client")
    return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)


def publisher(desk: Desk, place: Place) -> None:
    """One connection with paho's own network thread."""
    client, monotonic = _client(), time.monotonic
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", place.port)
    client.loop_start()
    connected.wait()
    desk.ready()
    desk.wait()
    sent: Any = None
    for number in range(desk.work.count):
        sent = client.publish(TOPIC, encode(Event(number, TEXT, monotonic(), 0, NOTE)))
    sent.wait_for_publish()
    desk.done(None)


def subscriber(desk: Desk, place: Place) -> None:
    """One connection."""
    client, take = _client(), desk.taker(0)
    client.on_connect = lambda *_: client.subscribe(TOPIC)
    client.on_subscribe = lambda *_: desk.ready()
    client.on_message = lambda _client, _data, message: take(decode(message.payload))
    client.connect("127.0.0.1", place.port)
    client.loop_forever()
