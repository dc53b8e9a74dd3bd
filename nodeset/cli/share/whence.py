"""Where the address comes from that a sub-command uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

from nodeset import settings
from nodeset.errors import BadFurl, BadSettings
from nodeset.transport.furl import LONGEST_FURL, Furl, parse
from nodeset.transport.rendezvous import FurlSource, fileOf, find, stateDirectory

__all__ = ["Whence", "furlFrom", "trace", "wordOf"]


@attrs.frozen
class Whence:
    """The source that counts.

    :ivar origin: who says so: an option, a variable, or `the default`.
    :ivar path: the file that holds it, None when the FURL itself was given.
    :ivar state: the state directory, which may not be there.
    :ivar owner: the source of the owner's FURL of the same dispatcher, if this is a rendezvous name and we may read it.
    :ivar found: all settings that this was taken from.
    """

    source: FurlSource
    origin: str
    path: Path | None
    state: Path
    owner: FurlSource | None
    found: settings.Settings


def trace(dispatcher: str | None, environ: Mapping[str, str]) -> Whence:
    """What `--dispatcher` with this environment leads to. Raises `BadFurl` or `BadSettings` for what leads nowhere."""
    found = settings.load(environ, {"dispatcher_url": dispatcher}, settings.COMMAND)
    given = found.origins.get("dispatcher_url", "")
    state = stateDirectory(environ, found.state_dir)
    try:
        source = find(
            None,
            found.dispatcher_url,
            option_is_default=not given,
            option_origin=given,
            environ=environ,
            state_directory=state,
        )
    except (BadFurl, BadSettings) as error:
        raise type(error)(wordOf(str(error))) from None
    origin = wordOf(given) or "default"
    path = fileOf(source)
    owner = None
    if path is not None and found.dispatcher_url.strip().startswith(("pbu://", "ipc://", "tcp://")):
        beside = path.with_name(f"{path.name.removesuffix('.furl')}.owner.furl")
        # One that we may not read is another user's, whose dispatcher we use as a member.
        if os.access(beside, os.R_OK):
            owner = find(f"@{beside}", environ=environ, state_directory=state)
    return Whence(source, origin, path, state, owner, found)


def wordOf(text: str) -> str:
    """What `rendezvous` says, in the words of the sub-commands."""
    return text.replace("--dispatcher-url", "--dispatcher")


def furlFrom(text: str, environ: Mapping[str, str]) -> tuple[Furl, Path | None, str | None]:
    """The FURL that this word stands for: a file, `-` for stdin, or the FURL itself; its file, a warning.

    Raises `BadFurl`, `BadSettings` or `NotThere`.
    """
    if text == "-":
        return parse(sys.stdin.read(LONGEST_FURL + 1).strip()), None, None
    state = stateDirectory(environ, settings.load(environ, {}, settings.COMMAND).state_dir)
    try:
        source = find(None, text, environ=environ, state_directory=state)
    except (BadFurl, BadSettings) as error:
        raise type(error)(str(error).removeprefix("--dispatcher-url: ")) from None
    warning = None if source.warning is None else "a FURL as an argument shows it to every user of this machine: give its file"
    return source.read(), fileOf(source), warning
