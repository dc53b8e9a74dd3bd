"""One attempt at finding out how a program does: a connection, a request, a command."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from nodeset.errors import LocalError
from nodeset.processes.program import Probe, Program
from nodeset.processes.starting.launch import orderOf

if TYPE_CHECKING:
    from nodeset.processes.starting.child import Child
    from nodeset.processes.starting.warden import Warden

__all__ = ["Attempts"]


class _NotWell(LocalError):
    """A program answered that it is not well."""


class _Leaving(Protocol):
    """Wants nothing of what comes."""

    def connectionMade(self) -> None:
        """Leave."""
        transport: Any = self.transport
        transport.loseConnection()


class _Callers(Factory):
    noisy = False
    protocol = _Leaving


class Attempts:
    """Makes attempts; each is a call that returns a Deferred, which may be cancelled.

    :param warden: runs the probes that are commands.
    """

    def __init__(self, reactor: Any, warden: Warden) -> None:
        self._reactor, self._warden = reactor, warden

    def of(self, program: Program, probe: Probe) -> Callable[[], Deferred[Any]]:
        """What makes one attempt of this probe. ValueError for a `log` probe, which attempts nothing."""
        if probe.kind == "tcp":
            return lambda: self._connect(str(probe.value), probe.timeout)
        if probe.kind == "http":
            return lambda: self._request(str(probe.value), probe.timeout)
        if probe.kind == "command":
            return _Command(program, probe, self._warden)
        raise ValueError(f"a probe of the kind {probe.kind} makes no attempts")

    def _connect(self, place: str, patience: float) -> Deferred[Any]:
        host, _, port = place.rpartition(":")
        endpoint = HostnameEndpoint(self._reactor, host.strip("[]") or "localhost", int(port), patience)
        return endpoint.connect(_Callers())

    def _request(self, url: str, patience: float) -> Deferred[Any]:
        # Only who has such a probe pays for the web's modules.
        from twisted.web.client import Agent, HTTPConnectionPool
        from twisted.web.http_headers import Headers

        # A connection of its own for each: what is asked is whether it takes one.
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        agent = Agent(self._reactor, connectTimeout=patience, pool=pool)
        asked: Deferred[Any] = agent.request(b"GET", url.encode(), Headers({"User-Agent": ["nodeset-probe"]}))
        return asked.addCallback(_readResponse, url)


def _readResponse(response: Any, url: str) -> None:
    response.deliverBody(_Leaving())
    if not 200 <= response.code < 300:
        # Behind the question mark may stand what is nobody's business.
        raise _NotWell(f"{url.partition('?')[0]:.80} answers {response.code}")


class _Command:
    """A command that must end with 0, with which all that it started ends."""

    def __init__(self, program: Program, probe: Probe, warden: Warden) -> None:
        self._program, self._warden = program, warden
        self._argv = (probe.value,) if isinstance(probe.value, str) else probe.value
        self._under_way = False
        self._child: Child | None = None

    def __call__(self) -> Deferred[Any]:
        """Run it. Cancelled, it is killed with its tree."""
        if self._under_way:
            # Not even KILL ended it: another one beside it would not fare better.
            raise _NotWell("the probe's last command has not ended yet")
        order = orderOf(self._program, self._argv)
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._under_way = True
        answer: Deferred[Any] = Deferred(lambda answer: self._kill())
        # Not cancelled with the answer: what is started must be known, to be ended.
        spawning = self._warden.spawn(order, (nowhere, nowhere, nowhere))
        spawning.addBoth(_closing, nowhere)
        spawning.addCallbacks(self._spawned, self._notSpawned, callbackArgs=(answer,), errbackArgs=(answer,))
        return answer

    def _spawned(self, child: Child, answer: Deferred[Any]) -> None:
        self._child = child
        child.onEnded(lambda code: self._ended(code, answer))
        child.onEmptied(self._emptied)
        if answer.called:
            self._kill()

    def _notSpawned(self, failure: Failure, answer: Deferred[Any]) -> None:
        self._under_way = False
        if not answer.called:
            answer.errback(_NotWell(f"the probe's command cannot be run: {failure.getErrorMessage()}"))

    def _ended(self, code: int, answer: Deferred[Any]) -> None:
        self._kill()
        if answer.called:
            return
        if code:
            how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
            answer.errback(_NotWell(f"the probe's command {self._argv[0]!r:.80} {how}"))
        else:
            answer.callback(None)

    def _emptied(self, *anything: object) -> None:
        self._under_way, self._child = False, None

    def _kill(self) -> None:
        if self._child is not None:
            self._child.signalTree(signal.SIGKILL)


def _closing(result: Any, file: int) -> Any:
    os.close(file)
    return result
