"""The checks that need the network."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from nodeset.cli.doctor.findings import Finding, Verdict
from nodeset.cli.options import oneLine
from nodeset.cli.shown import printable
from nodeset.errors import GrantRefused, NodeSetError, Refused, RemoteError, WrongIdentity
from nodeset.transport.endpoint import pathOf
from nodeset.transport.unixsocket import SocketClient

__all__ = ["Answers", "Network", "ask", "linkOf", "networkOf", "tryHint", "tryHints"]

#: Calls that are timed.
_CALLS: Final = 5


@attrs.frozen
class Network:
    """What the checks reach out with.

    :ivar resolve: fires with the addresses of a host, fails with OSError.
    :ivar connect: fires when a connection to this host and port was open, fails with OSError or a `ConnectError`.
    :ivar connectSocket: the same for the socket at a path.
    """

    clock: IReactorTime
    resolve: Callable[[str], Deferred[list[str]]]
    connect: Callable[[str, int], Deferred[None]]
    connectSocket: Callable[[str], Deferred[None]]


def networkOf(reactor: Any) -> Network:
    """The real one."""

    def addresses(host: str) -> list[str]:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    def knock(endpoint: IStreamClientEndpoint) -> Deferred[None]:
        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Protocol))
        return connecting.addCallback(lambda protocol: protocol.transport.abortConnection())

    return Network(
        reactor,
        lambda host: deferToThread(addresses, host),
        lambda host, port: knock(HostnameEndpoint(reactor, host, port, timeout=60)),
        lambda path: knock(SocketClient(reactor, path)),
    )


def _words(error: BaseException) -> str:
    number = getattr(error, "osError", None)
    reason = os.strerror(number) if isinstance(number, int) else getattr(error, "strerror", None)
    return printable(oneLine(reason or error)) or type(error).__name__


async def tryHint(hint: str, network: Network, patience: float) -> Finding:
    """Whether the name of this place can be resolved, whether somebody accepts connections there, within `patience` seconds."""
    if hint.startswith("unix:"):
        return await _trySocket(hint, network, patience)
    host, _colon, port = hint.removeprefix("tcp:").rpartition(":")
    host = host.strip("[]")
    begin = network.clock.seconds()
    try:
        found = await network.resolve(host).addTimeout(patience, network.clock)
    except (DeferredTimeout, CancelledError):
        return Finding("reach", Verdict.FAILED, f"{hint}: no answer for the name {host} in {patience:g} s", "check the DNS")
    except (OSError, UnicodeError) as error:
        told = f"{hint}: the name {host} is not known ({_words(error)})"
        return Finding("reach", Verdict.FAILED, told, "check the DNS, or let the dispatcher --advertise an address")
    leads = "" if found == [host] else f" is {printable(' '.join(found[:4]))},"
    begun = network.clock.seconds()
    try:
        await network.connect(host, int(port)).addTimeout(max(patience - (begun - begin), 0.0), network.clock)
    except (DeferredTimeout, CancelledError, ConnectingCancelledError):  # the last by endpoints that are cancelled
        told = f"{hint}:{leads} does not answer in {patience:g} s"
        return Finding("reach", Verdict.FAILED, told, "see whether the machine is up, and whether a firewall drops this port")
    except (OSError, ConnectError) as error:
        told = f"{hint}:{leads} does not accept connections ({_words(error)})"
        return Finding("reach", Verdict.FAILED, told, "start the dispatcher there: nodeset dispatcher")
    return Finding("reach", Verdict.FINE, f"{hint}:{leads} accepts in {(network.clock.seconds() - begun) * 1000:.1f} ms")


async def _trySocket(hint: str, network: Network, patience: float) -> Finding:
    begun, path = network.clock.seconds(), pathOf(hint)
    shown = printable(path)
    try:
        await network.connectSocket(path).addTimeout(patience, network.clock)
    except (DeferredTimeout, CancelledError, ConnectingCancelledError):
        return Finding("reach", Verdict.FAILED, f"{shown} does not answer in {patience:g} s", "see whether its listener hangs")
    except (OSError, ConnectError) as error:
        told = f"{shown} does not accept connections ({_words(error)})"
        return Finding("reach", Verdict.FAILED, told, "start the center or dispatcher there, on this machine, as this user")
    return Finding("reach", Verdict.FINE, f"{shown} accepts in {(network.clock.seconds() - begun) * 1000:.1f} ms")


async def tryHints(hints: tuple[str, ...], network: Network, patience: float) -> list[Finding]:
    """All at a time. As long as one is reached, others that are not are only worth a warning."""
    trials = [Deferred.fromCoroutine(tryHint(hint, network, patience)) for hint in hints]
    found: list[Finding] = await gatherResults(trials, consumeErrors=True)
    if any(each.verdict is Verdict.FINE for each in found):
        return [attrs.evolve(each, verdict=Verdict.WARNING) if each.verdict is Verdict.FAILED else each for each in found]
    return found


def linkOf(error: BaseException | None, seconds: float) -> Finding:
    """How the attempt went to link as a node does, in so many seconds."""
    if error is None:
        told = f"TLS by the key that the FURL names, the grant is accepted, in {seconds * 1000:.0f} ms"
        return Finding("link", Verdict.FINE, told)
    told = printable(oneLine(error))
    if isinstance(error, WrongIdentity):
        todo = "another dispatcher listens there, or this one lost its key: take the FURL that it wrote last"
    elif isinstance(error, GrantRefused):
        todo = "ask the dispatcher's owner for another grant (nodeset grant)"
    elif isinstance(error, Refused):
        todo = "take the FURL that the dispatcher wrote last"
    else:
        todo = "look into the dispatcher's log; what listens there may be no dispatcher"
    return Finding("link", Verdict.FAILED, told, todo)


@attrs.define
class Answers:
    """What calls of the dispatcher brought.

    :ivar seconds: how long each took.
    :ivar figures: what the dispatcher says of itself, empty if it does not.
    :ivar why: why it does not.
    :ivar middle: Unix time here in the middle of the call that brought them, which is the quickest.
    """

    seconds: list[float] = attrs.field(factory=list)
    figures: Mapping[str, Any] = attrs.field(factory=dict)
    why: str = ""
    middle: float = 0.0


async def ask(
    call: Callable[[float], Deferred[Any]], clock: IReactorTime, wall: Callable[[], float], patience: float
) -> Answers:
    """Call for the dispatcher's figures a few times, within `patience` seconds.

    :param call: `call(timeout)` makes one call; a refusal is an answer as well.
    """
    answers = Answers()
    end = clock.seconds() + patience
    for _ in range(_CALLS):
        begin, now = clock.seconds(), wall()
        if begin >= end:
            break
        try:
            figures = await call(end - begin)
        except RemoteError as error:
            answers.why = printable(oneLine(error))
        except (NodeSetError, CancelledError):
            break
        else:
            if isinstance(figures, Mapping) and clock.seconds() - begin < min(answers.seconds, default=math.inf):
                # The quickest call tells the time best.
                answers.figures, answers.middle = figures, (now + wall()) / 2
        answers.seconds.append(clock.seconds() - begin)
    return answers
