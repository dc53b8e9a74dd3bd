"""The checks that this machine answers alone."""

from __future__ import annotations

import os
import platform
import re
import resource
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from nodeset import settings
from nodeset.cli.doctor import findings
from nodeset.cli.doctor.findings import Finding, Verdict
from nodeset.cli.share.meaning import meaningOf
from nodeset.cli.share.whence import Whence, wordOf
from nodeset.cli.shown import printable
from nodeset.errors import GrantRefused
from nodeset.transport.files import reasonOf, showPath
from nodeset.transport.furl import Furl
from nodeset.version import __version__

__all__ = ["addressOf", "lookAround", "readRequirements"]

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)[^;>]*(?:>=([0-9.]+))?")
_EXTRA: Final = re.compile(r";.*extra == [\"']([\w-]+)[\"']")
#: Extras of who works on NodeSet, and the one that is all others.
_INTERNAL: Final = frozenset({"all", "test", "bench", "docs", "dev"})
#: Files of a dispatcher that only its user may read; how many files are looked at.
_SECRET: Final = frozenset({".furl", ".key", ".pem"})
_MOST_FILES: Final = 1000
#: Names of variables that are shown.
_MOST_UNKNOWN: Final = 5
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


def lookAround(whence: Whence, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What is so before anybody is asked."""
    try:
        wanted, extras = readRequirements(metadata.requires("nodeset") or [])
    except metadata.PackageNotFoundError:  # it runs from a checkout that was not installed
        wanted, extras = {}, {}
    installed = {"Python": platform.python_version()}
    installed |= {name: metadata.version(name) for name in _SHOWN if _isInstalled(name)}
    yield findings.softwareOf({"nodeset": __version__, **installed}, wanted)
    yield findings.extrasOf([extra for extra, names in extras.items() if not all(map(_isInstalled, names))])
    names = sorted(printable(name) for name, value in environ.items() if name.startswith("NODESET_") and value)
    known = {settings.environmentName(name) for name in settings.NAMES}
    yield findings.settingsOf(
        [f"${name}" for name in names if name in known],
        [f"${name}" for name in names if name not in known][:_MOST_UNKNOWN],
        printable(whence.found.config or ""),
        [printable(warning) for warning in whence.found.warnings],
    )
    yield findings.limitsOf(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield _lookAtState(whence.state)


def _lookAtState(path: Path) -> Finding:
    shown = showPath(path)
    try:
        found = path.stat()
        files = sorted(path.iterdir())[:_MOST_FILES] if path.is_dir() else []
        loose = [each.name for each in files if each.suffix in _SECRET and each.lstat().st_mode & 0o077]
    except FileNotFoundError:
        return findings.stateOf(shown, None, True)
    except OSError as error:
        todo = "give this user the right to read it, or set $NODESET_HOME"
        return Finding("state", Verdict.WARNING, f"{shown} cannot be looked into ({reasonOf(error)})", todo)
    return findings.stateOf(shown, found.st_mode, found.st_uid == os.geteuid(), [printable(each) for each in loose])


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
        told = printable(str(error)).removesuffix(": copy it again, whole")
        yield Finding("grant", Verdict.FAILED, told, "copy the FURL again, whole")
