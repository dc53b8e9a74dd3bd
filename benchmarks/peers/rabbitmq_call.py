"""Requests through RabbitMQ with its direct reply-to, by pika's blocking connection."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, load
from benchmarks.peers.rabbitmq import DEBIAN, PYTHON, TITLE, serveHere, server
from benchmarks.work import METHOD, Event
from nodeset.cli.bench.rounds import Rounds, answerTo

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

SETTINGS = "calls by direct reply-to"
PACE = {1: 2_200, 100: 8_500}

REPLIES = "amq.rabbitmq.reply-to"

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def _channel(place: Place) -> Any:
    pika = load("pika")
    channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", place.port)).channel()
    channel.queue_declare(METHOD)
    return channel


def publisher(desk: Desk, place: Place) -> None:
    """One connection."""
    channel, properties = _channel(place), load("pika").BasicProperties

    def ask(event: Event) -> None:
        channel.basic_publish("", METHOD, encode(event), properties(reply_to=REPLIES, correlation_id=str(event.number)))

    # Asking on top of an answer would never leave the loop of the connection.
    rounds = Rounds(desk.work, ask, channel.stop_consuming)

    def answered(_channel: Any, _method: Any, found: Any, body: bytes) -> None:
        answer = decode(body)
        if found.correlation_id != str(answer.number - 1):
            rounds.fail(f"an answer to {found.correlation_id}: {answer!r:.200}")
        rounds.take(answer)

    channel.basic_consume(REPLIES, answered, auto_ack=True)
    desk.ready()
    desk.wait()
    rounds.begin()
    channel.start_consuming()
    desk.answered(rounds)


def subscriber(desk: Desk, place: Place) -> None:
    """One connection."""
    channel, properties, take = _channel(place), load("pika").BasicProperties, desk.taker(0)

    def asked(_channel: Any, _method: Any, found: Any, body: bytes) -> None:
        request = decode(body)
        take(request)
        channel.basic_publish("", found.reply_to, encode(answerTo(request)), properties(correlation_id=found.correlation_id))

    channel.basic_consume(METHOD, asked, auto_ack=True)
    desk.ready()
    channel.start_consuming()
