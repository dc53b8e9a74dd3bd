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

_Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]


class _Returned:
    """Gives Twisted what a callback returned as if the callback were called now; Twisted warns of some under its name."""

    def __init__(self, confirmation: Confirmation, callback: Callable[..., Any], result: Any) -> None:
        self._confirmation, self._callback, self._result = confirmation, callback, result
        self.__module__ = callback.__module__
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
        calls = [] if confirmation._pair is None else [confirmation._pair]
        calls += confirmation._more
        confirmation._pair, confirmation._more, confirmation._listed, confirmation._callbacks = None, (), True, calls
        return calls


class Confirmation(Deferred[Receipt]):
    """A Deferred in all that it does; see there. It has no canceller: who cancels it hears no more, the event goes its way."""

    _canceller = None
    #: The first pair of calls, as Twisted's list would hold it; those behind it.
    _pair: tuple[_Call, _Call] | None = None
    _more: tuple[tuple[_Call, _Call], ...] = ()
    #: Whether there is Twisted's list instead.
    _listed = False
    _callbacks: Any = _Callbacks()

    def __init__(self) -> None:
        # What Deferred.__init__ sets is set when it is needed.
        if self.debug:
            super().__init__()
            self._listed = True

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
        if self._listed or self.called:
            return super().addCallbacks(callback, errback, callbackArgs, callbackKeywords, errbackArgs, errbackKeywords)
        # Twisted takes None for nothing as well.
        pair = (
            (callback, callbackArgs or (), callbackKeywords or _NOTHING),
            (_passOn if errback is None else errback, errbackArgs or (), errbackKeywords or _NOTHING),
        )
        if self._pair is None:  # what `_add` does, without the call
            self._pair = pair
            return self
        return self._add(*pair)

    def addCallback(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Deferred`."""
        if self._listed or self.called:
            return super().addCallback(callback, *args, **kwargs)
        if self._pair is None:  # what `_add` does, without the call
            self._pair = (callback, args, kwargs), _PASS_ON
            return self
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
        if self._pair is None:
            self._pair = callback, errback
        else:
            self._more += ((callback, errback),)
        return self

    def callback(self, result: Any) -> None:
        """See `Deferred`."""
        if self._listed or self.called or self.paused or self.debug or type(result) is not Receipt:
            super().callback(result)
            return
        pair, self._pair = self._pair, None
        self.called, self.result = True, result
        if pair is None:
            return
        while True:
            callback, args, kwargs = pair[0]
            if callback is not _passOn:
                self._runningCallbacks = True
                try:
                    result = callback(result, *args, **kwargs) if args or kwargs else callback(result)
                except BaseException:
                    result = Failure(captureVars=self.debug)
                self._runningCallbacks = False
                if self._listed or self.paused or (result is not None and type(result) is not Receipt):
                    break
                self.result = result
            if not self._more:
                return
            pair, self._more = self._more[0], self._more[1:]
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
