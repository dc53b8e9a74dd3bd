"""nodeset-monitor as a process: what it shows, what it makes of a dispatcher that comes and goes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.request
from typing import Any

from nodeset.cli import monitor
from nodeset.errors import BadSettings
from nodeset.settings import load
from tests.commands import DISPATCHER, TWISTD, CommandCase
from tests.test_cli import parse

MONITOR = ["-m", "nodeset", "monitor"]


class OptionTests(CommandCase):
    """What it can be told."""

    def test_options(self) -> None:
        """A console script takes these, `--rrdsrv` as it always did."""
        words = ["-n", "--interval", "2", "--metrics=9464", "--max-labels", "7", "--rrdsrv", "localhost:1", "--json"]
        options = parse(monitor.Options, *words)
        found = load({}, options.chosen())
        self.assertEqual((found.interval, found.metrics, found.max_labels), (2.0, "localhost:9464", 7))
        self.assertEqual((found.rrdsrv, found.json), ("localhost:1", True))

    def test_bad(self) -> None:
        """What cannot be is one line with exit code 2."""
        for part, name, value in (
            ("--interval: '0.1' is too often", "interval", "0.1"),
            ("--interval: 'nan' is no time", "interval", "nan"),
            ("--metrics: 'here' is no place to listen", "metrics", "here"),
            ("--metrics: ':9464' is no place", "metrics", ":9464"),
            ("--metrics: 'localhost:99999'", "metrics", "localhost:99999"),
            ("--max-labels: '0' is no number", "max-labels", "0"),
            ("--max-labels: '1001' is no number", "max-labels", "1001"),
        ):
            self.assertIn(part, str(self.assertRaises(BadSettings, load, {}, {name: value})))
        self.refuses(2, "--metrics: '192.0.2.1' is not an address of this machine", *MONITOR, "--metrics", "192.0.2.1:9464")

    def test_settings(self) -> None:
        """A port alone is one of this machine; the environment and a number do as well."""
        found = load({"NODESET_METRICS": "9464", "NODESET_MAX_LABELS": "3"}, {"interval": 2})
        self.assertEqual((found.metrics, found.max_labels, found.interval), ("localhost:9464", 3, 2.0))
        self.assertEqual((load({}, {}).metrics, load({}, {"metrics": 0}).metrics), (None, "localhost:0"))
        self.assertEqual(load({}, {"metrics": "[::1]:80"}).metrics, "[::1]:80")

    def test_portTaken(self) -> None:
        """A port that is taken is one line with exit code 1, under twistd too."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = str(taken.getsockname()[1])
            self.refuses(1, f"port {port} of 127.0.0.1 is taken", *MONITOR, "--metrics", port)
            self.refuses(1, "choose another --metrics", *TWISTD, "-n", "--pidfile=", "nodeset-monitor", "--metrics", port)

    def test_withoutPackage(self) -> None:
        """Without prometheus-client `--metrics` says what to install; without `--metrics` it is not missed."""
        (self.home / "prometheus_client.py").write_text("raise ImportError('No module named prometheus_client')\n")
        self.refuses(2, "pip install 'nodeset[metrics]'", *MONITOR, "--metrics", "0")
        self.startDispatcher()
        child = self.spawn(*MONITOR, "--interval", "0.5")
        self.assertIn("events/s 0", self.awaitLine(child, "nodes 1"))
        self.assertEqual(self.stop(child), 0)

    def test_refused(self) -> None:
        """With a FURL that leads to nobody who knows it, it ends with one line and exit code 1."""
        furl = self.home / "refused.furl"
        self.startDispatcher("--furlfile", str(furl))
        refused = furl.read_text().strip().rpartition("/")[0] + "/nobodyknowsthisname"
        self.refuses(1, "does not know this FURL", *MONITOR, "--loglevel", "crit", NODESET_DISPATCHER=refused)
        other = "pb://" + "a" * 32 + refused[refused.index("@") :]
        self.refuses(1, "tub identity mismatch", *MONITOR, "--loglevel", "crit", NODESET_DISPATCHER=other)


class WatchTests(CommandCase):
    """With real dispatchers."""

    def startMonitor(self, *words: str) -> tuple[subprocess.Popen[str], str]:
        """One that shows metrics; with their address."""
        child = self.spawn(*MONITOR, "--json", "--interval", "0.5", "--metrics", "0", *words)
        assert child.stderr is not None
        for line in child.stderr:
            if "metrics are at " in line:
                return child, line.rpartition(" ")[2].strip()
        self.fail("it shows no metrics")

    def startAt(self, port: int) -> subprocess.Popen[str]:
        """A dispatcher on this port."""
        child = self.spawn(*DISPATCHER, "-n", "--listen", f"localhost:{port}")
        self.awaitLine(child, "listening on")
        return child

    def scrape(self, address: str) -> str:
        """What Prometheus would get."""
        with urllib.request.urlopen(address, timeout=10) as answer:
            text: bytes = answer.read()
        return text.decode()

    def look(self, child: subprocess.Popen[str], up: bool) -> Any:
        """The next line that says that the dispatcher is up, or that it is not."""
        return json.loads(self.awaitLine(child, f'"up": {str(up).lower()}'))

    def test_comesAndGoes(self) -> None:
        """Started before the dispatcher it waits; it sees it come, die, come back; SIGTERM ends it with 0."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        child, address = self.startMonitor("--dispatcher-url", f"pbu://localhost:{port}/dispatcher")
        self.assertIn("\nnodeset_up 0.0\n", self.scrape(address))
        dispatcher = self.startAt(port)
        told = self.look(child, True)
        self.assertEqual((told["nodes"], told["fds"] < told["max_fds"], told["rss"] > 10_000_000), (1, True, True))
        dispatcher.send_signal(signal.SIGKILL)
        dispatcher.communicate()
        self.assertEqual(self.look(child, False), {"up": False})
        self.assertIn("\nnodeset_up 0.0\n", self.scrape(address))
        self.startAt(port)
        self.assertGreater(self.look(child, True)["uptime"], 0)
        self.assertEqual(self.stop(child), 0)
