"""Methods that clients call."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from nodeset.core import tracing
from nodeset.core.calls.items import Items
from nodeset.core.syntax import explainSyntax
from nodeset.web.api.itemlines import ItemLines
from nodeset.web.api.media import JSON, formOf
from nodeset.web.api.publishing import checkLinked, traceOf
from nodeset.web.api.wishes import BadWish, CallWishes, readCallWishes
from nodeset.web.bridge import Bridge
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.problem import Problem

__all__ = ["Calls"]


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What the body of a call holds."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}


_readArguments: Final = msgspec.json.Decoder(_Arguments).decode


class Calls:
    """`POST /v1/calls/{node}/{method}`."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._lines = ItemLines(bridge)

    async def call(self, inquiry: Inquiry) -> Reply | None:
        """Call a method, answer with its result; a stream of items is answered with a line for each.

        A client that leaves cancels the call.

        :raise Problem: 400, 415, 422 for what is wrong with the request, 503 without a dispatcher.
        """
        arguments, wishes = _readBody(inquiry), _readWishes(inquiry)
        checkLinked(inquiry.agent)
        timeout = self._bridge.limits.request_timeout if wishes.timeout is None else wishes.timeout
        inquiry.request.openEnded()  # the call has a time-out of its own
        target, method = inquiry.params["node"], inquiry.params["method"]
        trace = traceOf(inquiry)
        with tracing.entered(trace, f"call {method}", "SERVER") as visit:
            called = inquiry.agent.node.call(
                target, method, *arguments.args, kwargs=arguments.kwargs, timeout=timeout, idempotent=wishes.idempotent
            )
            visit.until(called)
        # The agent stays for it, however long nothing else is asked for; when it must go, its node ends the call.
        release = inquiry.agent.hold(_nothing)
        try:
            result = await called
            if isinstance(result, Items):
                await self._lines.send(inquiry.request, result)
                return None
            return Reply.json({"result": result})
        finally:
            release()


def _nothing(reason: str) -> None:
    """There is nothing to cut."""


def _readBody(inquiry: Inquiry) -> _Arguments:
    if not inquiry.body:
        return _Arguments()
    formOf(inquiry.header("content-type"), JSON)
    try:
        return _readArguments(inquiry.body)
    except RecursionError:
        raise Problem(400, "the body is nested too deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(400, f'the body is no {{"args":[],"kwargs":{{}}}}: {explainSyntax(error, inquiry.body)}') from None


def _readWishes(inquiry: Inquiry) -> CallWishes:
    if inquiry.header("idempotency-key") is not None:
        raise Problem(400, "an Idempotency-Key is for events: NodeSet-Idempotent says that a method may be run twice")
    try:
        return readCallWishes(inquiry.headers)
    except BadWish as error:
        raise Problem(error.status, str(error)) from None
