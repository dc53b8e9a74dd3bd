"""The walls of the house: who may import what.

Read from the source by `ast`, so an import inside a function, under TYPE_CHECKING or by `import_module("...")` counts as well.
Every rule is a function from the root of a checkout to the list of its violations; the tests run each on this checkout, where
it must find nothing, then on a small house of their own with one violation planted, which it must find.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent

#: Rooms that know no wire, no clock, no machine: the starred ones of the design, plus those that they may stand on.
PURE = {
    "nodeset.errors",
    "nodeset.version",
    "nodeset.cli.begin.specimen",
    "nodeset.cli.bench.event",
    "nodeset.cli.bench.ledger",
    "nodeset.cli.bench.pacing",
    "nodeset.cli.bench.pump",
    "nodeset.cli.bench.sample",
    "nodeset.cli.bench.task",
    "nodeset.cli.bench.works",
    "nodeset.cli.share.expiry",
    "nodeset.cli.top.rates",
    "nodeset.processes.center",
    "nodeset.processes.center.continuity",
    "nodeset.processes.center.ledger",
    "nodeset.processes.center.lines",
    "nodeset.processes.center.table",
    "nodeset.processes.watching.backoff",
    "nodeset.processes.output.backlog",
    "nodeset.processes.events",
    "nodeset.processes.programs.differences",
    "nodeset.processes.watching.life",
    "nodeset.processes.probing.logprobe",
    "nodeset.processes.programs.order",
    "nodeset.processes.program",
    "nodeset.processes.programs.readers",
    "nodeset.processes.programs.schema",
    "nodeset.processes.programs.supervisord",
    "nodeset.processes.signals",
    "nodeset.processes.states",
    "nodeset.cli.top.snapshot",
    "nodeset.cli.top.table",
    "nodeset.cli.top.words",
    "nodeset.core.address",
    "nodeset.core.alarms",
    "nodeset.core.answers",
    "nodeset.core.batch",
    "nodeset.core.blocks",
    "nodeset.core.calls.callframes",
    "nodeset.core.calls.claims",
    "nodeset.core.calls.crew",
    "nodeset.core.calls.desk",
    "nodeset.core.calls.lane",
    "nodeset.core.calls.parcel",
    "nodeset.core.calls.party",
    "nodeset.core.calls.recollection",
    "nodeset.core.calls.signature",
    "nodeset.core.calls.switchboard",
    "nodeset.core.codec",
    "nodeset.core.deadlines",
    "nodeset.core.duplicates",
    "nodeset.core.exchange",
    "nodeset.core.figures.figures",
    "nodeset.core.figures.histogram",
    "nodeset.core.figures.rates",
    "nodeset.core.figures.reading",
    "nodeset.core.grants.admission",
    "nodeset.core.grants.authority",
    "nodeset.core.grants.chain",
    "nodeset.core.grants.revocations",
    "nodeset.core.grants.rights",
    "nodeset.core.grants.warrants",
    "nodeset.core.headers",
    "nodeset.core.heartbeat",
    "nodeset.core.hello",
    "nodeset.core.inbox",
    "nodeset.core.interfaces",
    "nodeset.core.kinds",
    "nodeset.core.lifetime",
    "nodeset.core.likeness",
    "nodeset.core.limits",
    "nodeset.core.message",
    "nodeset.core.meta",
    "nodeset.core.outbox",
    "nodeset.core.pending",
    "nodeset.core.presence.census",
    "nodeset.core.presence.listing",
    "nodeset.core.presence.standing",
    "nodeset.core.presence.telling",
    "nodeset.core.queueing",
    "nodeset.core.ranges",
    "nodeset.core.retained.handing",
    "nodeset.core.retained.keepers",
    "nodeset.core.retained.store",
    "nodeset.core.router",
    "nodeset.core.routing",
    "nodeset.core.screen",
    "nodeset.core.seldom",
    "nodeset.core.session",
    "nodeset.core.settling",
    "nodeset.core.spans",
    "nodeset.core.stats.format",
    "nodeset.core.stats.metric",
    "nodeset.core.stats.types",
    "nodeset.core.streams.chunks",
    "nodeset.core.streams.formatter",
    "nodeset.core.streams.matchmaker",
    "nodeset.core.syntax",
    "nodeset.core.takers",
    "nodeset.core.traceparent",
    "nodeset.core.values",
    "nodeset.monitor.totals",
    "nodeset.shell.plain",
    "nodeset.transport.endpoint",
    "nodeset.settings.readers",
    "nodeset.web.access.bearer",
    "nodeset.web.access.hosts",
    "nodeset.web.access.keyring",
    "nodeset.web.access.nonces",
    "nodeset.web.access.origins",
    "nodeset.web.access.rates",
    "nodeset.web.access.signature",
    "nodeset.web.access.tickets",
    "nodeset.web.forms",
    "nodeset.web.problem",
    "nodeset.web.api.batch",
    "nodeset.web.api.media",
    "nodeset.web.api.memory",
    "nodeset.web.api.wishes",
    "nodeset.web.feeds.formats",
    "nodeset.web.feeds.latest",
    "nodeset.web.feeds.ring",
    "nodeset.web.figures.busiest",
    "nodeset.web.figures.history",
    "nodeset.web.figures.reading",
    "nodeset.web.legacy.words",
    "nodeset.web.sockets.frames",
    "nodeset.web.sockets.outflow",
    "nodeset.web.sockets.pulse",
}
OUTSIDE = ("foolscap", "time", "os", "socket", "select", "selectors", "subprocess", "threading")
#: D4: the stack of messages under construction is one per thread.
PURE_EXCEPTIONS = {("nodeset.core.message", "threading")}

WINGS = {"monitor", "shell", "web", "processes", "agent", "cages", "nexus", "federation"}
#: The one wing that stands on another.
WING_EXCEPTIONS = {("agent", "processes")}

MOST_LINES = 400
PLUGIN = "twisted/plugins/nodeset_plugin.py"
REACTOR = re.compile(r"twisted\.internet\.(\w*reactor)(\.|$)")


@attrs.frozen
class Import:
    """One imported name: `target` is absolute, dotted down to the name itself; `deep` means inside a function."""

    target: str
    line: int
    deep: bool

    def isOf(self, package: str) -> bool:
        return self.target == package or self.target.startswith(f"{package}.")


@attrs.frozen(eq=False)
class Room:
    """One module of the house."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    def says(self, line: int, what: str) -> str:
        return f"{self.path.name}:{line}: {self.name} {what}"


def readRoom(root: Path, path: Path) -> Room:
    parts = path.relative_to(root).with_suffix("").parts
    return _makeRoom(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path, path.read_text("utf-8"))


@lru_cache(2048)  # each rule reads the whole house
def _makeRoom(name: str, path: Path, text: str) -> Room:
    return Room(name, path, text, ast.parse(text))


def readRooms(root: Path) -> list[Room]:
    """Every module of nodeset."""
    return [readRoom(root, path) for path in sorted((root / "nodeset").rglob("*.py"))]


@lru_cache(2048)
def importsOf(room: Room) -> list[Import]:
    """Everything that a module imports, wherever in it."""
    return list(_findImports(room))


def _findImports(room: Room) -> Iterator[Import]:
    for node, deep in _walk(room):
        match node:
            case ast.Import():
                yield from (Import(alias.name, node.lineno, deep) for alias in node.names)
            case ast.ImportFrom():
                base = _absolute(room, node)
                yield from (Import(f"{base}.{alias.name}", node.lineno, deep) for alias in node.names)
            case ast.Call(args=[ast.Constant(value=str(target)), *_]) if _isImporting(node.func):
                yield Import(target, node.lineno, deep)


@lru_cache(2048)
def _walk(room: Room) -> list[tuple[ast.AST, bool]]:
    """All that may import or print, in the order of the source; with whether it is inside a function."""
    found: list[tuple[ast.AST, bool]] = []
    todo: list[tuple[ast.AST, bool]] = [(room.tree, False)]
    while todo:
        node, deep = todo.pop()
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            found.append((node, deep))
        deep = deep or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        todo += [(child, deep) for child in reversed(list(ast.iter_child_nodes(node)))]
    return found


def _absolute(room: Room, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = room.name.split(".") if room.path.name == "__init__.py" else room.name.split(".")[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def _isImporting(called: ast.expr) -> bool:
    match called:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in ("import_module", "__import__", "namedAny", "namedModule")
        case _:
            return False


def _roomOf(target: str, names: set[str]) -> str:
    """The module of which `target` is a name: the longest part of it that is one."""
    while target not in names and "." in target:
        target = target.rpartition(".")[0]
    return target


# The walls, each with its reason in the design, section 4.


def impurities(root: Path) -> list[str]:
    """Pure rooms import no reactor, wire, clock or machine, neither themselves nor by a room that is not pure."""
    rooms = readRooms(root)
    names = {room.name for room in rooms}
    found = []
    for room in rooms:
        if room.name not in PURE:
            continue
        for each in importsOf(room):
            outside = next((name for name in OUTSIDE if each.isOf(name)), "")
            if (outside and (room.name, outside) not in PURE_EXCEPTIONS) or REACTOR.match(each.target):
                found.append(room.says(each.line, f"is pure, yet imports {each.target}"))
            elif each.isOf("nodeset") and _roomOf(each.target, names) not in PURE:
                found.append(room.says(each.line, f"is pure, yet imports {each.target}, which is not"))
    return found


def upwardImports(root: Path) -> list[str]:
    """Core imports neither transport nor anything above; transport nothing above.

    The one exception is core/node, which names its default transport inside a function.
    """
    found = []
    for room in readRooms(root):
        for each in importsOf(room):
            toward = _houseOf(each.target)
            match _houseOf(room.name):
                case "core":
                    lazily = room.name == "nodeset.core.node" and toward == "transport" and each.deep
                    wrong = toward in {"transport", "cli", *WINGS} and not lazily
                case "transport":
                    wrong = toward in {"cli", *WINGS}
                case _:
                    wrong = False
            if wrong:
                found.append(room.says(each.line, f"imports {each.target} of the rooms above it"))
    return found


def strayFoolscap(root: Path) -> list[str]:
    """Only transport imports Foolscap."""
    return [
        room.says(each.line, f"imports {each.target}: only nodeset.transport may")
        for room in readRooms(root)
        for each in importsOf(room)
        if each.isOf("foolscap") and _houseOf(room.name) != "transport"
    ]


def strayReactors(root: Path) -> list[str]:
    """Only cli, transport/tub and, inside a function, core/node, processes/starting/wardens import the reactor.

    The latter since `Popen` shall be a drop-in: whose caller knows of no reactor, as that of subprocess does not.
    """
    return [
        room.says(each.line, f"imports {each.target}: take a clock or a reactor as an argument")
        for room in readRooms(root)
        for each in importsOf(room)
        if REACTOR.match(each.target) and not _mayReact(room, each)
    ]


def _mayReact(room: Room, each: Import) -> bool:
    lazily = room.name in ("nodeset.core.node", "nodeset.processes.starting.wardens") and each.deep
    return _houseOf(room.name) == "cli" or room.name == "nodeset.transport.tub" or lazily


def crossedWings(root: Path) -> list[str]:
    """Wings import core, never each other (except agent, which stands on processes)."""
    found = []
    for room in readRooms(root):
        wing = _houseOf(room.name)
        for each in importsOf(room):
            other = _houseOf(each.target)
            if {wing, other} <= WINGS and wing != other and (wing, other) not in WING_EXCEPTIONS:
                found.append(room.says(each.line, f"imports {each.target} of another wing"))
    return found


def earlyDoor(root: Path) -> list[str]:
    """The front door imports no reactor at its top, no Foolscap (which installs one), no room that names them."""
    return [
        room.says(each.line, f"imports {each.target} at the top: --reactor would come too late")
        for room in readRooms(root)
        if room.name == "nodeset"
        for each in importsOf(room)
        if not each.deep and (each.isOf("foolscap") or REACTOR.match(each.target) or _houseOf(each.target) == "transport")
    ]


def eagerPlugin(root: Path) -> list[str]:
    """The plugin that twistd reads for every command imports nothing of nodeset."""
    room = readRoom(root, root / PLUGIN)
    return [room.says(each.line, f"imports {each.target}") for each in importsOf(room) if each.isOf("nodeset")] + [
        f"{path} would overwrite Twisted's own"
        for path in ("twisted/__init__.py", "twisted/plugins/__init__.py")
        if (root / path).exists()
    ]


def crowdedRooms(root: Path) -> list[str]:
    """A room opens with one sentence that needs no "and", holds at most 400 lines, prints nothing (except in cli)."""
    found = []
    for room in readRooms(root):
        sentence = (ast.get_docstring(room.tree) or "").partition("\n")[0]
        if not sentence.endswith("."):
            found.append(room.says(1, "does not open with one line that is a sentence"))
        if re.search(r"\band\b", sentence):
            found.append(room.says(1, 'needs "and" to say what it is: build a wall'))
        lines = len(room.text.splitlines())
        if lines > MOST_LINES:
            found.append(room.says(lines, f"has {lines} lines, over {MOST_LINES}: split it"))
        if _houseOf(room.name) != "cli":
            found.extend(room.says(line, "prints: log an event instead") for line in _prints(room))
    return found


def _prints(room: Room) -> list[int]:
    return [
        node.lineno
        for node, _ in _walk(room)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def _houseOf(name: str) -> str:
    """The part of nodeset that a dotted name lies in, `core` for `nodeset.core.node`; empty for all else."""
    parts = name.split(".")
    return parts[1] if parts[0] == "nodeset" and len(parts) > 1 else ""


Rule = Callable[[Path], list[str]]

#: Each rule with violations of it: where the lines are planted, the lines, a part of the complaint.
PLANTED: list[tuple[Rule, str, str, str]] = [
    (impurities, "nodeset/core/routing.py", "import time", "imports time"),
    (impurities, "nodeset/core/routing.py", "from os import path", "imports os.path"),
    (impurities, "nodeset/core/routing.py", "def f():\n    import socket", "imports socket"),
    (impurities, "nodeset/core/codec.py", "import threading", "imports threading"),
    (impurities, "nodeset/core/message.py", "import subprocess", "imports subprocess"),
    (impurities, "nodeset/core/batch.py", "from twisted.internet import reactor", "imports twisted.internet.reactor"),
    (impurities, "nodeset/core/batch.py", "if TYPE_CHECKING:\n    from foolscap.api import Tub", "imports foolscap"),
    (impurities, "nodeset/core/exchange.py", "from nodeset.core import config", "config, which is not"),
    (impurities, "nodeset/core/exchange.py", "from .config import Configurator", "Configurator, which is not"),
    (upwardImports, "nodeset/core/peer.py", "from nodeset.transport import memory", "rooms above"),
    (upwardImports, "nodeset/core/peer.py", "def f():\n    from ..transport.tub import dial", "rooms above"),
    (upwardImports, "nodeset/core/node.py", "from nodeset.transport import tub", "rooms above"),
    (upwardImports, "nodeset/core/node.py", "def f():\n    import nodeset.web", "rooms above"),
    (upwardImports, "nodeset/transport/tub.py", "if TYPE_CHECKING:\n    import nodeset.cli", "rooms above"),
    (strayFoolscap, "nodeset/core/peer.py", "async def f():\n    import foolscap.api", "only nodeset.transport"),
    (strayFoolscap, "nodeset/cli/dispatch.py", "import_module('foolscap.api')", "only nodeset.transport"),
    (strayReactors, "nodeset/core/node.py", "from twisted.internet import reactor", "take a clock"),
    (strayReactors, "nodeset/processes/starting/wardens.py", "from twisted.internet import reactor", "take a clock"),
    (strayReactors, "nodeset/processes/boss.py", "def f():\n    import twisted.internet.reactor", "take a clock"),
    (strayReactors, "nodeset/transport/memory.py", "def f():\n    import twisted.internet.reactor", "take a clock"),
    (strayReactors, "nodeset/core/peer.py", "from twisted.internet import epollreactor", "take a clock"),
    (crossedWings, "nodeset/web/bridge.py", "def f():\n    from nodeset.cages import cage", "another wing"),
    (crossedWings, "nodeset/processes/boss.py", "import nodeset.agent", "another wing"),
    (earlyDoor, "nodeset/__init__.py", "from twisted.internet import reactor", "at the top"),
    (earlyDoor, "nodeset/__init__.py", "try:\n    import foolscap\nfinally:\n    pass", "at the top"),
    (eagerPlugin, PLUGIN, "from nodeset.version import __version__", "imports nodeset.version"),
    (eagerPlugin, "twisted/plugins/__init__.py", "", "overwrite"),
    (crowdedRooms, "nodeset/core/peer.py", '"""Nodes and links."""', "build a wall"),
    (crowdedRooms, "nodeset/core/peer.py", '"""What a node\nis."""', "one line that is a sentence"),
    (crowdedRooms, "nodeset/core/peer.py", "x = 1", "one line that is a sentence"),
    (crowdedRooms, "nodeset/core/peer.py", '"""Long."""' + "\n" * 401, "split it"),
    (crowdedRooms, "nodeset/core/peer.py", '"""Loud."""\ndef f():\n    print(1)', "log an event"),
]
RULES: list[Rule] = list(dict.fromkeys(rule for rule, *_ in PLANTED))


def buildHouse(root: Path) -> None:
    """A small house under `root` in which every rule holds, with each of their exceptions made use of."""
    rooms = {
        "__init__": '"""The door."""\ndef __getattr__(name):\n    from nodeset.core.node import Node\n    return Node',
        "errors": '"""What went wrong."""',
        "core/config": '"""One settings value."""\nimport os',
        "core/message": '"""What is sent."""\nimport threading\nfrom nodeset import errors',
        "core/node": '"""A node."""\ndef f():\n    from twisted.internet import reactor\n    from ..transport import tub',
        "transport/tub": '"""Tubs."""\nimport foolscap.api\nfrom twisted.internet import reactor\nimport nodeset.core.node',
        "processes/boss": '"""Children."""\nimport nodeset.core.node',
        "agent/rooms": '"""Procfiles."""\nfrom nodeset.processes.boss import Boss',
        "cli/dispatch": '"""The command."""\nfrom twisted.internet import reactor\nprint(reactor)',
    }
    for name, text in rooms.items():
        plant(root, f"nodeset/{name}.py", text)
    plant(root, PLUGIN, '"""Names."""\nfrom twisted.application.service import ServiceMaker')


def plant(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(f"{text}\n", "utf-8")


class LayerTests(SynchronousTestCase):
    @classmethod
    def tearDownClass(cls) -> None:
        for kept in (_makeRoom, importsOf, _walk):  # half a million objects, for the collector to look through in later tests
            kept.cache_clear()

    def test_walls(self) -> None:
        """No module of NodeSet imports through a wall, none is crowded."""
        self.assertEqual([complaint for rule in RULES for complaint in rule(ROOT)], [])

    def test_plantedViolations(self) -> None:
        """Each wall sees a violation that is planted in a house where nothing else is wrong."""
        for rule, path, text, complaint in PLANTED:
            root = Path(self.mktemp())
            buildHouse(root)
            self.assertEqual(rule(root), [], f"{rule.__name__} complains of a sound house")
            plant(root, path, text)
            found = rule(root)
            self.assertEqual(len(found), 1, f"{rule.__name__} on {text!r} in {path}: {found}")
            self.assertIn(complaint, found[0])
            self.assertIn(Path(path).name, found[0])

    def test_importsSeen(self) -> None:
        """An import is seen wherever it stands, by its absolute name."""
        room = Room("nodeset.core.x", Path("x.py"), "", ast.parse("from . import a\nfrom ..b import c\nimport d.e as f"))
        self.assertEqual([each.target for each in importsOf(room)], ["nodeset.core.a", "nodeset.b.c", "d.e"])
        package = Room("nodeset.core", Path("__init__.py"), "", ast.parse("from .a import b\nlambda: __import__('c')"))
        self.assertEqual([(e.target, e.deep) for e in importsOf(package)], [("nodeset.core.a.b", False), ("c", True)])

    def test_frontDoorInstallsNoReactor(self) -> None:
        """`import nodeset`, then using every name that it offers, leaves the choice of the reactor to the program."""
        program = (
            "import sys, nodeset; [getattr(nodeset, name) for name in getattr(nodeset, '__all__', [])]; "
            "print([name for name in ('twisted.internet.reactor', 'foolscap') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual((done.stdout.strip(), done.stderr), ("[]", ""))
