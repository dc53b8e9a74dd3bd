"""A sub-command that is one of the services, in the foreground."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

__all__ = ["Service"]


class Service(click.Command):
    """Hands its words to the service's own options, which are Twisted's.

    :param room: the module with its `Options`, its `main(in_front=True)`.
    """

    def __init__(self, name: str, room: str, what: str) -> None:
        context: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": []}
        words = click.Argument(
            ["words"], nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]", shell_complete=self._completeWord
        )
        super().__init__(name, context, self._pass, [words], what, add_help_option=False)
        self._room = room

    def _pass(self, words: tuple[str, ...]) -> None:
        sys.argv[1:] = words
        import_module(self._room).main(in_front=True)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The service's options that --help shows."""
        options = import_module(self._room).Options()
        known = [name for each in dict.fromkeys(options.longOpt) if options.isShown(name := each.rstrip("="))]
        return [CompletionItem(f"--{name}") for name in sorted(known) if incomplete and f"--{name}".startswith(incomplete)]

    def _completeWord(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return [word for word in import_module(self._room).Options.meaningful if word.startswith(incomplete)]
