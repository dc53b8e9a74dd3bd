"""Publishing by wrk: what it is told, what it tells."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from benchmarks.web.payload import EVENT, makeBatch, makeBody

__all__ = ["complain", "makeScript", "perSecond"]

_DONE: Final = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'done {"requests":%d,"microseconds":%d,"status":%d,"others":%d,"p50":%d,"p99":%d}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


def makeScript(token: str, batch: int, header: str = "") -> str:
    """The Lua that wrk runs. It holds the token, which has no place on a command line."""
    body, path = (makeBatch(0, batch), "/v1/events") if batch > 1 else (makeBody(0), f"/v1/events/{EVENT}")
    lines = [
        'wrk.method = "POST"',
        f"wrk.path = {_quote(path)}",
        f"wrk.body = {_quote(body.decode())}",
        'wrk.headers["Content-Type"] = "application/json"',
        f'wrk.headers["Authorization"] = {_quote("Bearer " + token)}',
    ]
    if header:
        name, _colon, value = header.partition(": ")
        lines.append(f"wrk.headers[{_quote(name)}] = {_quote(value)}")
    return "\n".join(lines) + "\n" + _DONE


def _quote(text: str) -> str:
    # What JSON escapes, Lua escapes alike, save \\u, which ASCII needs not.
    return msgspec.json.encode(text).decode()


def perSecond(found: dict[str, Any], batch: int) -> float:
    """Events a second."""
    return float(found["requests"] * batch / found["microseconds"] * 1e6)


def complain(found: dict[str, Any], batch: int, connections: int, counted: int | None) -> str:
    """What is wrong, empty if every request was answered well and the broker has counted as many events.

    :param counted: events that the broker has counted, None where it counts none. At the end each connection may have one
        request under way that wrk does not count.
    """
    wrong = []
    if found["status"]:
        wrong.append(f"{found['status']} of {found['requests']} answers were no success")
    if found["others"]:
        wrong.append(f"{found['others']} requests failed")
    events = found["requests"] * batch
    if counted is not None and not events <= counted <= events + connections * batch:
        wrong.append(f"{events} events were confirmed, the broker has counted {counted}")
    return "; ".join(wrong)
