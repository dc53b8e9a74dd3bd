"""What `make demo KEEP=1` runs, as real processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.commands import PATIENCE, ROOT, CommandCase, kill


class DemoTests(CommandCase):
    """A demo that stays up: what `make demo KEEP=1` runs."""

    def setUp(self) -> None:
        super().setUp()
        self.temp = self.home / "temp"
        self.temp.mkdir()

    def keep(self) -> tuple[subprocess.Popen[str], str]:
        """A demo that stays up, with the address of its dashboard."""
        demo = self.spawn(str(ROOT / "examples" / "demo.py"), "500", "--keep", TMPDIR=str(self.temp))
        self.assertIn(" 0 lost, ", self.awaitLine(demo, "500 events published"))
        found = re.search(r"http://\S+/", self.awaitLine(demo, "the system stays up"))
        assert found is not None
        self.awaitLine(demo, "Ctrl-C")
        return demo, found[0]

    def figures(self, address: str) -> Iterator[dict[str, Any]]:
        """What the dashboard is told, update after update."""
        request = Request(f"{address}v1/figures", headers={"Accept": "text/event-stream"})
        with urlopen(request, timeout=PATIENCE / 2) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def children(self, demo: subprocess.Popen[str]) -> list[str]:
        """The processes that it started."""
        return Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()

    def gone(self, children: list[str]) -> None:
        """Nothing is left behind."""
        self.assertEqual([pid for pid in children if Path(f"/proc/{pid}").exists()], [])
        self.assertEqual(list(self.temp.iterdir()), [])

    def test_stays(self) -> None:
        """The system stays up with nodes that publish, work, call, one of them too slow, until Ctrl-C. Twice is no worse."""
        demo, address = self.keep()
        for found in self.figures(address):
            if all(found["sample"][rate] for rate in ("published", "delivered", "calls")):
                break
        else:
            self.fail("the stream of figures ended")
        rows = {row["name"]: row for row in found["now"]["nodes"]}
        self.assertLessEqual({"shop", "billing", "packer", "stock", "till", "sensor", "display", "archive"}, set(rows))
        self.assertEqual((rows["stock"]["methods"], rows["archive"]["subscriptions"]), (["left", "take"], ["sensors.*"]))
        children = self.children(demo)
        demo.send_signal(signal.SIGINT)
        self.assertEqual(self.stop(demo), 0)
        self.gone(children)
        self.assertRaises(URLError, next, self.figures(address))

    def test_partEnds(self) -> None:
        """When a part of it ends, all of it does, saying which."""
        demo, _address = self.keep()
        children = self.children(demo)
        (archive,) = [pid for pid in children if "archive" in Path(f"/proc/{pid}/cmdline").read_text()]
        kill(int(archive))
        _out, err = demo.communicate(timeout=PATIENCE)
        self.assertEqual(demo.returncode, 1)
        self.assertIn("archive ended with -9", err)
        self.gone(children)
