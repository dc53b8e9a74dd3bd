"""One schema for all options: what the services offer, what the documents say of it."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path

import attrs
from twisted.application.service import ServiceMaker
from twisted.plugins import nodeset_plugin
from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.options import CommonOptions, withTwistd
from nodeset.settings import NAMES, SERVICES, Settings, environmentName
from nodeset.settings.changes import compare
from nodeset.settings.schema import DISPATCHER, PROCESSES, aboutOf, dashed, namesOf
from nodeset.settings.shown import helpOf, table

ROOT = Path(__file__).resolve().parent.parent
#: What no file nor variable has a say in, beside what a command takes without effect: what makes it say something and end,
#: what is another word for a setting.
ALONE = {"help", "version", "print-config", "check", "json", "debug"}


def services() -> dict[str, type[CommonOptions]]:
    """The options of every service, by its table."""
    makers = [each for each in vars(nodeset_plugin).values() if isinstance(each, ServiceMaker)]
    return {each.tapname.removeprefix("nodeset-"): import_module(each.module).Options for each in makers}


class SchemaTests(SynchronousTestCase):
    def test_everyOption(self) -> None:
        """Every option of every service is a setting, so that a file and a variable can give it too."""
        for service, ours in services().items():
            self.assertEqual(ours.service, service)
            known = {dashed(name) for name in namesOf(service)} | ALONE | set(ours.idle) | set(ours.elsewhere)
            self.assertEqual({each.rstrip("=") for each in ours().longOpt} - known, set(), service)

    def test_everySetting(self) -> None:
        """Every setting of a service is an option of its script, with the help that the schema has."""
        for service, ours in services().items():
            options = withTwistd(ours, "x")
            for name in namesOf(service):
                self.assertIn(dashed(name), {each.rstrip("=") for each in options.longOpt}, service)
                if not aboutOf(name).twistd:
                    text = " ".join(str(options.docs.get(dashed(name)) or getattr(options, f"opt_{name}").__doc__).split())
                    self.assertEqual(text, helpOf(service, name))

    def test_twistds(self) -> None:
        """What is said to be an option of twistd's is one, or would be if its script did not say more of it."""
        theirs = {each.rstrip("=") for each in getattr(twistd, "ServerOptions")().longOpt}  # noqa: B009  # its __all__ forgets it
        self.assertEqual({name for name in NAMES if aboutOf(name).twistd} - theirs, set())

    def test_told(self) -> None:
        """Of every field of the settings is told what it is for, and for whom."""
        inner = {"given", "environment", "origins", "warnings"}
        self.assertEqual(set(attrs.fields_dict(Settings)) - set(NAMES), inner)
        for name in NAMES:
            self.assertGreater(len(aboutOf(name).help), 5)
            self.assertTrue(set(aboutOf(name).services) <= set(SERVICES))
            self.assertFalse(aboutOf(name).help.endswith("."), name)

    def test_twistdsValues(self) -> None:
        """From file or environment twistd is told what its options would tell it; an option wins."""
        environ = {"NODESET_UMASK": "027", "NODESET_UID": "0", "NODESET_LOGFILE": "a.log", "NODESET_NODAEMON": "yes"}
        self.patch(os, "environ", environ)
        Path("x.toml").write_text("")
        for ours in services().values():
            options = withTwistd(ours, "x.pid")
            options.parseOptions(["--logfile", "b.log", *(["x.toml"] if ours.service == PROCESSES else [])])
            found = [options[name] for name in ("umask", "uid", "gid", "nodaemon", "logfile", "pidfile")]
            self.assertEqual(found, [0o27, 0, None, 1, "b.log", ""])
            self.assertEqual(options.settle().origins["logfile"], "--logfile")
        environ["NODESET_NODAEMON"], environ["NODESET_RUNDIR"] = "no", "/run/y"
        options = withTwistd(services()["node"], "x.pid")
        options.parseOptions([])
        self.assertEqual((options["nodaemon"], options["pidfile"]), (0, "/run/y/x.pid"))

    def test_table(self) -> None:
        """docs/configuration.md has the table that the schema makes."""
        text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
        self.assertIn(table(), text, f"it should have\n{table()}")

    def test_names(self) -> None:
        """No document speaks of a variable that does not exist."""
        known = {environmentName(name) for name in NAMES} | {"NODESET_DISPATCHER_FURL"}
        for path in (ROOT / "docs" / "configuration.md", ROOT / "examples" / "deploy" / "README.md"):
            self.assertEqual(set(re.findall(r"NODESET_[A-Z_]+\b", path.read_text("utf-8"))) - known, set(), path.name)


class CompareTests(SynchronousTestCase):
    """What SIGHUP changes."""

    def test_changes(self) -> None:
        """What can be changed is, with where it comes from; the rest is named, and stays."""
        old = Settings(site="a", origins={"site": "f:1"})
        new = Settings(site="b", max_nodes=3, event="x", origins={"site": "f:2", "max_nodes": "f:3"})
        found = compare(old, new, DISPATCHER)
        self.assertEqual((found.changed, found.stuck), (["max_nodes"], ["site"]))
        self.assertEqual((found.settings.max_nodes, found.settings.site, found.settings.event), (3, "a", None))
        self.assertEqual(dict(found.settings.origins), {"site": "f:1", "max_nodes": "f:3"})

    def test_noChange(self) -> None:
        """A setting that moved to another line, or layer, has not changed; a default that is said to be one has."""
        old = Settings(site="a", origins={"site": "f:1"})
        found = compare(old, Settings(site="a", given=frozenset({"site"}), origins={"site": "--site"}), DISPATCHER)
        self.assertEqual((found.changed, found.stuck), ([], []))
        found = compare(old, Settings(site="a", origins={"site": "f:1", "listen": "f:2"}), DISPATCHER)
        self.assertEqual((found.changed, found.stuck), ([], ["listen"]))
