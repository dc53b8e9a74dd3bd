"""The files in examples/deploy: units that systemd takes, settings that load, a Dockerfile whose commands exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli import dispatch
from nodeset.processes.programs.file import readPrograms
from nodeset.settings import SERVICES, load
from nodeset.settings.file import readFile
from nodeset.settings.schema import NAMES, environmentName
from tests.documents import commandsIn, consoleLines
from tests.test_cli import parse
from tests.test_docs import complainCommand, complainService

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "examples" / "deploy"
UNITS = sorted(path for path in DEPLOY.rglob("*") if path.suffix in (".service", ".socket", ".conf"))
PREFIX = "/opt/nodeset/bin/"


class UnitTests(SynchronousTestCase):
    """systemd."""

    def verify(self, directory: Path) -> str:
        """What systemd complains about in the units of this directory, where everything that they run is there."""
        scripts = Path(sys.executable).parent
        for path in directory.rglob("*"):
            if path.is_file():
                path.write_text(path.read_text("utf-8").replace(PREFIX, f"{scripts}/"), "utf-8")
        units = [str(path) for path in directory.iterdir() if path.is_file()]
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr + (f"exit code {done.returncode}" if done.returncode else "")

    def copy(self) -> Path:
        """A directory with all units, the template as one of its instances."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        for path in UNITS:
            copy = directory / str(path.relative_to(DEPLOY)).replace("@", "@kitchen")
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(path.read_text("utf-8"), "utf-8")
        return directory

    def test_verify(self) -> None:
        """systemd has nothing to say against the units; it sees a mistake."""
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed (Debian: apt-get install systemd)")
        directory = self.copy()
        self.assertEqual(self.verify(directory), "")
        unit = directory / "nodeset-dispatcher.service"
        unit.write_text(unit.read_text("utf-8").replace("Restart=always", "Restart=allways"), "utf-8")
        self.assertIn("allways", self.verify(directory))

    def test_promises(self) -> None:
        """Each service comes back when it ended, may write to its own directory alone, is reloaded by SIGHUP."""
        services = [path for path in UNITS if path.suffix == ".service"]
        self.assertEqual(len(services), 5)
        for path in services:
            text = path.read_text("utf-8")
            promised = ["Type=exec", "Restart=always"]
            if path.name != "nodeset-processes.service":  # its programs are whatever somebody runs
                promised += ["NoNewPrivileges=yes", "ProtectSystem=strict", "DynamicUser=yes"]
            for line in promised:
                self.assertIn(f"\n{line}\n", text, path.name)
            self.assertRegex(text, r"\nLimitNOFILE=\d+\n")
            self.assertEqual("kill -HUP $MAINPID" in text, "@" not in path.name)

    def test_variables(self) -> None:
        """Every variable that a unit sets is one that is read, every command one that is installed."""
        known = {environmentName(name) for name in NAMES}
        setup = (ROOT / "setup.py").read_text("utf-8")
        for path in UNITS:
            text = path.read_text("utf-8")
            self.assertEqual(set(re.findall(r"NODESET_\w+", text)) - known, set(), path.name)
            for command in re.findall(rf"^ExecStart={PREFIX}(nodeset\S+)", text, re.MULTILINE):
                self.assertIn(f'"{command} = ', setup)


class FileTests(SynchronousTestCase):
    """nodeset.toml, README.md, Dockerfile."""

    def test_settings(self) -> None:
        """The file of settings is right for every service, and holds no secret."""
        path = str(DEPLOY / "nodeset.toml")
        for service in SERVICES:
            found = load({}, {"config": path}, service)
            self.assertEqual(found.warnings, ())
        tables = readFile(path, "--config").values
        self.assertEqual(set(tables), {"", "dispatcher", "node", "monitor", "web"})
        # The descriptors that the unit allows are enough for the nodes that the file allows.
        unit = (DEPLOY / "nodeset-dispatcher.service").read_text("utf-8")
        limit, patience = (
            int(re.findall(rf"^{name}=(\d+)$", unit, re.MULTILINE)[0]) for name in ("LimitNOFILE", "TimeoutStopSec")
        )
        found = load({}, {"config": path}, "dispatcher")
        self.assertGreater(limit, found.max_nodes + 100)
        self.assertGreater(patience, found.drain_timeout + 5)
        unit = (DEPLOY / "nodeset-web.service").read_text("utf-8")
        [limit] = map(int, re.findall(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE))
        self.assertGreater(limit, load({}, {"config": path}, "web").max_connections + 1000)

    def test_programs(self) -> None:
        """The file of programs is one."""
        path = str(DEPLOY / "programs.toml")
        self.assertEqual(list(readPrograms(path, "FILE").programs), ["hello"])
        self.assertIn("process.>", (DEPLOY / "README.md").read_text("utf-8"))

    def test_readme(self) -> None:
        """Every command of ours in the README is one that exists, every file is there."""
        seen = 0
        for line in consoleLines(DEPLOY / "README.md"):
            for name, *words in commandsIn(line):
                if name.rpartition("/")[2] == "nodeset":
                    self.assertEqual(complainCommand(words), "", line)
                    seen += 1
        self.assertGreater(seen, 0)
        for target in re.findall(r"\]\(([^):]+)\)", (DEPLOY / "README.md").read_text("utf-8")):
            self.assertTrue((DEPLOY / target).exists(), target)

    def test_dockerfile(self) -> None:
        """What the Dockerfile copies is there, what it runs are commands with their options, what it sets is right."""
        text = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
            for name in line.split():
                self.assertTrue((ROOT / name).exists(), name)
        [entry] = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
        name, *words = json.loads(entry)
        self.assertEqual((name, complainService(name, words)), ("nodeset-dispatcher", ""))
        [health] = re.findall(r"^HEALTHCHECK .* CMD (.*)$", text, re.MULTILINE)
        self.assertEqual(complainCommand(json.loads(health)[1:]), "")
        environ = dict(re.findall(r"(NODESET_\w+)=(\S+)", text))
        self.assertEqual(load(environ, parse(dispatch.Options, *words).chosen(), "dispatcher").listen, "0.0.0.0:5333")
        # The list of plugins is made as it is here.
        [program] = re.findall(r'python -c "(.*)"$', text, re.MULTILINE)
        exec(compile(program, "Dockerfile", "exec"), {})
        self.assertIn("\nUSER nodeset\n", text)
        self.assertNotIn("curl", text)
