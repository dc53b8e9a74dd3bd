"""The sub-commands of `nodeset`, imported when they are named.

Only click is imported before a sub-command runs: `nodeset --help` takes a fraction of a second.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, NoReturn, TypeVar

import click

from nodeset.cli.shown import terminalWidth
from nodeset.version import __version__

__all__ = ["COMMANDS", "didYouMean", "nodeset", "run", "visiting"]

F = TypeVar("F", bound=Callable[..., Any])

#: What there is, in the order of --help: by what it is for. Each is a room of `nodeset.cli.people`.
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "Run": ("init", "dispatcher", "node", "monitor", "web"),
    "Watch": ("open", "processes", "center"),
    "Talk": ("pub", "sub", "call"),
    "Look": ("nodes", "top", "doctor", "bench"),
    "Share": ("grant", "revoke", "furl", "webkey"),
    "Shell": ("shell", "completion"),
}
_NAMES: Final = tuple(name for names in COMMANDS.values() for name in names)
#: The widest that help is set, the narrowest that it is tried.
_WIDEST, _NARROWEST = 100, 30
_CHOICES: Final = re.compile(r"\[([^\]]*\|[^\]]*)\]\Z")
#: What is set while a shell asks what to complete a line with.
COMPLETING: Final = "_NODESET_COMPLETE"


def didYouMean(word: str, names: Sequence[str]) -> str:
    """What to add to a complaint about `word`, which is none of `names`; empty when none is like it.

    >>> didYouMean("nods", ["nodes", "pub"])
    ": did you mean 'nodes'?"
    """
    near = get_close_matches(word[:80], names, 2, 0.6)
    return f": did you mean {' or '.join(map(repr, near))}?" if near else ""


class _Formatter(click.HelpFormatter):
    """Leaves the texts most of the width, however narrow the terminal is."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """A list of words with their texts."""
        fitting = [self._fit(term, text) for term, text in rows]
        super().write_dl(fitting, min(col_max, max(self.width // 3, 12)), col_spacing)

    def _fit(self, term: str, text: str) -> tuple[str, str]:
        """The same; a list of choices for which there is no room stands behind the text."""
        choices = _CHOICES.search(term)
        if choices is None or len(term) + self.current_indent <= self.width:
            return term, text
        return f"{term[: choices.start()]}WORD", f"{text}  [{choices[1].replace('|', ', ')}]"


class _Context(click.Context):
    formatter_class = _Formatter


class _Group(click.Group):
    """Imports the room of a sub-command when it is named, shows them by what they are for."""

    context_class = _Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them."""
        return list(_NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in _NAMES:
            return None
        found: click.Command = getattr(import_module(f"nodeset.cli.people.{cmd_name}"), cmd_name)
        found.context_class = _Context
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; what is near it if there is none."""
        word = args[0]
        if word not in _NAMES and not ctx.resilient_parsing:
            # A FURL put here by mistake is a secret after its first slash.
            shown = ascii(word.partition("/")[0][:40])
            ctx.fail(f"there is no command {shown}{didYouMean(word, _NAMES)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each purpose."""
        for purpose, names in COMMANDS.items():
            rows = [(name, command.get_short_help_str(80)) for name in names if (command := self.get_command(ctx, name))]
            if rows:
                with formatter.section(purpose):
                    formatter.write_dl(rows)


def _asHere(word: str) -> str:
    # What services call it, twistd having its own -d, may be said here too.
    return "dispatcher" if word == "dispatcher-url" else word


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _asHere},
)
@click.version_option(__version__, message="nodeset.core version: %(version)s")
@click.pass_context
def nodeset(context: click.Context) -> None:
    """Publish, subscribe, call and look at the nodes of a dispatcher.

    \b
    Example:
      nodeset dispatcher &
      nodeset sub 'orders.*' &
      nodeset pub orders.created '{"id": 1}'
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def visiting(function: F) -> F:
    """The options of every sub-command that visits a dispatcher; they reach it as `where`, a mapping for `Where`."""

    def gather(dispatcher: str | None, name_of_node: str | None, timeout: float, debug: bool, **rest: Any) -> Any:
        where = {"dispatcher": dispatcher, "name": name_of_node, "timeout": timeout, "debug": debug}
        return function(where=where, **rest)

    gather.__doc__, gather.__name__ = function.__doc__, function.__name__
    gather.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]  # as click has it
    place = "A file with its FURL (@FILE), pbu://host:port/ref, ipc://PATH, or the FURL, which all on this machine then see."
    decorated: Any = gather
    for option in (
        click.option("--debug", is_flag=True, help="Show the log, and where an error comes from."),
        click.option(
            "--timeout",
            type=click.FloatRange(0, 86400, min_open=True),
            default=5.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to look for the dispatcher.",
        ),
        click.option("--as", "name_of_node", metavar="LABEL", help="The label of our node.  [default: nodeset-COMMAND]"),
        click.option(
            "-d",
            "--dispatcher",
            metavar="WHERE",
            help=f"{place}  [default: $NODESET_DISPATCHER, or this machine's]",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # decorators of click keep what they decorate


def _reasonOf(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        # Without their dashes, by which all are alike.
        near = get_close_matches(error.option_name.strip("-")[:60], [each.strip("-") for each in error.possibilities or ()], 1)
        hint = f": did you mean '--{near[0]}'?" if near else ""
        return f"no such option {error.option_name[:60]!r}{hint}"
    return error.format_message()


def _complain(context: click.Context | None, reason: str) -> None:
    path = context.command_path if context is not None else "nodeset"
    from nodeset.cli.options import oneLine

    text = oneLine(reason).rstrip(".")
    _say(f"{path}: {text[:1].lower()}{text[1:]} (see {path} --help)")


def _say(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # nobody is there to be told


def run() -> NoReturn:
    """Parse sys.argv, run the sub-command, end the process; what is wrong is one line on stderr with exit code 2."""
    if COMPLETING in os.environ:
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(nodeset, {}, "nodeset", COMPLETING, os.environ[COMPLETING]))
    words = sys.argv[1:]
    if words[:1] == ["help"]:  # as people try
        words = [*words[1:2], "--help"]
    width = max(min(terminalWidth(), _WIDEST) - 2, _NARROWEST)
    code: object = 0
    try:
        # What `nodeset.main` does, but for a closed pipe, which it would make an exit code 1 without a word.
        with nodeset.make_context("nodeset", words, terminal_width=width) as context:
            code = nodeset.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        _complain(getattr(error, "ctx", None), _reasonOf(error))
        raise SystemExit(2) from None
    except (click.Abort, KeyboardInterrupt, EOFError):
        raise SystemExit(130) from None
    except OSError as error:
        from nodeset.cli.outcome import explain, judge

        # `--help | head`; what Python would do at exit complains once more
        _say(f"nodeset: {explain(error)}")
        os._exit(judge(error))
    raise SystemExit(code if isinstance(code, int) else 0)
