"""The Deferred of one published event, at a third of a Deferred's cost.

A publisher makes one for each event; most get one callback or a pair, and nearly all fire with a receipt. That is done here
without Twisted's list of callbacks, which is made as soon as anything else is asked for; from then on it is Twisted's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nodeset.errors import Receipt

__all__ = ["Confirmation", "makeConfirmation"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

_Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]


def _passOn(result: Any) -> Any:
    return result


_PASS_ON: Final[_Call] = (_passOn, (), _NOTHING)


class Confirmation(Deferred[Receipt]):
    """A Deferred in all that it does; see there. It has no canceller: who cancels it hears no more, the event goes its way."""

    _canceller = None
    #: The only pair of calls so far, as Twisted's list would hold it.
    _pair: tuple[_Call, _Call] | None = None
    #: Twisted's list, once it is needed.
    _list: list[tuple[_Call, _Call]] | None = None

    def __init__(self) -> None:
        # What Deferred.__init__ sets is set when it is needed.
        pass

    @property
    def _callbacks(self) -> list[Any]:
        calls = self._list
        if calls is None:
            calls = self._list = [] if self._pair is None else [self._pair]
            self._pair = None
        return calls

    @_callbacks.setter
    def _callbacks(self, calls: list[Any]) -> None:
        self._pair, self._list = None, calls

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
        if self._pair is None and self._list is None and not self.called:
            self._pair = (callback, callbackArgs, callbackKeywords), (errback or _passOn, errbackArgs, errbackKeywords)
            return self
        return super().addCallbacks(callback, errback, callbackArgs, callbackKeywords, errbackArgs, errbackKeywords)

    def addCallback(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Deferred`."""
        if self._pair is None and self._list is None and not self.called:
            self._pair = (callback, args, kwargs), _PASS_ON
            return self
        return super().addCallback(callback, *args, **kwargs)

    def addErrback(self, errback: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Deferred`."""
        if self._pair is None and self._list is None and not self.called:
            self._pair = _PASS_ON, (errback, args, kwargs)
            return self
        return super().addErrback(errback, *args, **kwargs)

    def addBoth(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Deferred`."""
        if self._pair is None and self._list is None and not self.called:
            call = (callback, args, kwargs)
            self._pair = call, call
            return self
        return super().addBoth(callback, *args, **kwargs)

    def callback(self, result: Any) -> None:
        """See `Deferred`."""
        if self._list is not None or self.called or self.paused or self.debug or type(result) is not Receipt:
            super().callback(result)
            return
        pair, self._pair = self._pair, None
        self.called, self.result = True, result
        if pair is None:
            return
        callback, args, kwargs = pair[0]
        self._runningCallbacks = True
        try:
            result = callback(result, *args, **kwargs) if args or kwargs else callback(result)
        except BaseException:
            result = Failure()
        self._runningCallbacks = False
        if result is not None and type(result) is not Receipt:
            # Perhaps a Failure, perhaps another Deferred: Twisted is to see it as this callback's result.
            self._callbacks.insert(0, ((lambda _: result, (), _NOTHING), _PASS_ON))
            self.result = None
        else:
            self.result = result
        self._runAdded()

    def _runAdded(self) -> None:
        """Run what the callback itself has added."""
        if self._list is not None:
            self._runCallbacks()


def _works() -> bool:
    """Whether this Twisted keeps its callbacks where we think."""
    try:
        seen: list[object] = []
        receipt = Receipt(1, 1, 0)
        for count in (1, 2):
            confirmation = Confirmation()
            for _ in range(count):
                confirmation.addCallback(seen.append)
            confirmation.callback(receipt)
        return seen == [receipt, receipt, None] and Deferred[Receipt]()._callbacks == []
    except Exception:
        return False


#: Makes the Deferred of one publish: Twisted's own where Twisted is built otherwise.
makeConfirmation: Callable[[], Deferred[Receipt]] = Confirmation if _works() else Deferred
