"""Getting the web servers and wrk, from Debian's index of packages, from pip's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Final

from benchmarks.install import run
from benchmarks.peers import KEPT, ROOT
from benchmarks.web.systems import SYSTEMS, isMissing

__all__ = ["missing", "obtain"]

_WRK: Final = ("wrk", "wrk")


def obtain(systems: Iterable[str], with_wrk: bool) -> dict[str, str]:
    """Install what is lacking. Returns why a system, or `wrk`, is left out, by its name."""
    KEPT.mkdir(exist_ok=True)
    wanted = sorted(systems)
    packages = [package for name in wanted for package in _lackingPackages(SYSTEMS[name].DEBIAN)]
    packages += _lackingPackages((_WRK,)) if with_wrk else []
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        run("Debian", ["apt-get", "update", "-qq"])
        # RUNLEVEL keeps their services from being started: ours are children of our own.
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        run("Debian", ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], environ)
    if any(_lackingModules(SYSTEMS[name].PYTHON) for name in wanted):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
        run("pip", [*pip, "--editable", f"{ROOT}[bench]"])
    found = {name: why for name in wanted if (why := missing(name))}
    if with_wrk and _lackingPackages((_WRK,)):
        found["wrk"] = "publishes: no wrk: apt-get install wrk"
    return found


def missing(name: str) -> str:
    """What a system lacks on this machine, empty if nothing."""
    system = SYSTEMS[name]
    if packages := _lackingPackages(system.DEBIAN):
        return f"{system.TITLE}: apt-get install {' '.join(packages)}"
    if modules := _lackingModules(system.PYTHON):
        return f"{system.TITLE}: no {', '.join(modules)}: pip could not install it"
    return ""


def _lackingPackages(wanted: Iterable[tuple[str, str]]) -> list[str]:
    return [package for package, program in wanted if isMissing(package, program, shutil.which(program) if program else None)]


def _lackingModules(wanted: Iterable[str]) -> list[str]:
    return [module for module in wanted if find_spec(module) is None]
