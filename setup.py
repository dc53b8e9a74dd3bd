"""How NodeSet is packaged; its tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def readVersion() -> str:
    """The version as nodeset/version.py has it, read as text: importing would need the dependencies."""
    found = re.search(r'^__version__ = "([^"]+)"$', (HERE / "nodeset" / "version.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit('setup.py: nodeset/version.py has no line __version__ = "...": put it back')
    return found.group(1)


readme = HERE / "README.md"

# What a user may want beside the core. `all` is what the README shows.
extras = {
    "web": ["Twisted[websocket]>=25.5"],
    "cli": ["click>=8.1", "rich>=13"],
    "nats": ["nats-py>=2.10"],
    "otel": ["opentelemetry-api>=1.20"],
    # psutil for what a process weighs.
    "metrics": ["prometheus-client>=0.20", "psutil>=6"],
    "processes": ["psutil>=6"],
    "shell": ["Twisted[conch]>=25.5"],
}
extras["all"] = sorted({requirement for wanted in extras.values() for requirement in wanted})

# What `make test` runs. A formatter or type checker of another series would say something else about the same code.
extras["test"] = [
    "build>=1.2",
    "hypothesis>=6.100",
    "mypy>=2.4,<3",
    "mypy-zope>=1.0.17",
    "openapi-spec-validator>=0.7",
    "opentelemetry-sdk>=1.20",
    "packaging>=24",
    "pytest>=8",
    "ruff>=0.17,<0.18",
    "setuptools>=77",
    "types-simplejson",
]
# What `make bench`, `make bench-http`, `make bench-processes` compare NodeSet with, save Crossbar: it wants an environment of
# its own.
extras["bench"] = [
    *extras["nats"],
    "circus>=0.19",
    "fastapi>=0.115",
    "hiredis>=3",
    "httptools>=0.6",
    "matplotlib>=3.8",
    "paho-mqtt>=2",
    "pika>=1.3",
    "pyzmq>=26",
    "redis>=5",
    "supervisor>=4.3",
    "uvicorn>=0.30",
    "uvloop>=0.20",
]
# What `make test-api` tries the web API with.
extras["fuzz"] = ["schemathesis>=4"]
# What `make docs` needs.
extras["docs"] = ["furo>=2024.8", "myst-parser>=4", "sphinx>=8", "sphinx-click>=6"]
# What `make test-browser` drives Debian's Chromium with; axe-playwright-python brings axe-core.
extras["browser"] = ["axe-playwright-python>=0.1.7", "playwright>=1.50"]
extras["dev"] = [*extras["test"], *extras["docs"], "pre-commit>=4"]

setup(
    name="nodeset",
    version=readVersion(),
    description="Services that publish, subscribe, call and stream to each other through a stateless dispatcher",
    long_description=readme.read_text("utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license_expression="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # Says the obvious on purpose: with it `pip install -e` puts the checkout on sys.path, where twistd looks for
    # plugins; without it the editable install is an import hook and twistd does not find ours.
    package_dir={"": "."},
    # twisted/ and twisted/plugins/ have no __init__.py, which would overwrite Twisted's own.
    packages=[*find_packages(include=["nodeset", "nodeset.*"]), "twisted.plugins"],
    package_data={
        "nodeset": ["py.typed"],
        "nodeset.web.api": ["openapi.json"],
        "nodeset.web.sockets": ["asyncapi.json"],
        "nodeset.web.dashboard": ["*.html", "*.js", "*.css", "*.svg", "panels/*.js", "vendor/*"],
    },
    zip_safe=False,
    install_requires=[
        "Twisted[tls]>=25.5",
        "foolscap>=24.9",
        "zope.interface",
        "simplejson",
        "attrs",
        "msgspec",
    ],
    extras_require=extras,
    entry_points={
        "console_scripts": [
            "nodeset = nodeset.cli.main:main",
            "nodeset-dispatcher = nodeset.cli.dispatch:main",
            "nodeset-node = nodeset.cli.node:main",
            "nodeset-monitor = nodeset.cli.monitor:main",
            "nodeset-web = nodeset.cli.web:main",
            "nodeset-shell = nodeset.cli.shell:main",
            "nodeset-center = nodeset.cli.center:main",
            "nodeset-open = nodeset.cli.open:main",
            "nodeset-processes = nodeset.cli.processes:main",
            # As the original called them.
            "nerve-center = nodeset.cli.center:main",
            "nrv-center = nodeset.cli.center:main",
            "nrv-open = nodeset.cli.open:main",
        ],
        "pytest11": ["nodeset = nodeset.pytest_plugin"],
    },
)
