"""The checks that this machine answers alone."""

from __future__ import annotations

import os
import platform
import re
import resource
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from nodeset.cli import findings
from nodeset.cli.findings import Finding, Verdict
from nodeset.cli.meaning import meaningOf
from nodeset.cli.shown import printable
from nodeset.cli.whence import Whence, wordOf
from nodeset.errors import GrantRefused
from nodeset.transport.files import showPath
from nodeset.transport.furl import Furl
from nodeset.version import __version__

__all__ = ["addressOf", "lookAround", "readRequirements"]

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)[^;>]*(?:>=([0-9.]+))?")
_EXTRA: Final = re.compile(r";.*extra == [\"']([\w-]+)[\"']")
#: Extras of who works on NodeSet, and the one that is all others.
_INTERNAL: Final = frozenset({"all", "test", "bench", "docs", "dev"})
_SHOWN: Final = ("Twisted", "foolscap", "pyOpenSSL")


def readRequirements(lines: list[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The lowest version of what every installation needs, by name; what each extra needs.

    >>> readRequirements(["Twisted[tls]>=25.5", 'click>=8.1; extra == "cli"'])
    ({'Twisted': '25.5'}, {'cli': ['click']})
    """
    wanted: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    for line in lines:
        found = _REQUIREMENT.match(line)
        if found is None:
            continue
        name, version = found.groups()
        if extra := _EXTRA.search(line):
            extras.setdefault(extra[1], []).append(name)
        elif version:
            wanted[name] = version
    return wanted, {extra: names for extra, names in extras.items() if extra not in _INTERNAL}


def _isInstalled(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def lookAround(whence: Whence) -> Iterator[Finding]:
    """What is so before anybody is asked."""
    try:
        wanted, extras = readRequirements(metadata.requires("nodeset") or [])
    except metadata.PackageNotFoundError:  # it runs from a checkout that was not installed
        wanted, extras = {}, {}
    installed = {"Python": platform.python_version()}
    installed |= {name: metadata.version(name) for name in _SHOWN if _isInstalled(name)}
    yield findings.softwareOf({"nodeset": __version__, **installed}, wanted)
    yield findings.extrasOf([extra for extra, names in extras.items() if not all(map(_isInstalled, names))])
    yield findings.limitsOf(*resource.getrlimit(resource.RLIMIT_NOFILE))
    try:
        found = whence.state.stat()
    except OSError:
        yield findings.stateOf(showPath(whence.state), None, True)
    else:
        yield findings.stateOf(showPath(whence.state), found.st_mode, found.st_uid == os.geteuid())


def addressOf(whence: Whence, furl: Furl) -> Iterator[Finding]:
    """Where the FURL was found, what it grants."""
    path = whence.path
    try:
        mode = None if path is None else path.stat().st_mode
    except OSError:
        mode = None
    shown = None if path is None else showPath(path)
    yield findings.fileOf(whence.origin, shown, mode, wordOf(whence.source.warning or ""))
    try:
        yield findings.grantOf(meaningOf(furl.name), time.time())
    except GrantRefused as error:
        yield Finding("grant", Verdict.FAILED, printable(str(error)), "copy the FURL again, whole")
