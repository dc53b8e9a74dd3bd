"""The sub-command `nodeset init`, which begins a project."""

from __future__ import annotations

import click

__all__ = ["init"]


@click.command()
@click.argument("directory", default=".")
def init(directory: str) -> None:
    """Begin a project: a node, its test, the commands to type.

    All goes into DIRECTORY, this one unless you name it, whose name the node gets. What is there is never overwritten.

    \b
    Example:
      nodeset init kitchen
      cd kitchen && python -m twisted.trial test_kitchen
    """
    from nodeset.cli.visit import end

    end("init", lambda: _run(directory))


def _run(directory: str) -> int:
    import shlex
    from pathlib import Path

    from nodeset.cli.begin.project import filesOf, nameFor, write
    from nodeset.cli.outcome import Exit, GaveUp
    from nodeset.cli.shown import printable

    if not directory or "\0" in directory:
        raise GaveUp("the name of the directory is empty: name one", Exit.USAGE)
    path = Path(directory)
    name = nameFor(path.absolute().resolve().name)
    files = filesOf(name)
    write(path, files)
    for file in files:
        click.echo(f"wrote {printable(str(path / file))}")
    click.echo("\nNext:")
    if path.resolve() != Path.cwd():
        click.echo(f"  cd {printable(shlex.quote(directory))}")
    for command, why in (
        (f"python -m twisted.trial test_{name}", "its test"),
        ("nodeset dispatcher", "in a terminal of its own"),
        (f"python {name}.py", "the node, in another"),
        (f'nodeset pub {name}.noted \'{{"text": "hello"}}\'', ""),
    ):
        click.echo(f"  {command:<40}  # {why}" if why else f"  {command}")
    click.echo("README.md has more.")
    return 0
