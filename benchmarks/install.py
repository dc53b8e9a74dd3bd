"""Getting the peers, from Debian's index of packages, from pip's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.peers import CROSSBAR, KEPT, ROOT, findPeer

__all__ = ["missing", "obtain", "run", "searchPath"]

#: The module by which a distribution is known to be there.
_MODULES: Final = {"nats-py": "nats", "pyzmq": "zmq", "redis": "redis", "paho-mqtt": "paho.mqtt", "pika": "pika"}


def obtain(systems: Iterable[str]) -> dict[str, str]:
    """Install what the systems need and this machine lacks. Returns why those that cannot be had are left out."""
    KEPT.mkdir(exist_ok=True)
    os.environ["PATH"] = searchPath()
    wanted = list(systems)
    packages = [findPeer(name).DEBIAN[0] for name in wanted if _lacksProgram(name)]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        run("Debian", ["apt-get", "update", "-qq"])
        # RUNLEVEL keeps their services from being started: ours are children of our own.
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        run("Debian", ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], environ)
    lacking = sorted({each for name in wanted if _lacksModule(name) for each in findPeer(name).PYTHON})
    if lacking and not run("pip", [*_pip(sys.executable), "--editable", f"{ROOT}[bench]"]):
        # One that cannot be had spoils the others.
        for distribution in lacking:
            run("pip", [*_pip(sys.executable), distribution])
    if "crossbar" in wanted and not _hasCrossbar():
        print("building an environment for Crossbar, a minute the first time ...", flush=True)
        venv.create(CROSSBAR, clear=True, with_pip=True)
        # A library of its own is built for the old numpy: it says so at length with the new one.
        wanted_there = ["crossbar", "autobahn", "msgspec", "numpy<2"]
        run("pip", [*_pip(str(CROSSBAR / "bin" / "python")), *wanted_there])
    return {name: why for name in wanted if (why := missing(name))}


def _pip(python: str) -> list[str]:
    return [python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]


def missing(name: str) -> str:
    """What a system lacks on this machine, empty if nothing."""
    if _lacksProgram(name):
        package, program = findPeer(name).DEBIAN
        return f"no {Path(program).name}: apt-get install {package}"
    if name == "crossbar" and not _hasCrossbar():
        return "no crossbar: pip could not install it"
    if _lacksModule(name):
        return f"no {', '.join(findPeer(name).PYTHON)}: pip could not install it"
    return ""


def _lacksProgram(name: str) -> bool:
    program = findPeer(name).DEBIAN[1]
    # mosquitto, nats-server live where only root looks.
    return bool(program) and shutil.which(program, path=searchPath()) is None


def searchPath() -> str:
    """$PATH with the directories of system programs."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def _lacksModule(name: str) -> bool:
    for distribution in findPeer(name).PYTHON:
        module = _MODULES[distribution]
        try:
            if find_spec(module) is None:
                return True
        except ModuleNotFoundError:
            return True
    return False


def _hasCrossbar() -> bool:
    return (CROSSBAR / "bin" / "crossbar").exists()


def run(what: str, command: list[str], environ: dict[str, str] | None = None) -> bool:
    """Whether it ran well; a failure leaves the peer out, with what the command said in a log."""
    with (KEPT / "install.log").open("ab") as log:
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if done.returncode:
        print(f"{what} could not install {' '.join(command[-4:])}: see .bench/install.log", flush=True)
    return not done.returncode
