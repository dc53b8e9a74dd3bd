"""How `nodeset call` reads arguments, calls, shows what comes back."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import attrs
import simplejson

from nodeset.cli.group import didYouMean
from nodeset.cli.outcome import Exit, GaveUp, explain, judge
from nodeset.cli.shown import hasColours, printable, readableJson
from nodeset.cli.talk.output import Output
from nodeset.core.calls.items import Items
from nodeset.errors import NodeSetError, RemoteError, UnknownMethod, UnknownNode

if TYPE_CHECKING:
    from nodeset.cli.visit import Visitor
    from nodeset.core.calls.replies import Reply
    from nodeset.core.presence.asking import NodeInfo

__all__ = ["Caller", "readWord", "readWords"]

_BY_NAME: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def readWord(word: str) -> Any:
    """What it is as JSON, or else the text itself.

    >>> readWord("[1, 2]"), readWord("true"), readWord("pizza"), readWord('"1"')
    ([1, 2], True, 'pizza', '1')
    """
    try:
        return simplejson.loads(word, allow_nan=False)
    except (ValueError, RecursionError):
        return word


def readWords(words: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments, then those by name. Raises `GaveUp`.

    >>> readWords(("pizza", "size=3"))
    (['pizza'], {'size': 3})
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        found = _BY_NAME.fullmatch(word)
        if found is None:
            if kwargs:
                raise GaveUp(f"{printable(word[:40])!r} follows an argument by name: put it before these", Exit.USAGE)
            args.append(readWord(word))
        elif found[1] in kwargs:
            raise GaveUp(f"the argument {found[1][:40]} is given twice", Exit.USAGE)
        else:
            kwargs[found[1]] = readWord(found[2])
    return args, kwargs


@attrs.define(kw_only=True)
class Caller:
    """The options of `nodeset call`; see its --help."""

    node: str
    method: str
    words: tuple[str, ...]
    given: str | None
    every: bool
    call_timeout: float | None
    compact: bool
    _args: list[Any] = attrs.field(factory=list)
    _kwargs: dict[str, Any] = attrs.field(factory=dict)
    _output: Output | None = None

    def prepare(self, node: Visitor) -> None:
        """Read the arguments, all that can be wrong with them. Raises `GaveUp`."""
        self._args, self._kwargs = readWords(self.words)
        if self.given is not None:
            if self.words:
                raise GaveUp("arguments are given either as words or by --args: leave out one of them", Exit.USAGE)
            try:
                found = simplejson.loads(self.given, allow_nan=False)
            except (ValueError, RecursionError) as error:
                raise GaveUp(f"--args is no JSON: {error}", Exit.USAGE) from None
            if isinstance(found, dict):
                self._kwargs = found
            elif isinstance(found, list):
                self._args = found
            else:
                raise GaveUp(f"--args is a JSON {type(found).__name__}: give an array, or an object", Exit.USAGE)
        self._output = Output(node.reactor, node.giveUp)

    async def run(self, node: Visitor) -> int:
        """Call, print what comes back. Returns the exit code. Raises `NodeSetError`, `GaveUp`."""
        assert self._output is not None, "it is prepared"
        mode = "all" if self.every else "one"
        timeout = self.call_timeout or ...
        try:
            result = await node.call(self.node, self.method, *self._args, kwargs=self._kwargs, timeout=timeout, mode=mode)
            code: int = Exit.OK
            if isinstance(result, Items):
                async for item in result:
                    await self._print(item, False)
            elif self.every:
                code = await self._printAll(result)
            else:
                await self._print(result, not self.compact)
        except UnknownNode as error:
            raise self._suggest(node, error, self.node, [each.name for each in await _look(node, "")]) from None
        except UnknownMethod as error:
            here = await _look(node, self.node.partition("@")[0])
            raise self._suggest(node, error, self.method, [name for each in here for name in each.methods]) from None
        except RemoteError as error:
            raise _told(error) from error
        finally:
            await self._output.flush()
        return code

    def _suggest(self, node: Visitor, error: NodeSetError, word: str, names: list[str]) -> GaveUp:
        others = sorted({name for name in names if name != node.name})
        hint = didYouMean(word, others)
        if not hint and others:
            hint = f": there is {', '.join(others[:8])}{', ...' if len(others) > 8 else ''}"
        return GaveUp(printable(f"{explain(error)}{hint}"), Exit.UNKNOWN)

    async def _print(self, value: Any, pretty: bool) -> None:
        assert self._output is not None, "it is prepared"
        if sys.stdout is not None and sys.stdout.isatty():
            text = readableJson(value, pretty, hasColours(sys.stdout))
        else:
            text = simplejson.dumps(value)
        waiting = self._output.put(f"{text}\n".encode())
        if waiting is not None:
            await waiting

    async def _printAll(self, replies: list[Reply]) -> int:
        """A line for each; exit code 1 if any failed."""
        for reply in replies:
            about: dict[str, Any] = {"node": f"{reply.node}@{reply.host}"}
            if reply.error is None:
                about["result"] = reply.value
            else:
                about["error"] = str(_told(reply.error))
            await self._print(about, False)
        failed = [reply for reply in replies if reply.error is not None]
        if failed:
            raise GaveUp(f"{len(failed)} of {len(replies)} nodes failed, the first: {_describe(failed[0])}")
        return Exit.OK


def _describe(reply: Reply) -> str:
    """Who failed, why."""
    assert reply.error is not None, "it failed"
    return printable(f"{reply.node}@{reply.host}: {_told(reply.error)}")


def _told(error: NodeSetError) -> GaveUp:
    """What a method raised, by its type as well."""
    kind = error.type if isinstance(error, RemoteError) else ""
    return GaveUp(printable(f"{kind}: {explain(error)}" if kind else explain(error)), judge(error))


async def _look(node: Visitor, name: str) -> list[NodeInfo]:
    """Who is there, if we may know."""
    try:
        return await node.nodes(name)
    except NodeSetError:
        return []
