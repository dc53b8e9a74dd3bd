"""The sub-command `nodeset completion`, which prints what a shell needs to complete our command lines."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

__all__ = ["completion"]

_SHELLS = ("bash", "zsh", "fish")
#: How to have it in every new shell.
_INSTALL = {
    "bash": """echo 'eval "$(nodeset completion bash)"' >> ~/.bashrc""",
    "zsh": """echo 'eval "$(nodeset completion zsh)"' >> ~/.zshrc  (after the line with compinit)""",
    "fish": "nodeset completion fish > ~/.config/fish/completions/nodeset.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
def completion(shell: str | None) -> None:
    """Print the script that lets your shell complete our commands.

    Which SHELL is told from $SHELL unless you say it. On a terminal it also says how to install the script.

    \b
    Example:
      eval "$(nodeset completion bash)"
    """
    from click.shell_completion import shell_complete

    from nodeset.cli.group import COMPLETING, nodeset

    guessed = shell or Path(os.environ.get("SHELL", "")).name
    if guessed not in _SHELLS:
        raise click.UsageError(f"cannot tell your shell from $SHELL ({guessed[:40]!a}): say one of {', '.join(_SHELLS)}")
    shell_complete(nodeset, {}, "nodeset", COMPLETING, f"{guessed}_source")
    if sys.stdout.isatty():
        click.echo(f"To have it in every new {guessed}:\n  {_INSTALL[guessed]}", err=True)
