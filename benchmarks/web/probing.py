"""Questions to a web server or broker outside what is measured."""

from __future__ import annotations

import asyncio
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

import msgspec

__all__ = ["ask", "askRedis", "awaitReady", "countPublished", "listNodes"]

_PATIENCE: Final = 10.0


async def ask(port: int, path: str, token: str) -> tuple[int, bytes]:
    """The status and body of a GET; status 0 if nobody answers."""
    return await asyncio.to_thread(_ask, port, path, token)


def _ask(port: int, path: str, token: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


async def awaitReady(port: int, token: str, seconds: float) -> bool:
    """Whether the server says within so many seconds that it is ready."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        status, _body = await ask(port, "/v1/ready", token)
        if status == 200:
            return True
        await asyncio.sleep(0.05)
    return False


async def askRedis(port: int) -> int:
    """How many publishes Redis has counted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"INFO commandstats\r\n")
    size = int((await reader.readline())[1:])
    text = (await reader.readexactly(size)).decode()
    writer.close()
    for line in text.splitlines():
        name, _colon, rest = line.partition(":")
        if name == "cmdstat_publish":
            return int(rest.partition(",")[0].removeprefix("calls="))
    return 0


async def listNodes(port: int, token: str) -> list[dict[str, Any]] | None:
    """The nodes that the bridge sees at its dispatcher; None where there is no such question."""
    status, body = await ask(port, "/v1/nodes", token)
    return msgspec.json.decode(body)["nodes"] if status == 200 else None


async def countPublished(port: int, token: str) -> int | None:
    """How many events the dispatcher has counted of all nodes that are there."""
    nodes = await listNodes(port, token)
    return None if nodes is None else sum(node["published"] for node in nodes)
