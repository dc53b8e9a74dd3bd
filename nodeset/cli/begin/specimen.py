"""The text of the files that a new project begins with."""

from __future__ import annotations

from string import Template
from typing import Final

__all__ = ["FILES"]

_NODE = '''\
"""The node $name: it notes what others publish, and answers who asks."""

from __future__ import annotations

from typing import Any

import nodeset
from nodeset.core.utils import setDefaultOptions


class Note(nodeset.NodeMessage):
    """What the event `$name.noted` carries."""

    text: str
    stars: int = 0


class $node(nodeset.Node):
    """Keeps the notes that come, as long as it runs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.notes: list[Note] = []

    @nodeset.catch("$name.noted")
    async def keep(self, msg: Note) -> None:
        """Called with each event of this name, whoever published it."""
        self.notes.append(msg)
        print(f"noted: {msg.text}", flush=True)

    @nodeset.expose
    def count(self, stars: int = 0) -> int:
        """How many notes have so many stars or more; other nodes may call what is exposed, nothing else."""
        return sum(note.stars >= stars for note in self.notes)


def main() -> None:
    """Run until Ctrl-C, with the dispatcher of this machine or that of $$NODESET_DISPATCHER."""
    setDefaultOptions()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    node = $node(name="$name")
    linked = node.start()
    linked.addCallbacks(lambda node: print("linked", flush=True), lambda failure: print(failure.value))
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
'''

_TEST = '''\
"""What $name promises.

Run it by `python -m twisted.trial test_$name` or by `pytest`: it needs no dispatcher, no socket, no waiting.
"""

from __future__ import annotations

from nodeset.testing import Site
from twisted.trial.unittest import SynchronousTestCase

from $name import $imported


class ${node}Tests(SynchronousTestCase):
    """A real dispatcher with real nodes, in memory."""

    def setUp(self) -> None:
        self.site = Site.forTest(self)
        self.node = self.site.node($node, name="$name")

    def test_noted(self) -> None:
        """What is published is kept."""
        receipt = self.site.publish("$name.noted", Note, text="hello")
        self.assertEqual(receipt.delivered, 1)
        self.assertEqual([note.text for note in self.node.notes], ["hello"])

    def test_count(self) -> None:
        """Others may ask how many good notes there are."""
        for stars in (1, 3):
            self.site.publish("$name.noted", Note, text="hello", stars=stars)
        self.assertEqual(self.site.call("$name", $node.count, stars=2), 1)
'''

_README = """\
# $name

A node of NodeSet. `$name.py` has it, `test_$name.py` its test.

```console
$$ pip install -e '.[test]'  # once
$$ python -m twisted.trial test_$name  # the test; pytest runs it as well
```

Start it, in three terminals:

```console
$$ nodeset dispatcher  # 1: what all nodes of this machine meet at
$$ python $name.py  # 2: the node
$$ nodeset pub $name.noted '{"text": "hello", "stars": 3}'  # 3: an event for it, then a call
$$ nodeset call $name count stars=1
```

`nodeset doctor` says what is wrong when something is. To run the node on another machine, give it a FURL of its own:
`nodeset grant --subscribe $name.noted --answer $name -o $name.furl`, and set `NODESET_DISPATCHER` to that file over there.
"""

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$dashed"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["nodeset[cli]>=$version"]

[project.optional-dependencies]
test = ["pytest"]

[project.scripts]
$dashed = "$name:main"

[tool.setuptools]
py-modules = ["$name"]

[tool.ruff]
line-length = 128

[tool.mypy]
strict = true
untyped_calls_exclude = ["twisted", "test_$name"]
"""

#: By the name of the file: both may have `$name` and the other words in them.
FILES: Final[dict[str, Template]] = {
    "$name.py": Template(_NODE),
    "test_$name.py": Template(_TEST),
    "README.md": Template(_README),
    "pyproject.toml": Template(_PYPROJECT),
}
