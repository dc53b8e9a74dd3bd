"""The command `nodeset-open`, which runs a program that a center is told of.

What stands here imports the standard library alone, so that the program is started some milliseconds after we are.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from nodeset.cli.opening.words import Call

__all__ = ["main"]


def main(in_front: bool = False) -> NoReturn:
    """Run as a console script, or, `in_front`, as the sub-command of `nodeset`; ends the process with the program's code."""
    from nodeset.cli.opening.early import Early, occupy

    called = "nodeset open" if in_front else "nodeset-open"
    closed = occupy()
    try:
        early = Early(closed)
    except KeyboardInterrupt:
        os._exit(130)
    except Exception as error:
        _end(*_judge(error))
    # While the guardian gets ready.
    from nodeset.cli.opening.words import BadWords, isPlain, read

    try:
        call = read(sys.argv[1:])
    except BadWords as error:
        _end(2, f"{error} (see {called} --help)")
    if call.asks:
        _show(call.asks, called)
    try:
        found = None if isPlain(call, os.environ) else _settle(call)
        restart = call.chosen.get("restart", "never") if found is None else found.restart
        early.start(call, again=restart != "never")
    except Exception as error:
        _end(*_judge(error))
    if early.error is not None:
        # Said before the center is told, which may take a while.
        early.say(str(early.error))
    # Threads pass on what the program writes: they need not wait long for us while we import.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        from nodeset.cli.opening.watch import watch

        sys.setswitchinterval(interval)
        code = watch(call, early, found)
    except Exception as error:
        early.passage.close()
        code, why = _judge(error)
        early.say(" ".join(why.split()))
    os._exit(code)


def _settle(call: Call) -> Any:
    """The settings, for who gave others than the usual ones. BadFurl, BadSettings."""
    from nodeset.cli.opening.choices import check, settle

    return check(settle(call))


def _show(what: str, called: str) -> NoReturn:
    from nodeset.cli.opening.words import HELP
    from nodeset.version import __version__

    text = HELP.format(called=called) if what == "help" else f"nodeset.core version: {__version__}\n"
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # `--help | head`
    except (OSError, AttributeError) as error:
        _end(1, f"cannot write its output: {error}")
    os._exit(0)


def _judge(error: Exception) -> tuple[int, str]:
    """The exit code with the line that an error means. What nobody foresaw has its kind before it."""
    from nodeset.errors import BadSettings, NodeSetError

    if isinstance(error, NodeSetError):
        return (2 if isinstance(error, BadSettings) else 1), str(error)
    return 1, f"{type(error).__name__}: {error}"


def _end(code: int, why: str) -> NoReturn:
    line = " ".join(f"nodeset-open: {why}".split())
    try:
        os.write(2, f"{line}\n".encode(errors="replace"))
    except OSError:
        pass
    os._exit(code)
