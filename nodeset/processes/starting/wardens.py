"""The Warden of a reactor, for programs that have made none."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred, succeed
from twisted.python import threadable

from nodeset.processes.starting.warden import Warden

__all__ = ["stopWarden", "wardenOf"]

#: Seconds that the end of all children may take when the reactor stops.
_FAREWELL: Final = 5.0

#: With the trigger that stops each.
_wardens: WeakKeyDictionary[Any, tuple[Warden, Any]] = WeakKeyDictionary()
# A fork of this process is none that the guardian works for.
os.register_at_fork(after_in_child=_wardens.clear)


def wardenOf(reactor: Any = None) -> tuple[Any, Warden]:
    """This reactor, or the global one, with its Warden, which is started now if there is none; it stops with the reactor.

    Raises `CannotStart` if the guardian cannot be started, `RuntimeError` in another thread than that of the reactor.
    """
    io_thread: int | None = getattr(threadable, "ioThread", None)  # typed as None, which it is until a reactor runs
    if io_thread not in (None, threading.get_ident()):
        raise RuntimeError("a Popen in another thread than the reactor's: use subprocess there, or reactor.callFromThread")
    reactor = _findReactor(reactor)
    if reactor not in _wardens:
        warden = Warden(reactor, adopts=False)
        warden.start()
        # After services have stopped, which is before: they may want to end their children in their own way.
        _wardens[reactor] = warden, reactor.addSystemEventTrigger("during", "shutdown", _leave, reactor)
    return reactor, _wardens[reactor][0]


def stopWarden(reactor: Any = None) -> Deferred[None]:
    """End the guardian of this reactor, or of the global one, with all children but those to be kept; the next is made anew.

    Fires when it has ended; at once where there is none. Tests of what uses `Popen` end with it.
    """
    reactor = _findReactor(reactor)
    if reactor not in _wardens:
        return succeed(None)
    warden, trigger = _wardens.pop(reactor)
    reactor.removeSystemEventTrigger(trigger)
    return warden.stop()


def _leave(reactor: Any) -> None:
    """Stop it, and wait: once the reactor has stopped nobody would hear of the end of the children."""
    warden, _ = _wardens.pop(reactor)
    warden.stop()
    until = time.monotonic() + _FAREWELL
    poll = select.poll()
    if warden.pid is not None:
        poll.register(warden.fileno(), select.POLLIN)
    while warden.pid is not None and (left := until - time.monotonic()) > 0:
        poll.poll(left * 1000)
        warden.doRead()


def _findReactor(reactor: Any) -> Any:
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = installed
    return reactor
