"""FastAPI with Redis doing what the bridge does: POST publishes to Redis, SSE follows what Redis delivers.

Written as one would who knows both well: one Redis subscription for each pattern, an event made into bytes once for
all clients, what waits for a client joined into one write, JSON checked by msgspec, tokens compared in constant time.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from benchmarks.desk import THRESHOLDS
from benchmarks.peers import load

__all__ = ["makeApp", "serve"]

#: Events that wait for a client at most; seconds between two signs of life; events of a batch at most.
WAITING: Final = 1_000
ALIVE: Final = 15.0
BATCH: Final = 100


class BatchItem(msgspec.Struct):
    """An event of a batch; its message is checked, not made into objects."""

    event: str
    message: msgspec.Raw


class Follower:
    """What waits for one client."""

    __slots__ = ("_waiter", "_waiting", "is_slow")

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.is_slow = False

    def put(self, text: bytes) -> None:
        """An event for it."""
        if len(self._waiting) >= WAITING:
            self.is_slow = True
        else:
            self._waiting.append(text)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> bytes:
        """All that waits, as soon as anything does."""
        if not self._waiting:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None
        text = self._waiting.popleft() if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting.clear()
        return text


class Hub:
    """Who follows which pattern; one subscription to Redis for each."""

    def __init__(self, redis: Any) -> None:
        self._pubsub = redis.pubsub(ignore_subscribe_messages=False)
        self._followers: dict[str, set[Follower]] = {}
        self._subscribed: dict[str, asyncio.Future[None]] = {}
        self._epoch, self._count = secrets.token_hex(4), 0

    async def join(self, pattern: str) -> Follower:
        """One more who follows; Redis has the subscription when this returns."""
        follower = Follower()
        found = self._followers.setdefault(pattern, set())
        found.add(follower)
        if len(found) == 1:
            self._subscribed[pattern] = asyncio.get_running_loop().create_future()
            await self._pubsub.psubscribe(pattern)
        await self._subscribed[pattern]
        return follower

    async def leave(self, pattern: str, follower: Follower) -> None:
        """One less."""
        found = self._followers[pattern]
        found.discard(follower)
        if not found:
            del self._followers[pattern]
            await self._pubsub.punsubscribe(pattern)

    async def run(self) -> None:
        """Hand out what Redis delivers."""
        await self._pubsub.psubscribe("nothing.at.all")  # a connection without any subscription is not read
        async for message in self._pubsub.listen():
            if message["type"] == "pmessage":
                self._deliver(message["pattern"].decode(), message["channel"], message["data"])
            elif message["type"] == "psubscribe":
                self._confirm(message["channel"].decode())

    def _confirm(self, pattern: str) -> None:
        told = self._subscribed.get(pattern)
        if told is not None and not told.done():
            told.set_result(None)

    def _deliver(self, pattern: str, event: bytes, data: bytes) -> None:
        self._count += 1
        number = f"{self._epoch}-{self._count}".encode()
        text = b'id: %b\ndata: {"id":"%b","event":"%b","at":%.3f,"message":%b}\n\n' % (
            number,
            number,
            event,
            time.time(),
            data,
        )
        for follower in self._followers.get(pattern, ()):
            follower.put(text)

    async def keepAlive(self) -> None:
        """Say to all at times that the connection stands."""
        while True:
            await asyncio.sleep(ALIVE)
            for followers in self._followers.values():
                for follower in followers:
                    follower.put(b": alive\n\n")


def makeApp(redis: Any, token: str) -> Any:
    """The application."""
    fastapi, responses = load("fastapi"), load("fastapi.responses")
    expected = hashlib.sha256(f"Bearer {token}".encode()).digest()
    hub = Hub(redis)
    decodeOne, decodeMany = msgspec.json.Decoder(msgspec.Raw).decode, msgspec.json.Decoder(list[BatchItem]).decode

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(hub.run()), asyncio.create_task(hub.keepAlive())]
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        yield
        for task in tasks:
            task.cancel()

    async def allow(request: Any) -> None:
        shown = request.headers.get("authorization", "")
        if not hmac.compare_digest(hashlib.sha256(shown.encode()).digest(), expected):
            raise fastapi.HTTPException(401, "no valid bearer token")

    # FastAPI finds out by the annotation that the request is wanted, for which the class must stand there itself.
    allow.__annotations__["request"] = fastapi.Request
    app = fastapi.FastAPI(lifespan=lifespan, dependencies=[fastapi.Depends(allow)], openapi_url=None)

    async def health() -> Any:
        await redis.ping()
        return responses.Response(b"{}", media_type="application/json")

    async def publish(request: Any) -> Any:
        body = await request.body()
        try:
            decodeOne(body)
        except msgspec.MsgspecError as error:
            raise fastapi.HTTPException(400, str(error)) from None
        matched = await redis.publish(request.path_params["event"], body)
        return responses.Response(b'{"matched":%d}' % matched, 202, media_type="application/json")

    async def publishMany(request: Any) -> Any:
        try:
            items = decodeMany(await request.body())
        except msgspec.MsgspecError as error:
            raise fastapi.HTTPException(400, str(error)) from None
        if len(items) > BATCH:
            raise fastapi.HTTPException(413, f"{len(items)} events: {BATCH} at most")
        pipeline = redis.pipeline(transaction=False)
        for item in items:
            pipeline.publish(item.event, bytes(item.message))
        matched = await pipeline.execute()
        return responses.Response(msgspec.json.encode({"matched": matched}), 202, media_type="application/json")

    async def follow(request: Any) -> Any:
        pattern = request.path_params["pattern"]
        follower = await hub.join(pattern)

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield b"retry: 2000\n\n"
                while not follower.is_slow:
                    yield await follower.get()
            finally:
                await hub.leave(pattern, follower)

        return responses.StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    for endpoint in (publish, publishMany, follow):
        endpoint.__annotations__["request"] = fastapi.Request
    app.get("/v1/ready")(health)
    app.post("/v1/events/{event}")(publish)
    app.post("/v1/events")(publishMany)
    app.get("/v1/events/{pattern}")(follow)
    return app


def serve(port: int, redis_port: int) -> None:
    """One process of uvicorn with uvloop, httptools."""
    redis = load("redis.asyncio").Redis(host="127.0.0.1", port=redis_port)
    app = makeApp(redis, os.environ["BENCH_TOKEN"])
    load("uvicorn").run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
