"""What `nodeset doctor` makes of what was measured."""

from __future__ import annotations

import math
import stat
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.doctor import findings
from nodeset.cli.doctor.findings import Finding, Verdict
from nodeset.cli.doctor.premises import readRequirements
from nodeset.cli.share.meaning import meaningOf
from nodeset.core.grants.chain import mint
from nodeset.core.grants.rights import memberCaveat
from nodeset.core.limits import VERSION
from nodeset.version import __version__
from tests.chains import KEY, caveat

NOW = 1_700_000_000.0
DIRECTORY = stat.S_IFDIR


class FindingTests(SynchronousTestCase):
    """Each check by itself."""

    def fine(self, found: Finding) -> None:
        """Nothing is to be done."""
        self.assertEqual((found.verdict, found.todo), (Verdict.FINE, ""), found)

    def bad(self, verdict: Verdict, todo: str, found: Finding) -> None:
        """It says what to do."""
        self.assertEqual(found.verdict, verdict, found)
        self.assertIn(todo, found.todo)

    def test_software(self) -> None:
        """A package that is older than what we need is named, with the command that brings a newer one."""
        wanted = {"Twisted": "25.5"}
        self.fine(findings.softwareOf({"Python": "3.11.2", "Twisted": "25.5.0"}, wanted))
        self.fine(findings.softwareOf({"Twisted": "26.10.0rc1"}, wanted))
        self.bad(Verdict.FAILED, "pip install --upgrade 'Twisted>=25.5'", findings.softwareOf({"Twisted": "24.11.0"}, wanted))

    def test_requirements(self) -> None:
        """What the package says of what it needs is read, whatever else stands there."""
        lines = ["Twisted[tls]>=25.5", "attrs", 'click>=8.1; extra == "cli"', "ruff<0.18,>=0.17; extra == 'test'", "", "=;="]
        self.assertEqual(readRequirements(lines), ({"Twisted": "25.5"}, {"cli": ["click"]}))

    def test_extras(self) -> None:
        """An extra that is missing harms nobody who does not use it."""
        self.fine(findings.extrasOf([]))
        found = findings.extrasOf(["shell", "web"])
        self.fine(found)
        self.assertIn("'nodeset[shell]'", found.told)

    def test_limits(self) -> None:
        """Few files are a warning, with the way to more."""
        self.fine(findings.limitsOf(1024, 4096))
        self.fine(findings.limitsOf(-1, -1))
        self.bad(Verdict.WARNING, "ulimit -n 4096", findings.limitsOf(64, 4096))
        self.bad(Verdict.WARNING, "LimitNOFILE", findings.limitsOf(64, 64))

    def test_settings(self) -> None:
        """What sets something is named; a variable of ours that nobody knows is a warning."""
        self.fine(findings.settingsOf([], [], "", []))
        self.assertEqual(findings.settingsOf(["$NODESET_HOME"], [], "/n.toml", []).told, "/n.toml, $NODESET_HOME")
        self.bad(Verdict.WARNING, "$NODESET_HOEM", findings.settingsOf([], ["$NODESET_HOEM"], "", []))
        self.bad(Verdict.WARNING, "chmod", findings.settingsOf([], [], "/n.toml", ["others read it: chmod"]))

    def test_state(self) -> None:
        """A directory where others can write, or that is none, is a failure; none at all is not."""
        self.fine(findings.stateOf("/s", None, True))
        self.fine(findings.stateOf("/s", DIRECTORY | 0o700, True))
        self.bad(Verdict.FAILED, "chmod 700 /s", findings.stateOf("/s", DIRECTORY | 0o777, True))
        self.fine(findings.stateOf("/s", DIRECTORY | 0o755, True))
        self.fine(findings.stateOf("/s", DIRECTORY | 0o700, True, ["a.key"]))
        self.bad(Verdict.WARNING, "chmod 700 /s", findings.stateOf("/s", DIRECTORY | 0o755, True, ["a.key", "b.furl"]))
        self.bad(Verdict.FAILED, "NODESET_HOME", findings.stateOf("/s", stat.S_IFREG | 0o600, True))
        self.bad(Verdict.WARNING, "NODESET_HOME", findings.stateOf("/s", DIRECTORY | 0o700, False))

    def test_address(self) -> None:
        """A FURL that others can read is a warning, as is one that stands on a command line."""
        self.fine(findings.fileOf("default", "/f", 0o100600))
        self.bad(Verdict.WARNING, "chmod 600 /f", findings.fileOf("default", "/f", 0o100644))
        self.fine(findings.fileOf("$NODESET_DISPATCHER", None, None))
        self.bad(Verdict.WARNING, "@FILE", findings.fileOf("--dispatcher", None, None, "give @FILE"))

    def test_grant(self) -> None:
        """A grant that has ended is a failure, one that soon will a warning."""
        for ends, verdict in ((None, "fine"), (NOW + 7 * 86400, "fine"), (NOW + 60, "warning"), (NOW - 1, "failed")):
            name = mint(KEY, caveat(publish=["a"], expires=None if ends is None else int(ends)))
            self.assertEqual(findings.grantOf(meaningOf(name), NOW).verdict, verdict)
        self.fine(findings.grantOf(meaningOf(mint(KEY, memberCaveat(bytes(8)))), NOW))
        self.bad(Verdict.WARNING, "wrote last", findings.grantOf(meaningOf("dispatcher"), NOW))

    def test_roundTrip(self) -> None:
        """The middle one counts: the first may wait for much. None is a failure."""
        self.fine(findings.roundTripOf([0.9, 0.001, 0.002]))
        self.bad(Verdict.WARNING, "network", findings.roundTripOf([0.3, 0.4, 0.5]))
        self.bad(Verdict.FAILED, "log", findings.roundTripOf([]))

    def test_clock(self) -> None:
        """A difference that the way there and back explains is none."""
        self.fine(findings.clockOf(NOW + 1, NOW, 0.01))
        self.fine(findings.clockOf(NOW + 10, NOW, 20))
        self.bad(Verdict.WARNING, "NTP", findings.clockOf(NOW + 10, NOW, 0.01))
        self.assertIn("10.0 s behind", findings.clockOf(NOW - 10, NOW, 0.01).told)
        self.assertEqual(findings.clockOf(None, NOW, 0).verdict, Verdict.SKIPPED)

    def test_figures(self) -> None:
        """Sound figures of a dispatcher are fine; others say what to do."""
        sound: dict[str, Any] = {
            "version": __version__,
            "protocol": VERSION,
            "fds": 12,
            "max_fds": 1024,
            "max_nodes": 100,
            "rss": 2**26,
            "lag": 0.01,
            "drops": {},
        }
        judges = (findings.versionOf, findings.descriptorsOf, findings.memoryOf, findings.loopOf, findings.dropsOf)
        for judge in judges:
            self.fine(judge(sound))
        self.assertIn("64 MiB", findings.memoryOf(sound).told)
        self.assertIn("100 more nodes", findings.descriptorsOf(sound).told)
        self.bad(Verdict.WARNING, "update", findings.versionOf({**sound, "version": "9.9"}))
        self.bad(Verdict.WARNING, "LimitNOFILE", findings.descriptorsOf({**sound, "fds": 1000}))
        few = findings.descriptorsOf({**sound, "counters": {"nodes": 97}})
        self.fine(few)
        self.assertIn(" 3 more nodes", few.told)
        self.bad(Verdict.WARNING, "--max-nodes", findings.descriptorsOf({**sound, "counters": {"nodes": 100}}))
        self.bad(Verdict.WARNING, "processor", findings.loopOf({**sound, "lag": 2}))
        dropped = findings.dropsOf({**sound, "drops": {"full": 3, "gone": 0}})
        self.bad(Verdict.WARNING, "handle faster", dropped)
        self.assertEqual(dropped.told, "3 full")
        # No queue was full: it would be looked for in vain.
        self.bad(Verdict.WARNING, "left", findings.dropsOf({**sound, "drops": {"lost": 3}}))
        self.bad(Verdict.WARNING, "time to live", findings.dropsOf({**sound, "drops": {"lost": 3, "expired": 3}}))
        self.bad(Verdict.WARNING, "handle faster", findings.dropsOf({**sound, "drops": {"lost": 3, "dropped_oldest": 1}}))

    def test_oldDispatcher(self) -> None:
        """What an older dispatcher does not tell is skipped, never guessed."""
        judges = (findings.versionOf, findings.descriptorsOf, findings.memoryOf, findings.loopOf, findings.dropsOf)
        for judge in judges:
            self.assertEqual(judge({}).verdict, Verdict.SKIPPED)

    def test_hostileDispatcher(self) -> None:
        """Figures that are no figures are not told, nor is what a terminal would obey."""
        values: tuple[Any, ...] = (True, "1", math.nan, math.inf, -1, None, [], 10**400)
        for value in values:
            self.assertIsNone(findings.number({"lag": value}, "lag"), value)
        wicked = {"version": "\x1b[2J" * 99, "protocol": 1, "drops": {"\x07" * 99: 1, **{str(n): 1 for n in range(999)}}}
        for found in (findings.versionOf(wicked), findings.dropsOf(wicked)):
            self.assertTrue(found.told.isprintable())
            self.assertLess(len(found.told), 600)
