"""The verb by which a node calls others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Final

from twisted.internet.defer import Deferred, fail

from nodeset.core import tracing
from nodeset.core.address import parseTarget
from nodeset.core.arguments import checkTimeout
from nodeset.core.batch import NO_HEADERS
from nodeset.core.calls.expose import Exposed, exposedAs
from nodeset.core.calls.parcel import packArguments
from nodeset.core.calls.phone import Phone
from nodeset.core.headers import withTrace
from nodeset.core.message import show
from nodeset.errors import BadArguments, NotRunning

__all__ = ["Calling"]

#: By their numbers on the wire.
_MODES: Final = ("all", "one")
_NOTHING: Final[Mapping[str, Any]] = {}


class Calling:
    """What of a node calls."""

    name: str

    def __init__(self, usual_call_timeout: float) -> None:
        self._usual_call_timeout = usual_call_timeout
        self._phone: Phone | None = None

    def _setCallTimeout(self, seconds: float) -> None:
        """Give each call without a time-out of its own so long, from now on."""
        self._usual_call_timeout = seconds

    def callBy(self, phone: Phone | None) -> None:
        """Call by this one from now on, or not at all: the node does not run."""
        self._phone = phone

    def call(
        self,
        target: str,
        method: str | Callable[..., Any],
        /,
        *args: Any,
        timeout: float | EllipsisType | None = ...,
        mode: str = "one",
        idempotent: bool = False,
        kwargs: Mapping[str, Any] = _NOTHING,
        **keywords: Any,
    ) -> Deferred[Any]:
        """Call a method that another node exposes: `await node.call("calc", "add", 1, 2)`.

        :param target: `name` or `name@host`; several nodes may bear it and are called in turn. Empty is the dispatcher itself.
        :param method: what it is exposed as; or itself, `Calc.add`: then the arguments are checked here, before anything is
            sent, and the result is made what its return annotation says.
        :param args: with `keywords` the arguments; JSON has them, or they have a form in JSON (bytes, dates, Decimal, UUID,
            Enum, Struct, dataclass), of which an annotated parameter makes the same again.
        :param timeout: seconds until it fails with `TimedOut`, else the settings' (30); None: never. Within a method that is
            called, never more than what is left of that call. For a stream it bounds the wait for each item.
        :param mode: `one` node, or `all` of that name: fires with a list of `Reply`, one for each, failures as their `error`.
        :param idempotent: whether it may be run twice: then it is made again where else its outcome would be unknown.
        :param kwargs: more keywords, for parameters that bear the name of one of these.
        :return: fires with what the method returned, or with `Items` for `async for` when that is an iterator. Cancel it to
            cancel the method. Fails with `RemoteError` (what the method raised), `UnknownNode`, `UnknownMethod`, `BadArguments`
            (says the callee), `Busy`, `Refused`, `TimedOut`, `OutcomeUnknown` (the node, or the link, was lost: it may or may
            not have run), `Overloaded`, `NotRunning`.
        :raise InvalidAddressing: for a target that is none.
        :raise BadArguments: for what cannot be sent, or what the method given does not take.
        :raise MessageTooLarge: for arguments of more than 1 MiB.

        Before a dispatcher is there calls wait for one, as long as `timeout`.
        """
        if target:
            parseTarget(target)
        elif target != "":
            raise BadArguments(f"the target of a call is {show(target)}: give the name of a node")
        if mode != "one" and mode not in _MODES:
            raise BadArguments(f"mode is {show(mode)}; it must be 'one' or 'all'")
        limit = self._usual_call_timeout if timeout is ... else checkTimeout(timeout, self._usual_call_timeout)
        if kwargs:
            if not isinstance(kwargs, Mapping) or not all(type(name) is str and name not in keywords for name in kwargs):
                raise BadArguments(f"kwargs is {show(kwargs)}; give a mapping of keywords that are not given otherwise")
            keywords = {**keywords, **kwargs}
        exposed: Exposed | None = None
        names: tuple[str, ...] = ()
        given: Sequence[Any] = args
        if isinstance(method, str):
            name = method
            if not method or len(method) > 255 or not method.isprintable():
                raise BadArguments(f"the method {show(method)} is no name: give 1 to 255 printable characters")
        else:
            exposed = exposedAs(method)
            name, names = exposed.name, exposed.signature.names
            given, keywords = exposed.signature.bind(args, keywords)
        payload = packArguments(given, keywords, names)
        if self._phone is None:
            return fail(NotRunning(f"the node {self.name} is not running: call startService() before call()"))
        traceparent = tracing.outgoing()
        headers = NO_HEADERS if traceparent is None else withTrace(NO_HEADERS, traceparent)
        return self._phone.caller.call(target, name, payload, _MODES.index(mode), limit, idempotent, exposed, headers)
