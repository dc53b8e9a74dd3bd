"""The web servers that are compared: how each is started, what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Final, Protocol

import attrs

from benchmarks.children import RunFailed
from benchmarks.peers import Place
from benchmarks.web.payload import EVENT

__all__ = ["RAISED", "SYSTEMS", "Start", "System", "isMissing"]


@attrs.frozen
class Start:
    """How to start one system: the broker's command, if it has one of its own, then the web server's."""

    broker: list[str]
    web: list[str]
    environ: dict[str, str] = attrs.field(factory=dict)


_NODESET: Final = [sys.executable, "-m", "nodeset"]
#: What one address may do, raised: all clients of a run have the same.
RAISED: Final = ("--stream-rate", "100000", "--max-streams", "10000")


class System(Protocol):
    """What a system here offers."""

    #: How the report calls it; how it is set; whether it takes many events in one body.
    TITLE: ClassVar[str]
    SETTINGS: ClassVar[str]
    BATCHES: ClassVar[bool]
    #: A header of what is published, empty for none.
    HEADER: ClassVar[str]
    #: Debian's packages with the program of each; modules of the extra `bench`.
    DEBIAN: ClassVar[tuple[tuple[str, str], ...]]
    PYTHON: ClassVar[tuple[str, ...]]

    def start(self, place: Place, token: str) -> Start:
        """Write what configuration it needs into the place, say how to start it; `token` is a new random one."""

    def readToken(self, start: Start, token: str) -> str:
        """What a client shows, where it is not `token`; the broker runs."""


class NodeSet:
    """Ours: a dispatcher with `nodeset-web` beside it, as their commands start them."""

    TITLE: ClassVar[str] = "NodeSet"
    SETTINGS: ClassVar[str] = (
        "dispatcher and nodeset-web with TLS between them, a bearer grant; a publish is answered when the dispatcher has it, "
        f"as by Redis; limits of one address raised: {' '.join(RAISED)}"
    )
    BATCHES: ClassVar[bool] = True
    HEADER: ClassVar[str] = "NodeSet-Confirm: accepted"
    DEBIAN: ClassVar[tuple[tuple[str, str], ...]] = ()
    PYTHON: ClassVar[tuple[str, ...]] = ()

    def start(self, place: Place, token: str) -> Start:
        """Both find each other by the state directory of the run."""
        environ = {
            "NODESET_HOME": str(place.path / "state"),
            "NODESET_DISPATCHER": f"pbu://localhost:{place.other_port}/dispatcher",
        }
        return Start(
            [*_NODESET, "dispatcher", "-n", "--listen", f"localhost:{place.other_port}", "--loglevel", "warn"],
            [*_NODESET, "web", "-n", "--port", str(place.port), "--loglevel", "warn", *RAISED],
            environ,
        )

    def readToken(self, start: Start, token: str) -> str:
        """A grant for the one event, and for the list of nodes, as a user makes it; its FURL is no argument of anything."""
        command = [*_NODESET, "grant", "--publish", EVENT, "--subscribe", EVENT, "--call", "nodeset/nodes"]
        environ = {**os.environ, **start.environ}
        made = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
        if made.returncode:
            raise RunFailed(f"no grant: {made.stderr.strip()[:200]}")
        return made.stdout.strip().rpartition("/")[2]


class FastApi:
    """FastAPI with Redis: `benchmarks/web/fastapi_app.py`."""

    TITLE: ClassVar[str] = "FastAPI, Redis"
    SETTINGS: ClassVar[str] = (
        "uvicorn with uvloop and httptools, one process; StreamingResponse; redis-py's asyncio with hiredis, one subscription "
        "for a pattern; a batch is one pipeline; our settings of the garbage collector; Redis saves nothing"
    )
    BATCHES: ClassVar[bool] = True
    HEADER: ClassVar[str] = ""
    DEBIAN: ClassVar[tuple[tuple[str, str], ...]] = (("redis-server", "redis-server"),)
    PYTHON: ClassVar[tuple[str, ...]] = ("fastapi", "hiredis", "httptools", "redis", "uvicorn", "uvloop")

    def start(self, place: Place, token: str) -> Start:
        """One redis-server that saves nothing, one uvicorn."""
        quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(place.path)]
        return Start(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(place.other_port), *quiet],
            [sys.executable, "-m", "benchmarks.web.fastapi_app", str(place.port), str(place.other_port)],
            {"BENCH_TOKEN": token},
        )

    def readToken(self, start: Start, token: str) -> str:
        """The one it was started with."""
        return token


_NGINX: Final = """
load_module modules/ngx_nchan_module.so;
daemon off; worker_processes 1; error_log stderr error; pid {directory}/nginx.pid; {user}
worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  nchan_max_reserved_memory 256M;
  server {{
    listen 127.0.0.1:{port};
    location = /v1/ready {{ return 200; }}
    location ~ ^/v1/events/([^/]+)$ {{
      if ($http_authorization != "Bearer {token}") {{ return 401; }}
      nchan_publisher http; nchan_subscriber eventsource; nchan_channel_id $1; nchan_message_buffer_length 2000;
      nchan_message_timeout 60s; nchan_subscriber_first_message newest; nchan_eventsource_ping_interval 15;
    }}
  }}
}}
"""


class Nchan:
    """nginx with nchan, written in C: no broker beside it, no bar."""

    TITLE: ClassVar[str] = "nginx, nchan"
    SETTINGS: ClassVar[str] = (
        "one worker, 2,000 messages of a channel kept in memory; no broker, no batches: their events follow each other"
    )
    BATCHES: ClassVar[bool] = False
    HEADER: ClassVar[str] = ""
    DEBIAN: ClassVar[tuple[tuple[str, str], ...]] = (("nginx-light", "nginx"), ("libnginx-mod-nchan", ""))
    PYTHON: ClassVar[tuple[str, ...]] = ()

    def start(self, place: Place, token: str) -> Start:
        """One nginx in the directory of the run."""
        config = place.path / "nginx.conf"
        config.touch(0o600)
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(_NGINX.format(directory=place.directory, port=place.port, token=token, user=user))
        return Start([], ["nginx", "-p", "/usr/share/nginx", "-c", str(config), "-e", "stderr"])

    def readToken(self, start: Start, token: str) -> str:
        """The one it was started with."""
        return token


SYSTEMS: Final[dict[str, System]] = {"nodeset": NodeSet(), "fastapi": FastApi(), "nchan": Nchan()}
_NCHAN: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


def isMissing(package: str, program: str, found: str | None) -> bool:
    """Whether a package of Debian is not there; one without a program is known by its module."""
    return found is None if program else package.endswith("nchan") and not _NCHAN.exists()
