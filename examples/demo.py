"""What `make demo` runs: a dispatcher, two subscribers, a publisher, a web bridge, all of them processes; ledgers are compared.

The last line sums up; the exit code is 1 if any event was lost, came twice, out of order or from nowhere. No process and no
file stays behind. `python examples/demo.py 1000` publishes so many. With `--keep` the dispatcher and the bridge stay up after
that, with a steady load of events and calls, until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from examples.demo_children import Child, Children, DemoFailed, Screen

EVENTS = 10_000
SUBSCRIBERS = 2
#: Seconds for all of it; for the last deliveries after the last receipt.
PATIENCE, LATE = 60.0, 5.0
#: Where the dashboard is looked for, if that is free.
PORT = 8080


class Demo(Children):
    """All processes of one run."""

    def __init__(self, directory: Path, events: int, screen: Screen, keep: bool) -> None:
        super().__init__(directory, screen)
        self.events, self.keep = events, keep

    def ledger(self, name: str) -> Path:
        """Where a process writes down what it published or got."""
        return self.directory / f"{name}.ledger"

    async def run(self) -> float:
        """Publish everything, see it arrive. Returns the seconds that it took."""
        await self.spawn("dispatcher", "nodeset", "dispatcher", "-n", "--listen", "localhost:0")
        total = str(self.events)
        subscribers = [
            await self.spawn(name, "examples.demo_subscriber", str(self.ledger(name)), total) for name in self.subscribers()
        ]
        publisher = await self.spawn("publisher", "examples.demo_publisher", str(self.ledger("publisher")), total)
        web = await self.spawn("web bridge", "nodeset", "web", "-n", "--port", str(freePort() if self.keep else 0))
        await asyncio.gather(*(child.wait("ready") for child in [publisher, *subscribers]), web.wait("served"))
        self.screen.say(f"dispatcher, {len(subscribers)} subscribers, a publisher and a web bridge are running")
        self.screen.say(f"the dashboard is at {web.address}{'' if self.keep else ' (make demo KEEP=1 leaves it up)'}")
        start = time.monotonic()
        assert publisher.process.stdin is not None
        publisher.process.stdin.write(b"go\n")
        await publisher.wait("done")
        try:
            await asyncio.wait_for(asyncio.gather(*(child.wait("done") for child in subscribers)), LATE)
        except TimeoutError:
            pass  # the ledgers will tell
        return time.monotonic() - start

    async def stay(self) -> None:
        """Keep the system up, under load, until this is cancelled. DemoFailed if a part of it ends by itself."""
        staying = [child for child in self.children if child.name in ("dispatcher", "web bridge")]
        for child in self.children:
            if child not in staying:
                child.process.terminate()
        load = [await self.spawn("shop", "examples.demo_load"), await self.spawn("archive", "examples.demo_load", "archive")]
        await asyncio.gather(*(child.wait("ready") for child in load))
        (web,) = [child for child in staying if child.address]
        print(f"the system stays up, under load: look at {web.address}", flush=True)
        command = f"NODESET_HOME={self.home} {nodesetCommand()}"
        print(f"for its forms paste what this prints: {command} grant --publish '>' --subscribe '>' --call '*'", flush=True)
        print(f"another terminal: {command} top", flush=True)
        print("Ctrl-C ends it all", flush=True)
        await asyncio.gather(*(endless(child) for child in [*staying, *load]))

    def subscribers(self) -> list[str]:
        """Their names."""
        return [f"subscriber {number + 1}" for number in range(SUBSCRIBERS)]


async def endless(child: Child) -> None:
    """Wait for ever; DemoFailed if it ends."""
    code = await child.process.wait()
    said = "\n  ".join(child.last)
    raise DemoFailed(f"{child.name} ended with {code}:\n  {said}")


def freePort() -> int:
    """The usual port of the dashboard, or 0 for any when somebody else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


def nodesetCommand() -> str:
    """The command for people, as it can be typed here."""
    script = Path(sys.executable).with_name("nodeset")
    return str(script) if script.exists() else f"{sys.executable} -m nodeset"


def readLedger(path: Path) -> list[int]:
    """The numbers in it, in order; none if it was never begun."""
    return [int(line) for line in path.read_text("ascii").split()] if path.exists() else []


def compare(published: list[int], got: list[int]) -> dict[str, int]:
    """What is wrong with what one subscriber got: all zero if nothing is.

    >>> compare([1, 2, 3], [2, 1, 1, 9])
    {'lost': 1, 'duplicates': 1, 'reordered': 1, 'unknown': 1}
    """
    first = list(dict.fromkeys(got))
    return {
        "lost": len(set(published) - set(got)),
        "duplicates": len(got) - len(first),
        "reordered": sum(later < earlier for earlier, later in pairwise(first)),
        "unknown": len(set(got) - set(published)),
    }


async def runDemo(directory: Path, events: int, screen: Screen, keep: bool) -> int:
    """Run, compare, sum up, stay if that is wanted. Returns the exit code."""
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, running.cancel)
    demo = Demo(directory, events, screen, keep)
    code: int | None = None
    try:
        spent = await asyncio.wait_for(demo.run(), PATIENCE)
        if keep:
            code = sumUp(demo, spent)
            await demo.stay()
    except asyncio.CancelledError:
        if code is None:
            raise
        print("demo: ended", flush=True)  # by whoever had it stay
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, lambda: None)  # whoever is impatient would leave processes behind
        await demo.end()
    return sumUp(demo, spent) if code is None else code


def sumUp(demo: Demo, spent: float) -> int:
    """Compare the ledgers, say what came of it. Returns the exit code."""
    screen = demo.screen
    published = readLedger(demo.ledger("publisher"))
    ledgers = [readLedger(demo.ledger(name)) for name in demo.subscribers()]
    wrong = dict.fromkeys(compare([], []), 0)
    for got in ledgers:
        for kind, count in compare(published, got).items():
            wrong[kind] += count
    unpublished = demo.events - len(set(published))
    screen.close()
    extra = "".join(
        f", {count} {kind}" for kind, count in [("unknown", wrong["unknown"]), ("unconfirmed", unpublished)] if count
    )
    print(
        f"{len(published)} events published, {len(ledgers)} subscribers, {sum(map(len, ledgers))} deliveries, "
        f"{wrong['lost']} lost, {wrong['duplicates']} duplicates, {wrong['reordered']} reordered{extra} in {spent:.2f} s",
        flush=True,
    )
    return 1 if any(wrong.values()) or unpublished or screen.errors else 0


def main() -> int:
    """Run the demo. Returns the exit code: 0 only if every event arrived once, in order."""
    words = [word for word in sys.argv[1:] if word != "--keep"]
    events = int(words[0]) if words else EVENTS
    screen = Screen(events * SUBSCRIBERS)
    try:
        with tempfile.TemporaryDirectory(prefix="nodeset-demo-") as directory:
            return asyncio.run(runDemo(Path(directory), events, screen, "--keep" in sys.argv[1:]))
    except DemoFailed as error:
        print(f"demo: {error}", file=sys.stderr)
    except TimeoutError:
        print(f"demo: not done after {PATIENCE:.0f} s, given up", file=sys.stderr)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("demo: interrupted", file=sys.stderr)
    finally:
        screen.close()
    return 1


if __name__ == "__main__":
    sys.exit(main())
