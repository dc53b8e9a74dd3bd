"""Settings from a TOML file: what counts, which line is named when something is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import BadSettings
from nodeset.settings import NAMES, SERVICES, Settings, environmentName, load
from nodeset.settings.file import LARGEST, locate
from nodeset.settings.schema import DAEMONS, DISPATCHER, NODE, aboutOf, dashed, namesOf
from nodeset.settings.shown import describe, showValue

FURL = "pb://abcdefghijklmnopqrstuvwxyz234567@tcp:h:1/thesecret"

#: Three values of each setting, none the default, as texts.
VALUES: dict[str, tuple[str, str, str]] = {name: ("1", "2", "3") for name in NAMES if name != "config"}
VALUES |= dict.fromkeys(["verbose", "once", "nodaemon", "json"], ("yes", "1", "on"))
VALUES |= {"loglevel": ("debug", "warn", "crit"), "gc": ("default", "tuned", "default")}
VALUES["anonymous"] = ("allow", "refuse", "allow")
VALUES |= {"restart": ("always", "never", "on-failure"), "output": ("drop", "slow", "drop"), "linger": ("2", "3", "4")}


class FileCase(SynchronousTestCase):
    """Writes files."""

    def write(self, text: str | bytes) -> str:
        """A file with this text; its absolute path."""
        path = Path(self.mktemp()).absolute()
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o600)
        return str(path)

    def read(self, text: str | bytes, service: str = DISPATCHER) -> Settings:
        """The settings that a file with this text leads to."""
        return load({}, {"config": self.write(text)}, service)

    def refuse(self, text: str | bytes, line: int | None, part: str) -> str:
        """It is refused in one line that names this line of the file, with this part; returns it without the file."""
        path = self.write(text)
        error = str(self.assertRaises(BadSettings, load, {}, {"config": path}, DISPATCHER))
        self.assertTrue(error.startswith(path), error)
        rest = error.removeprefix(path)
        if line is not None:
            self.assertTrue(rest.startswith(f":{line}: "), error)
        self.assertIn(part, rest)
        self.assertNotIn("\n", error)
        self.assertNotIn("thesecret", error)
        self.assertLess(len(rest), 400)
        return rest


class LayerTests(FileCase):
    """Defaults, file, environment, options."""

    @given(st.sampled_from(sorted(VALUES)), st.booleans(), st.booleans(), st.booleans(), st.booleans())
    @hypothesis_settings(max_examples=150, deadline=None)
    def test_highestWins(self, name: str, top: bool, table: bool, around: bool, option: bool) -> None:
        """Whatever subset of layers gives a setting, the highest wins; where it comes from is known."""
        service = aboutOf(name).services[0]
        first, second, third = VALUES[name]
        text = f"{dashed(name)} = {showValue(first)}\n" if top else ""
        text += f"[{service}]\n{name} = {showValue(second)}\n" if table else ""
        path = self.write(text)
        environ = {"NODESET_CONFIG": path, **({environmentName(name): third} if around else {})}
        found = load(environ, {name: first if option else None}, service)
        layers = [(True, None, ""), (top, first, f"{path}:1"), (table, second, f"{path}:{2 + top}")]
        layers += [(around, third, f"${environmentName(name)}"), (option, first, f"--{dashed(name)}")]
        value, origin = [(value, origin) for is_given, value, origin in layers if is_given][-1]
        given_value: dict[str, Any] = {} if value is None else {name: value}
        expected = getattr(Settings(**given_value), name)
        self.assertEqual(getattr(found, name), expected)
        self.assertEqual(found.origins.get(name, ""), origin)
        self.assertEqual(found.isDefault(name), value is None)

    def test_environmentOfAll(self) -> None:
        """Every setting has a variable, one that no other setting has."""
        for name, (value, _, _) in VALUES.items():
            found = load({environmentName(name): value}, {})
            self.assertEqual(found.environment, {name})
            self.assertNotEqual(getattr(found, name), getattr(Settings(), name))
        self.assertEqual(len({environmentName(name) for name in NAMES}), len(NAMES))
        self.assertEqual(
            (environmentName("dispatcher_url"), environmentName("state_dir")), ("NODESET_DISPATCHER", "NODESET_HOME")
        )

    def test_tables(self) -> None:
        """A table is for its service alone, and wins over the top; a program of one's own is a node."""
        text = "loglevel = 'warn'\n[node]\nloglevel = 'debug'\n[nodeset]\nname = 'me'\n"
        self.assertEqual([self.read(text, service).loglevel for service in (DISPATCHER, NODE)], ["warn", "debug"])
        self.assertEqual((self.read(text, "nodeset").name, self.read(text).name), ("me", None))
        self.assertEqual(load({"NODESET_CONFIG": self.write(text)}, {}).loglevel, "debug")

    def test_spelling(self) -> None:
        """Dashes or underscores, an array or commas: both are the same, but not both at once."""
        self.assertEqual(self.read("max-nodes = 3\nmax_message = 4").max_nodes, 3)
        for text in ("['tcp:a:1', 'tcp:b:2']", "'tcp:a:1, tcp:b:2'"):
            self.assertEqual(self.read(f"advertise = {text}").advertise, ("tcp:a:1", "tcp:b:2"))
        self.refuse("max-nodes = 3\n\nmax_nodes = 4", 3, "'max-nodes' is there twice, as 'max_nodes' too")

    def test_listens(self) -> None:
        """A file that says where to listen has said so, though it be the default."""
        self.assertFalse(self.read("listen = 'localhost:5444'").listensByDefault())
        self.assertTrue(self.read("[node]\nlisten = 'localhost:5444'").listensByDefault())

    def test_option(self) -> None:
        """--config wins over $NODESET_CONFIG, which need not be there then; its path is absolute."""
        path = self.write("max-nodes = 3")
        found = load({"NODESET_CONFIG": "/nowhere"}, {"config": os.path.relpath(path)}, DISPATCHER)
        self.assertEqual((found.max_nodes, found.config), (3, path))


class WrongFileTests(FileCase):
    """Errors name the file with the line."""

    def test_unknown(self) -> None:
        """A key that is no setting is named with its line and the one that was meant."""
        self.refuse("# one\n\nlisen = 'x'\n", 3, "there is no setting 'lisen': did you mean 'listen'?")
        self.refuse("[dispatcher]\nmax_nodse = 3\n", 2, "no setting 'max_nodse' of [dispatcher]: did you mean 'max-nodes'?")
        self.refuse("xyzzy = 1", 1, "there is no setting 'xyzzy': see docs/configuration.md")
        self.refuse("dispatcher.lisen = 'x'", 1, "did you mean 'listen'?")
        self.refuse("a = 1\n'b\\nc' = 2", 1, "there is no setting 'a'")
        self.refuse(f"'{FURL}' = 2", 1, "there is no setting 'pb://…'")

    def test_otherTable(self) -> None:
        """A setting in the table of a service that has none of it, an unknown table, a table that is none."""
        self.refuse("\n[dispatcher]\nevent = 'x'", 3, "'event' is no setting of [dispatcher]: it is one of [node]")
        self.refuse("\n[dispatchr]\nlisten = 'x'", 2, "there is no table 'dispatchr': did you mean 'dispatcher'?")
        self.refuse("node = 3", 1, "'node' is a table: write [node]")
        self.refuse("[[node]]\nname = 'x'", 1, "'node' is a table")
        self.refuse("config = 'x'", 1, "cannot stand in a file: give --config")

    def test_values(self) -> None:
        """A value of a wrong type, or one that cannot be, is named with its line, whoever's setting it is."""
        bad = {
            "max-nodes": ["0", "true", "1.5", "'many'", "[]", "{}", "1979-05-27", "0x" + "f" * 9000],
            "publish-timeout": ["0", "true", "nan", "inf", "'soon'", "[5]", "07:32:00", "0x" + "f" * 9000],
            "loglevel": ["'loud'", "3", "['info']"],
            "verbose": ["2", "'perhaps'", "[]", "0.5"],
            "site": ["''", "5", "'a b'", "{}"],
            "state-dir": ["''", "5", "'''a\nb'''", f"['{FURL}']"],
            "advertise": ["5", "[5]", "['']", "{a = 1}", "[['a']]", f"[['{FURL}']]"],
            "dispatcher-url": ["5", "['x']"],
            "payload": ["5", "{x = 1}"],
            "uid": ["true", "1.5", "[]"],
            "umask": ["18", "''"],
        }
        for name, values in bad.items():
            for value in values:
                self.refuse(f"\n{name} = {value}\n", 2, f"{name}: ")
        self.refuse("[node]\ncount = 0", 2, "count: 0 is no number")

    def test_broken(self) -> None:
        """What is no TOML is named with its line."""
        self.refuse("a = 1\nlisten = 'x\n", 2, "this is no TOML")
        self.refuse("max-nodes = 3\nmax-nodes = 4", 2, "this key is there twice")
        self.refuse("[node]\n[dispatcher]\n[node]\n", 3, "this is no TOML")
        self.refuse("advertise = [\n'a',\n", 2, "at the end of the file")
        self.refuse("umask = 022", 1, "this is no TOML")
        self.refuse("a = " + "[" * 5000, None, "nested too deeply")
        self.refuse(".".join("a" * 3000) + " = 1", 1, "there is no table 'a'")
        self.refuse("site." + ".".join("a" * 3000) + " = 1", 1, "site: a dict of great length")
        self.refuse("max-nodes = " + "9" * 9000, None, "this is no TOML")
        self.refuse(b"\n\nsite = 'a\x00b'", 3, "this is no TOML")
        self.refuse(b"a = 1\nsite = '\xff'", 2, "byte 0xff is no UTF-8")

    def test_unreadable(self) -> None:
        """A file that is not there, is a directory or a pipe, may not be read, or is too large: it says who named it."""
        directory = Path(self.mktemp())
        directory.mkdir()
        pipe = directory / "pipe"
        os.mkfifo(pipe)
        large = self.write(b"#" * (LARGEST + 1))
        for path, why in (
            ("/nowhere/x.toml", "No such file"),
            (str(directory), "directory"),
            (str(pipe), "regular file"),
            ("/dev/zero", "regular file"),
            (large, "more than 1048576 bytes"),
            ("x" * 5000, "name too long"),
        ):
            for environ, options, origin in (
                ({}, {"config": path}, "--config"),
                ({"NODESET_CONFIG": path}, {}, "$NODESET_CONFIG"),
            ):
                error = str(self.assertRaises(BadSettings, load, environ, options))
                self.assertTrue(error.startswith(f"{origin}: "), error)
                self.assertIn(why, error)
                self.assertNotIn("\n", error)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            self.assertRaises(BadSettings, load, {}, {"config": str(directory)})
        self.assertEqual(len(list(Path("/proc/self/fd").iterdir())), before)

    def test_secret(self) -> None:
        """A FURL in a file that others can read earns a warning; its secret is shown nowhere."""
        path = self.write(f"\ndispatcher-url = '{FURL}'")
        self.assertEqual(load({}, {"config": path}).warnings, ())
        Path(path).chmod(0o644)
        found = load({}, {"config": path})
        self.assertEqual(found.dispatcher_url, FURL)
        [warning] = found.warnings
        self.assertTrue(warning.startswith(f"{path}:2: this FURL is a secret, and others can read it (mode 0644)"), warning)
        for text in (warning, repr(found), describe(found, NODE)):
            self.assertNotIn("thesecret", text)
        self.assertEqual(load({}, {"config": self.write("dispatcher-url = '@/x'")}).warnings, ())

    @given(st.text(max_size=60) | st.binary(max_size=60))
    @hypothesis_settings(max_examples=150, deadline=None)
    def test_anyFile(self, content: str | bytes) -> None:
        """Whatever is in a file, it is read or refused in one line."""
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogatepass")
        try:
            self.read(content)
        except BadSettings as error:
            self.assertNotIn("\n", str(error))


class LocateTests(SynchronousTestCase):
    """The lines of keys."""

    def test_lines(self) -> None:
        """A key is found on the line where its statement begins, whatever stands in texts and lists before it."""
        text = (
            "a = '''\nb = 1\n[t]\n'''\nb = [  # one\n  'b = 2',\n]\n\n[t]  # b\n'c' = 1\nd.e = 2\n"
            '[t.u]\nf = 1\n[[v]]\ng = """\\\n h = 1"""\nh = {i = 1}\r\n'
        )
        found = {".".join(path): line for path, line in locate(text).items()}
        wanted = {"a": 1, "b": 5, "t": 9, "t.c": 10, "t.d": 11, "t.d.e": 11, "t.u": 12, "t.u.f": 13}
        self.assertEqual(found, wanted | {"v": 14, "v.g": 15, "v.h": 17, "v.h.i": 17})

    def test_tall(self) -> None:
        """After a statement of hundreds of lines no line is named rather than a wrong one."""
        text = "a = 1\nb = '''\n" + "c = 1\n" * 500 + "'''\nd = 1"
        self.assertEqual(locate(text), {("a",): 1})


class PrintTests(FileCase):
    """--print-config."""

    @given(
        st.sampled_from(SERVICES),
        st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 2)),
        st.text("a\"'\\#[]{}= \u20ac\U0001f600\x7f", max_size=8),
    )
    @hypothesis_settings(max_examples=100, deadline=None)
    def test_roundTrip(self, service: str, chosen: dict[str, int], payload: str) -> None:
        """What is printed is a file that leads to the same settings, defaults included."""
        options: dict[str, Any] = {name: VALUES[name][number] for name, number in chosen.items() if name in namesOf(service)}
        if service == NODE:
            options["payload"] = payload
        found = load({}, options, service)
        again = self.read(describe(found, service), service)
        for name in NAMES:
            if name != "config":
                self.assertEqual(getattr(again, name), getattr(found, name))
                self.assertEqual(again.isDefault(name), found.isDefault(name))

    def test_origins(self) -> None:
        """Each line says where its setting comes from; a setting of another service is not there."""
        path = self.write("[dispatcher]\nmax-nodes = 3\n[node]\nname = 'x'")
        text = describe(load({"NODESET_SITE": "here"}, {"config": path, "verbose": "1"}, DISPATCHER), DISPATCHER)
        found = {line.partition("#" if "#" in line[1:] else "\n")[0].strip(): line for line in text.splitlines()[1:]}
        for setting, origin in (
            ("max-nodes = 3", f"# {path}:2"),
            ('site = "here"', "# $NODESET_SITE"),
            ("verbose = true", "# --verbose"),
        ):
            self.assertTrue(found[setting].endswith(origin), text)
        self.assertIn('# loglevel = "info"', text)
        self.assertNotIn("name =", text.replace("logname", ""))
        for service in DAEMONS:
            self.assertEqual(len(describe(Settings(), service).splitlines()), len(namesOf(service)) + 1)
