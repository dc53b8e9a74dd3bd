"""The Deferred of one published event, at a third of a Deferred's cost.

A publisher makes one for each event; most get one callback or a pair, and nearly all fire with a receipt. That is done here
without Twisted's list of callbacks, which is made as soon as anything else is asked for; from then on it is Twisted's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from nodeset.errors import Receipt

__all__ = ["Confirmation", "makeConfirmation"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

#: Of a Confirmation whose first callback was called, or is in Twisted's list.
_OVER: Final = ()

_Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]


class _Returned:
    """Gives Twisted what a callback returned as if the callback were called now; Twisted warns of some under its name."""

    def __init__(self, confirmation: Confirmation, callback: Callable[..., Any], result: Any) -> None:
        self._confirmation, self._callback, self._result = confirmation, callback, result
        self.__module__ = getattr(callback, "__module__", "")  # not all have one
        # Paused by its callback, a Deferred goes on to the next one all the same.
        self._paused, confirmation.paused = confirmation.paused, 0

    def __call__(self, before: Any) -> Any:
        self._confirmation.paused = self._paused
        return self._result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._callback, name)


def _passOn(result: Any) -> Any:
    return result


_PASS_ON: Final[_Call] = (_passOn, (), _NOTHING)


class _Callbacks:
    """Makes Twisted's list when it is first asked for; from then on it is an attribute like any other."""

    def __get__(self, confirmation: Confirmation, owner: type[Confirmation]) -> list[tuple[_Call, _Call]]:
        calls = list(confirmation._more)
        if confirmation._first:
            callback, errback = confirmation._first
            calls.insert(0, ((callback, (), _NOTHING), _PASS_ON if errback is None else (errback, (), _NOTHING)))
        confirmation._first, confirmation._more, confirmation._listed, confirmation._callbacks = _OVER, (), True, calls
        return calls


class Confirmation(Deferred[Receipt]):
    """A Deferred in all that it does; see there. It has no canceller: who cancels it hears no more, the event goes its way."""

    _canceller = None
    #: The first callback with its errback or None, if they have no arguments; None before there is any, empty when it is over.
    _first: tuple[Callable[..., Any], Callable[..., Any] | None] | tuple[()] | None = None
    #: Those behind it, as Twisted's list would hold them.
    _more: tuple[tuple[_Call, _Call], ...] = ()
    #: Whether there is Twisted's list instead.
    _listed = False
    _callbacks: Any = _Callbacks()

    def __init__(self) -> None:
        # What Deferred.__init__ sets is set when it is needed.
        if self.debug:
            super().__init__()
            self._first, self._listed = _OVER, True

    def addCallbacks(
        self,
        callback: Callable[..., Any],
        errback: Callable[..., Any] | None = None,
        callbackArgs: tuple[Any, ...] = (),
        callbackKeywords: Mapping[str, Any] = _NOTHING,
        errbackArgs: tuple[Any, ...] = (),
        errbackKeywords: Mapping[str, Any] = _NOTHING,
    ) -> Any:
        """See `Deferred`."""
        if self._first is None and not (callbackArgs or callbackKeywords or errbackArgs or errbackKeywords or self._more):
            self._first = callback, errback
            return self
        if self._listed or self.called:
            return super().addCallbacks(callback, errback, callbackArgs, callbackKeywords, errbackArgs, errbackKeywords)
        # Twisted takes None for nothing as well.
        return self._add(
            (callback, callbackArgs or (), callbackKeywords or _NOTHING),
            (_passOn if errback is None else errback, errbackArgs or (), errbackKeywords or _NOTHING),
        )

    def addCallback(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Deferred`."""
        if self._first is None and not (args or kwargs or self._more):
            self._first = callback, None
            return self
        if self._listed or self.called:
            return super().addCallback(callback, *args, **kwargs)
        return self._add((callback, args, kwargs), _PASS_ON)

    def addErrback(self, errback: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Deferred`."""
        if self._listed or self.called:
            return super().addErrback(errback, *args, **kwargs)
        return self._add(_PASS_ON, (errback, args, kwargs))

    def addBoth(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Deferred`."""
        if self._listed or self.called:
            return super().addBoth(callback, *args, **kwargs)
        call = (callback, args, kwargs)
        return self._add(call, call)

    def _add(self, callback: _Call, errback: _Call) -> Confirmation:
        self._more += ((callback, errback),)
        return self

    def callback(self, result: Any) -> None:
        """See `Deferred`."""
        first = self._first
        if first is _OVER or self.called or self.paused or self.debug or type(result) is not Receipt:
            super().callback(result)
            return
        self._first, self.called, self.result = _OVER, True, result
        if first:  # what `_callMore` does, without the call of it
            callback = first[0]
            self._runningCallbacks = True
            try:
                result = callback(result)
            except BaseException:
                result = Failure(captureVars=self.debug)
            self._runningCallbacks = False
            if self._listed or self.paused or (result is not None and type(result) is not Receipt):
                self._handOver(callback, result)
                return
            self.result = result
        if self._more:
            self._callMore()

    def _callMore(self) -> None:
        while self._more:
            pair, self._more = self._more[0], self._more[1:]
            callback, args, kwargs = pair[0]
            if callback is not _passOn:
                self._runningCallbacks = True
                try:
                    result = callback(self.result, *args, **kwargs)
                except BaseException:
                    result = Failure(captureVars=self.debug)
                self._runningCallbacks = False
                if self._listed or self.paused or (result is not None and type(result) is not Receipt):
                    self._handOver(callback, result)
                    return
                self.result = result

    def _handOver(self, callback: Callable[..., Any], result: Any) -> None:
        # More was added meanwhile, or the result is perhaps a Failure, perhaps another Deferred: that is Twisted's.
        self._callbacks.insert(0, ((_Returned(self, callback, result), (), _NOTHING), _PASS_ON))
        self.result = None
        self._runCallbacks()


def _works() -> bool:
    """Whether this Twisted keeps its callbacks where we think."""
    try:
        seen: list[object] = []
        receipt = Receipt(1, 1, 0)
        for first in (_passOn, succeed):  # the second one goes Twisted's way
            confirmation = Confirmation()
            confirmation.addCallback(first).addCallback(seen.append)
            confirmation.callback(receipt)
        return seen == [receipt, receipt] and Deferred[Receipt]()._callbacks == []
    except Exception:
        return False


#: Makes the Deferred of one publish: Twisted's own where Twisted is built otherwise.
makeConfirmation: Callable[[], Deferred[Receipt]] = Confirmation if _works() else Deferred
