"""The program file: what it may say, which line is named when something is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import BadSettings
from nodeset.processes.program import Dependency, Probe, Program
from nodeset.processes.programs.differences import changedFields, compare, needsRestart
from nodeset.processes.programs.file import Programs, readPrograms
from nodeset.processes.programs.order import Course, circleIn, lackOf
from nodeset.processes.programs.schema import KEYS, defaultWords
from nodeset.processes.watching.life import Life
from tests.documents import ROOT

DOCUMENT = ROOT / "docs" / "program-file.md"
#: A value of each key that is not its default, with what it is in the program.
VALUES: dict[str, tuple[str, object]] = {
    "command": ("'sleep \"1 0\"'", ("sleep", "1 0")),
    "executable": ("'/bin/busybox'", "/bin/busybox"),
    "cwd": ("'/srv'", "/srv"),
    "env": ("{ PORT = 8000, A = 'b' }", {"PORT": "8000", "A": "b"}),
    "clear_env": ("true", True),
    "user": ("'root'", "root"),
    "group": ("0", "0"),
    "umask": ("'027'", 0o027),
    "numprocs": ("1", 1),
    "autostart": ("false", False),
    "restart": ("'always'", "always"),
    "exit_codes": ("[0, 2]", (0, 2)),
    "start_seconds": ("0", 0.0),
    "start_timeout": ("5", 5.0),
    "retries": ("0", 0),
    "backoff": ("0.5", 0.5),
    "backoff_max": ("120", 120.0),
    "backoff_jitter": ("1", 1.0),
    "crash_limit": ("0", 0),
    "crash_window": ("60", 60.0),
    "stop_signal": ("'SIGINT'", "INT"),
    "stop_timeout": ("2.5", 2.5),
    "on_supervisor_death": ("'keep'", "keep"),
    "depends_on": ("{ db = 'started', cache = 'ready' }", (Dependency("db", "started"), Dependency("cache"))),
    "ready": (
        "{ http = 'http://127.0.0.1:8000/ready', interval = 0.2 }",
        Probe("http", "http://127.0.0.1:8000/ready", interval=0.2),
    ),
    "alive": ("{ command = 'true', failures = 5 }", Probe("command", ("true",), failures=5)),
    "nofile": ("4096", 4096),
    "memory": ("'512M'", 512 << 20),
    "output": ("'drop'", "drop"),
    "buffer_bytes": ("'1 MiB'", 1 << 20),
    "stall_timeout": ("0", 0.0),
    "log": ("'/tmp/x.log'", "/tmp/x.log"),
    "log_bytes": ("1048576", 1 << 20),
    "log_files": ("0", 0),
    "stats_interval": ("0", 0.0),
}
WEB = "[process.web]\ncommand = 'web'\n"


class ProgramCase(SynchronousTestCase):
    """Writes program files."""

    def read(self, text: str) -> Programs:
        """What a file with this text holds."""
        self.path = Path(self.mktemp()).absolute()
        self.path.write_text(text, "utf-8")
        return readPrograms(str(self.path))

    def refuse(self, text: str, line: int | None, *parts: str) -> None:
        """It is refused in one line that names this line of the file, with these parts."""
        said = str(self.assertRaises(BadSettings, self.read, text))
        rest = said.removeprefix(str(self.path))
        self.assertTrue(rest.startswith(f":{line}: " if line else ": "), said)
        for part in parts:
            self.assertIn(part, rest)
        self.assertNotIn("\n", said)
        self.assertLess(len(rest), 400)


class ReadTests(ProgramCase):
    """What is right."""

    def test_every(self) -> None:
        """Every key leads to the field of its name, with either spelling; the defaults are those of Program."""
        others = "[process.db]\ncommand = 'db'\n[process.cache]\ncommand = 'cache'\n"
        for spell in (str, lambda name: str(name).replace("_", "-")):
            lines = "".join(f"{spell(name)} = {text}\n" for name, (text, _) in VALUES.items())
            found = self.read(f"[process.x]\n{lines}{others}").programs
            self.assertEqual({name: getattr(found["x"], name) for name in VALUES}, {name: v for name, (_, v) in VALUES.items()})
            self.assertEqual(found["db"], Program(name="db", command=("db",)))

    def test_schema(self) -> None:
        """Every field of Program but its name is a key, in the same order; each has a value in these tests."""
        fields = [each.name for each in attrs.fields(Program) if each.name != "name"]
        self.assertEqual(list(KEYS), fields)
        self.assertEqual(list(VALUES), fields)

    def test_paths(self) -> None:
        """Paths are relative to the directory of the file, wherever one is."""
        program = self.read(f"{WEB}cwd = 'site'\nlog = '../web.log'\n").programs["web"]
        self.assertEqual((program.cwd, program.log), (f"{self.path.parent}/site", f"{self.path.parent}/../web.log"))

    def test_numprocs(self) -> None:
        """Several of a kind are NAME-1 and so on, each with its number where it says so; who needs them needs all."""
        text = (
            "[process.web]\nnumprocs = 2\ncommand = ['web', '--port=800{number}']\nenv = { ME = 'w{number}' }\n"
            "ready = { tcp = 'localhost:800{number}' }\nlog = 'w{number}.log'\n"
        )
        found = self.read(f"{text}[process.proxy]\ncommand = 'proxy {{number}}'\ndepends_on = 'web'\n")
        self.assertEqual(list(found.programs), ["web-1", "web-2", "proxy"])
        second = found.programs["web-2"]
        self.assertEqual((second.command[1], second.env["ME"]), ("--port=8002", "w2"))
        self.assertEqual(second.ready, Probe("tcp", "localhost:8002"))
        self.assertEqual(found.programs["proxy"].command, ("proxy", "{number}"))
        self.assertEqual([each.name for each in found.programs["proxy"].depends_on], ["web-1", "web-2"])
        self.assertEqual(found.groups, {"web": ("web-1", "web-2"), "proxy": ("proxy",)})
        self.assertEqual(found.course.start_order[-1], "proxy")

    def test_settings(self) -> None:
        """Settings of services may stand in the same file; a mistake there is named as well."""
        self.read(f"loglevel = 'warn'\n[dispatcher]\nmax-nodes = 5\n{WEB}")
        self.refuse(f"[dispatcher]\nmax-nodes = 'x'\n{WEB}", 2, "max-nodes: 'x'")
        self.refuse("[proces.web]\ncommand = 'web'\n", 1, "there is no table 'proces': did you mean 'process'?")


class WrongTests(ProgramCase):
    """What is wrong: the line, the value, what to do."""

    def test_keys(self) -> None:
        """An unknown key is named, with the one that was meant."""
        self.refuse(f"{WEB}retrys = 3\n", 3, "[process.web] has no key 'retrys': did you mean 'retries'?")
        self.refuse(f"{WEB}start-secs = 3\n", 3, "did you mean 'start_seconds'?")
        self.refuse(f"{WEB}xyzzy = 3\n", 3, "has no key 'xyzzy': see docs/program-file.md")
        self.refuse(f"{WEB}autorestart = true\n", 3, "no key 'autorestart', which is supervisord's: write restart = 'always'")
        self.refuse(f"{WEB}stopwaitsecs = 9\n", 3, "no key 'stopwaitsecs', which is supervisord's: write stop_timeout")
        self.refuse(f"{WEB}stopasgroup = true\n", 3, "supervisord's: leave it out, what is left of its group")
        self.refuse(f"{WEB}stop-signal = 'INT'\nstop_signal = 'INT'", 4, "'stop_signal' is there twice")
        self.refuse("[process]\ncommand = 'x'\n", 2, "'command' stands in [process]")
        self.refuse("[[process.x]]\ncommand = 'x'\n", 1, "'x' is a list: write [process.NAME] in single brackets")
        self.refuse(f'{WEB}env = {{ "a\\nb" = true }}\n', 3, "env: 'a\\nb': true is no text")
        self.refuse("[process.'a b']\ncommand = 'x'\n", 1, "'a b' cannot name a program")
        self.refuse("[process.x]\nretries = 1\n", 1, "has no command")
        self.refuse("loglevel = 'warn'\n", None, "no program in it: write a table such as [process.web]")
        self.refuse("[process.x\n", 1, "this is no TOML")
        self.refuse("[x]\n[program:x]\ncommand=x\n", 2, "this is no TOML", "[program:x] of supervisord is [process.x]")
        self.refuse("[program.x]\ncommand='x'\n", 1, "there is no table 'program': did you mean 'process'?")
        self.refuse("[processes.x]\ncommand='x'\n", 1, "no setting 'x' of [processes]: a program is [process.NAME]")

    def test_values(self) -> None:
        """A wrong value is named, with what is right."""
        for line, *parts in (
            ("retries = 'x'", "retries: 'x' is no whole number: give one from 0"),
            ("retries = -1", "retries: -1 is no number that is allowed"),
            ("start_seconds = '10s'", "'10s' is no time: give a number of seconds"),
            ("backoff = 0", "backoff: 0 is no time", "from 0.1"),
            ("backoff = nan", "backoff: nan is no time"),
            ("backoff = 90", "90 s is longer than backoff_max, 60 s"),
            ("backoff_jitter = 2", "2 is no share"),
            ("stop_signal = 'TREM'", "there is no signal 'TREM': did you mean 'TERM'?"),
            ("stop_signal = 'XYZZY'", "give a name such as TERM, INT"),
            ("stop_signal = 99", "there is no signal '99'"),
            ("restart = 'allways'", "'allways' is not one of 'never', 'on-failure', 'always': did you mean 'always'?"),
            ("restart = true", "true is not one of"),
            ("autostart = 'yes'", "'yes' is neither true nor false"),
            ("umask = 22", "22 is no umask: give octal digits in quotes"),
            ("umask = '088'", "'088' is no umask"),
            ("memory = '64X'", "'64X' is no size: give bytes, or a text such as '64M'"),
            ("memory = 5", "5 is no size", "from 1M"),
            ("exit_codes = [0, 256]", "[0, 256] are no exit codes"),
            ("numprocs = 0", "numprocs: 0"),
            ("user = 'no-such-user'", "there is no user 'no-such-user' on this machine"),
            ("user = 3999999999", "user 3999999999 has no account on this machine", "give the group as well"),
            ("group = 'no-such-group'", "there is no group 'no-such-group'"),
            ("cwd = ''", "cwd: '' is no text"),
            ("env = 'A=b'", "'A=b' is no table"),
            ("env = { A = true }", "env: A: true is no text: put it in quotes"),
            ("env = { 'A=' = 'x' }", "cannot name a variable"),
            ("depends_on = ['cahce']\n[process.cache]\ncommand = 'x'", "there is no program 'cahce': did you mean 'cache'?"),
            ("depends_on = { db = 'up' }", "depends_on: db: 'up' is not one of 'started', 'ready', 'completed'"),
            ("depends_on = 5", "5 names no programs"),
            ("ready = 'tcp'", "'tcp' is no probe"),
            ("ready = { tcp = '5432' }", "ready: tcp: '5432' is no place to connect to: give host:port"),
            ("ready = { htp = 'x' }", "ready: htp: a probe has no such key: did you mean 'http'?"),
            ("ready = { http = 'localhost:80' }", "is no URL to ask"),
            ("ready = { http = 'http://me:word@localhost/' }", "a user's name or password"),
            ("ready = { log = '(' }", "'(' is no regular expression"),
            ("ready = { interval = 1 }", "this probe says not what to try"),
            ("ready = { tcp = 'h:1', log = 'x' }", "has log as well as tcp"),
            ("alive = { log = 'x' }", "does not show that it is well"),
            ("ready = { tcp = 'h:1', failures = 3 }", "ready: failures: a probe has no such key"),
        ):
            with self.subTest(line):
                self.refuse(f"{WEB}{line}\n", 3, *parts)
        for command, part in (
            ("''", "names no program"),
            ("[]", "names no program"),
            ("'echo \"x'", "cannot be split into words: no closing quotation"),
            ("['a', 5]", "5 is no text"),
            ("['a\\u0000'] ".replace("'", '"'), "zero byte"),
        ):
            self.refuse(f"[process.x]\ncommand = {command}\n", 2, "command: ", part)

    def test_lines(self) -> None:
        """Inside a table of its own, or a list over lines, it is the line there that is named."""
        self.refuse(f"{WEB}[process.web.env]\nA = 'x'\nB = true\n", 5, "env: B: true")
        self.refuse(f"{WEB}exit_codes = [\n 0,\n 'x',\n]\n", 3, "exit_codes")
        self.refuse(f"{WEB}[process.web.depends_on]\nweb = 'ready'\n", 4, "web -> web")

    def test_circles(self) -> None:
        """A circle of dependencies is shown; it begins with the first of the file."""
        text = "".join(f"[process.{name}]\ncommand = 'x'\ndepends_on = '{need}'\n" for name, need in ("ab", "bc", "ca"))
        self.refuse(text, 3, "a -> b -> c -> a is a circle")

    def test_never(self) -> None:
        """To wait for the end of what is always started again is a mistake."""
        text = f"{WEB}depends_on = {{ job = 'completed' }}\n[process.job]\ncommand = 'x'\nrestart = 'always'\n"
        self.refuse(text, 3, "'job' is never completed, as its restart is 'always'")

    def test_names(self) -> None:
        """Two of one name, by their numbers, are refused; so is a name that its number makes too long."""
        self.refuse(f"{WEB}numprocs = 2\n[process.web-2]\ncommand = 'x'\n", 4, "two programs named 'web-2'")
        self.refuse(f"[process.{'n' * 63}]\ncommand = 'x'\nnumprocs = 2\n", 1, "cannot name a program")

    def test_logs(self) -> None:
        """One log for two programs is refused: each would rotate it under the other."""
        self.refuse(f"{WEB}log = 'a.log'\nnumprocs = 2\n", 3, "web-1 and web-2 would both write", "put {number} into its name")
        self.refuse(f"{WEB}log = 'a.log'\n[process.x]\ncommand = 'x'\nlog = './a.log'\n", 6, "web and x would both write")

    @given(
        st.sampled_from(sorted(KEYS)),
        st.recursive(
            st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
            max_leaves=6,
        ),
    )
    @settings(max_examples=150, deadline=None)
    def test_anything(self, name: str, value: object) -> None:
        """Whatever stands there, it is taken, or refused in one line."""
        try:
            KEYS[name].read(value)
        except BadSettings as error:
            self.assertNotIn("\n", str(error))
            self.assertLess(len(str(error)), 400)


class OrderTests(SynchronousTestCase):
    """Who may start, who may stop."""

    def programs(self, **needs: str) -> Course:
        """Programs with what they need."""
        return Course({name: tuple(map(Dependency, text.split())) for name, text in needs.items()})

    def test_order(self) -> None:
        """Each starts after all that it needs; a program stops when none that needs it is live."""
        course = self.programs(web="db cache", cache="db", db="", lone="")
        at = {name: place for place, name in enumerate(course.start_order)}
        self.assertLess(at["db"], at["cache"])
        self.assertLess(at["cache"], at["web"])
        self.assertEqual(course.neededBy("db"), ("web", "cache"))
        self.assertFalse(course.mayStop("db", {"web"}))
        self.assertTrue(course.mayStop("db", {"lone", "db"}))

    def test_circle(self) -> None:
        """No circle, none is found; else the shortest way to see it."""
        self.assertEqual(circleIn({"a": ["b"], "b": []}), ())
        self.assertEqual(circleIn({"x": ["b"], "b": ["c"], "c": ["b"]}), ("b", "c", "b"))
        self.assertEqual(circleIn({"a": ["a"]}), ("a", "a"))

    def test_lack(self) -> None:
        """`started` is met by a process, `ready` by RUNNING, `completed` by a good end; what is stuck is said to be."""
        life = Life(Program(name="db", command=("db",)), lambda: 0.0)
        course = Course({"web": (Dependency("db", "ready"),), "db": ()})

        def met() -> str:
            return "".join(
                "" if lackOf(Dependency("db", until), life) else until[0] for until in ("started", "ready", "completed")
            )

        self.assertEqual(course.lackOf("web", {"db": life}), "waits for db to be ready, which is STOPPED")
        self.assertEqual(course.lackOf("web", {}), "waits for db, which is not there")
        self.assertEqual(course.lackOf("db", {}), "")
        life.start(0.0)
        self.assertEqual(met(), "")
        self.assertEqual(course.lackOf("web", {"db": life}), "waits for db to be ready")
        life.spawned(0.0)
        self.assertEqual(met(), "s")
        life.wake(1.0)
        self.assertEqual(met(), "sr")
        self.assertEqual(course.lackOf("web", {"db": life}), "")
        life.ended(2.0, 0)
        life.emptied(2.0)
        self.assertEqual(met(), "sc")


class DifferenceTests(SynchronousTestCase):
    """A file read again."""

    def test_fields(self) -> None:
        """What makes a process what it is wants a restart, all else does not."""
        old = Program(name="x", command=("x",))
        for name, (_, value) in VALUES.items():
            changes: dict[str, Any] = {name: value}
            new = attrs.evolve(old, **changes)
            self.assertEqual(changedFields(old, new), () if name == "numprocs" else (name,))
            self.assertEqual(needsRestart(old, new), name != "numprocs" and KEYS[name].restarts, name)

    def test_compare(self) -> None:
        """Only what changed is touched."""
        old = {name: Program(name=name, command=(name,)) for name in "abcd"}
        new = {name: Program(name=name, command=(name,)) for name in "bcde"}
        new["c"] = attrs.evolve(new["c"], retries=9)
        new["d"] = attrs.evolve(new["d"], command=("other",))
        found = compare(old, new)
        self.assertEqual((found.added, found.removed, found.restarted, found.adjusted), (("e",), ("a",), ("d",), ("c",)))
        self.assertFalse(compare(old, dict(old)))


class DocumentTests(ProgramCase):
    """docs/program-file.md."""

    def test_table(self) -> None:
        """It has all keys in a table, as the schema has them."""
        lines = [
            f"| `{name}` | {key.help} | {defaultWords(name)} |{' yes' if key.restarts else ''} |" for name, key in KEYS.items()
        ]
        self.assertIn("\n".join(lines), DOCUMENT.read_text("utf-8"))

    def test_examples(self) -> None:
        """Its examples can be read, its errors come as shown."""
        text = DOCUMENT.read_text("utf-8")
        examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
        self.assertGreater(len(examples), 2)
        for each in examples:
            # The users are of the reader's machine.
            self.read(re.sub(r'(user|group) = ".*?"', r'\1 = "root"', each))

    def test_errors(self) -> None:
        """Errors come as it shows them."""
        text = DOCUMENT.read_text("utf-8")
        for line in (
            "retrys = 3",
            "stop_signal = 'TREM'",
            "depends_on = 'cahce'\n[process.cache]\ncommand = 'cache'",
            "depends_on = 'db'\n[process.db]\ncommand = 'db'\ndepends_on = 'web'",
            "user = 'wbe'",
        ):
            error = str(self.assertRaises(BadSettings, self.read, f"{WEB}{line}\n"))
            self.assertIn(error.replace(str(self.path), "\nnodeset.toml", 1) + "\n", text)
