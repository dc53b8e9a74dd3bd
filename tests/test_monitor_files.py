"""The dashboard with the alert rules: they speak of what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import skipIf

from prometheus_client.parser import text_string_to_metric_families

from nodeset.monitor.exposition import Exposition
from tests.sites import Quiet, Shop
from tests.test_monitor import WatchCase

FILES = Path(__file__).resolve().parent.parent / "examples" / "monitoring"
PROMTOOL = shutil.which("promtool")
NO_PROMTOOL = "promtool is not installed (Debian: apt-get install prometheus)"
_METRIC = re.compile(r"\bnodeset_\w+")


def promtool(*words: str, text: bytes = b"") -> str:
    """What it says; an AssertionError when it complains."""
    done = subprocess.run([str(PROMTOOL), *words], cwd=FILES, input=text, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    if done.returncode:
        raise AssertionError(f"promtool {' '.join(words)} ended with {done.returncode}:\n{said}")
    return said


class FileTests(WatchCase):
    """What examples/monitoring holds."""

    def scrape(self) -> bytes:
        """What a monitor shows of a site where something of everything happened."""
        self.watch()
        pub, shop = self.site.node(Quiet, name="pub"), self.site.node(Shop, name='sh"op\\')
        self.site.wait(shop.subscribe("orders.new", policy="drop_oldest", max_events=1))
        for number in range(20):
            self.publishes(pub, number)
        self.site.advance(10.0)
        return Exposition(self.overview).text()

    def names(self) -> set[str]:
        """The names of all series."""
        families = text_string_to_metric_families(self.scrape().decode())
        return {sample.name for family in families for sample in family.samples}

    def test_dashboard(self) -> None:
        """Each panel of the dashboard asks for metrics that are shown; nearly all that are shown are in a panel."""
        told = self.names()
        dashboard = json.loads((FILES / "dashboard.json").read_text("utf-8"))
        asked: set[str] = set()
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                found = set(_METRIC.findall(target["expr"]))
                self.assertTrue(found, panel["title"])
                self.assertLessEqual(found, told, panel["title"])
                asked |= found
        for text in self.queries(dashboard):
            self.assertLessEqual(set(_METRIC.findall(text)), told, text)
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
        self.assertGreater(len(asked), 20)

    def queries(self, dashboard: Any) -> list[str]:
        """What it asks for beside its panels."""
        variables = [each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
        return [*variables, *(each["expr"] for each in dashboard["annotations"]["list"])]

    def test_rules(self) -> None:
        """Each alert is about metrics that are shown, says what has happened and what to do."""
        told = self.names()
        text = (FILES / "alerts.yml").read_text("utf-8")
        expressions = re.findall(r"^ +expr: (.+)$", text, re.MULTILINE)
        self.assertGreaterEqual(len(expressions), 7)
        for expression in expressions:
            found = set(_METRIC.findall(expression))
            self.assertTrue(found and found <= told, expression)
        for part in ("summary: ", "action: ", "severity: "):
            self.assertEqual(text.count(part), len(expressions), part)

    @skipIf(PROMTOOL is None, NO_PROMTOOL)
    def test_promtool(self) -> None:
        """Prometheus's own tool finds nothing wrong with a scrape, the rules, the configuration; the rules' tests pass."""
        promtool("check", "metrics", text=self.scrape())
        promtool("check", "config", "prometheus.yml")
        promtool("check", "rules", "alerts.yml")
        self.assertIn("SUCCESS", promtool("test", "rules", "alerts_test.yml"))
