"""A scenario in which nodes come, freeze, wake, die under the eyes of watchers, while the dispatcher is restarted.

What is done is written down with its time; what each watcher's handlers were shown is compared with that.
"""

from __future__ import annotations

import heapq
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import attrs

from tests.faults.processes import Child, Stage, StillWaiting
from tests.faults.scenario import Findings, scenario

__all__ = ["Actor", "Expected", "fits", "playSeed", "watchNodes"]

#: A state that is to be shown, with whether it must be.
Expected = tuple[str, bool]

#: Seconds for which a stopped process is not missed; is only suspect; is gone. It was last heard up to 5 s before.
SHORT, MIDDLE, LONG = (1.0, 4.0), (12.0, 14.0), (25.0, 28.0)
#: Seconds after a dispatcher listens in which a change may be told in another way: it settles, nodes come back.
SETTLED = 6.0
#: Seconds that a change may take to be told, on a machine that does much else.
LAG = 4.0


@attrs.define(eq=False)
class Actor:
    """One start of a node, with what was done to it: the time, `start`, `kill`, `stop` or `cont`."""

    child: Child
    acts: list[tuple[float, str]] = attrs.field(factory=list)

    @property
    def stream(self) -> str:
        """Its stream id; empty before it has told it."""
        return self.child.last("i")[0] if self.child.count("i") else ""

    @property
    def alive(self) -> bool:
        """Whether it was not killed."""
        return self.acts[-1][1] != "kill"

    def asleep(self, disturbed: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """When it was stopped in such times, so that it was gone for its dispatcher and cannot have been told everything."""
        pairs = [(at, until + LAG) for (at, act), (until, _following) in pairwise(self.acts) if act == "stop"]
        return [(begin, end) for begin, end in pairs if any(a <= end and begin <= b for a, b in disturbed)]

    def expected(self, disturbed: Sequence[tuple[float, float]]) -> list[Expected]:
        """What is to be shown of it, when the dispatcher was away, or settling, at these times."""

        def calm(begin: float, end: float) -> bool:
            return not any(a <= end and begin <= b for a, b in disturbed)

        states: list[Expected] = []
        acts = [*self.acts, (float("inf"), "")]
        for (at, act), (until, following) in pairwise(acts):
            took = until - at
            if act == "start":
                # It cannot be missed when some of its life was in good times.
                moments = [at, until - LAG, *(end + 0.1 for _begin, end in disturbed)]
                lived = any(calm(moment, moment + LAG) for moment in moments if at <= moment <= until - LAG)
                states.append(("up", lived))
            elif act == "stop":
                sure = calm(at - LAG, until + LAG)
                if sure and took < SHORT[1] + 0.5:
                    continue
                states.append(("suspect", sure))
                if following == "cont":
                    if not sure or took > MIDDLE[1] + 1:
                        states.append(("down", sure))
                    states.append(("up", sure))
            elif act == "kill":
                states.append(("down", bool(states) and states[0][1]))
        return states


def fits(shown: Sequence[str], expected: Sequence[Expected]) -> bool:
    """Whether `shown` is what was expected, with or without what may be missing."""
    if not expected:
        return not shown
    (state, must), rest = expected[0], expected[1:]
    return (bool(shown) and shown[0] == state and fits(shown[1:], rest)) or (not must and fits(shown, rest))


def _past(moment: float) -> bool:
    return time.monotonic() >= moment


@attrs.define
class _Shown:
    """One line of a watcher's ledger."""

    at: float
    stream: str
    state: str
    was: str


def _read(watcher: Child) -> dict[str, list[_Shown]]:
    """What a watcher was shown, by stream."""
    found: dict[str, list[_Shown]] = {}
    for line in watcher.ledger.read_text("ascii").splitlines():
        kind, *words = line.split()
        if kind == "n":
            shown = _Shown(float(words[0]), words[2], words[3], words[4].strip("-"))
            found.setdefault(shown.stream, []).append(shown)
    return found


class _Play:
    """The processes of one run, what happens to them, by a seed."""

    def __init__(self, stage: Stage, seed: int, nodes: int, seconds: float, say: Callable[[str], None]) -> None:
        self.stage, self.say, self.draw = stage, say, random.Random(seed)
        self.dispatcher = stage.dispatcher()
        self.disturbed: list[tuple[float, float]] = []
        self.done: dict[str, int] = {}
        self.watchers = [self._watcher(number) for number in range(3)]
        stage.ready(*(watcher.child for watcher in self.watchers))
        self.actors = list(self.watchers)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.end = time.monotonic() + seconds
        for slot in range(nodes):
            self._at(self.draw.uniform(0, 3), partial(self._start, slot))
        self._at(self.draw.uniform(12, 25), self._disturb)
        # The last watcher is stopped now and then itself, as long as it has a link all the time.
        self._at(8, partial(self._nap, self.watchers[-1]))

    def _watcher(self, number: int) -> Actor:
        watcher = Actor(self.stage.member(f"watcher{number}", subscribe="nodeset.node.*"))
        self._did(watcher, "start")
        return watcher

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        if time.monotonic() + seconds < self.end:
            self._count += 1
            heapq.heappush(self._queue, (time.monotonic() + seconds, self._count, act))

    def run(self) -> None:
        """Do what is due until nothing more is."""
        while self._queue:
            due, _count, act = self._queue[0]
            self.stage.wait("the next act is due", partial(_past, due), 600)
            heapq.heappop(self._queue)
            act()

    def _did(self, actor: Actor, act: str) -> None:
        actor.acts.append((time.monotonic(), act))
        self.done[act] = self.done.get(act, 0) + 1

    # -- what happens

    def _start(self, slot: int) -> None:
        # Some bear the same name.
        number = len(self.actors)
        child = self.stage.member(f"actor{number}", label=f"node{slot // 2}", quiet=True)
        actor = Actor(child)
        self.actors.append(actor)
        self._did(actor, "start")
        self._at(0.1, partial(self._next, slot, actor))

    def _next(self, slot: int, actor: Actor) -> None:
        if not actor.child.count("l"):
            self._at(0.1, partial(self._next, slot, actor))
            return
        kind = self.draw.choice(["kill", "kill", "short", "middle", "long", "dead"])
        pause = self.draw.uniform(6, 12)
        if kind == "kill":
            self._at(pause, partial(self._kill, slot, actor))
            return
        low, high = {"short": SHORT, "middle": MIDDLE, "long": LONG, "dead": MIDDLE}[kind]
        took = self.draw.uniform(low, high)
        if time.monotonic() + pause + took >= self.end:
            return
        self._at(pause, partial(self._stop, slot, actor, took, kind == "dead"))

    def _kill(self, slot: int, actor: Actor) -> None:
        actor.child.kill()
        self._did(actor, "kill")
        self._at(self.draw.uniform(0, 4), partial(self._start, slot))

    def _stop(self, slot: int, actor: Actor, took: float, dies: bool) -> None:
        actor.child.signal(signal.SIGSTOP)
        self._did(actor, "stop")
        self._count += 1
        act: Callable[[], None] = partial(self._kill if dies else self._wake, slot, actor)
        # Whatever was stopped is woken or killed, even past the end.
        heapq.heappush(self._queue, (time.monotonic() + took, self._count, act))

    def _wake(self, slot: int, actor: Actor) -> None:
        actor.child.signal(signal.SIGCONT)
        self._did(actor, "cont")
        then = partial(self._next, slot, actor) if slot >= 0 else partial(self._nap, actor)
        self._at(self.draw.uniform(4, 8) if slot >= 0 else self.draw.uniform(15, 25), then)

    def _nap(self, watcher: Actor) -> None:
        self._stop(-1, watcher, self.draw.uniform(*MIDDLE), False)

    def _disturb(self) -> None:
        """Something happens to the dispatcher."""
        began = time.monotonic()
        kind = self.draw.choice(["killed", "killed", "ended", "frozen"])
        if kind == "killed":
            self.dispatcher.kill()
        else:
            self.dispatcher.signal(signal.SIGTERM if kind == "ended" else signal.SIGSTOP)
        if kind == "frozen":
            self.stage.wait("it may go on", partial(_past, began + self.draw.uniform(3, 12)))
            self.dispatcher.signal(signal.SIGCONT)
        else:
            self.stage.wait("it is gone", lambda: self.dispatcher.ended)
            self.stage.wait("it may start again", partial(_past, time.monotonic() + self.draw.uniform(0, 1.5)))
            self.dispatcher = self.stage.dispatcher()
        self.disturbed.append((began, time.monotonic() + SETTLED))
        self.done[f"dispatcher {kind}"] = self.done.get(f"dispatcher {kind}", 0) + 1
        self._at(self.draw.uniform(25, 45), self._disturb)

    # -- what must hold

    def rest(self) -> bool:
        """Whether every watcher knows how it is."""
        for watcher in self.watchers:
            shown = {stream: lines[-1].state for stream, lines in _read(watcher.child).items()}
            for actor in self.actors:
                if actor.stream and shown.get(actor.stream, "down") != ("up" if actor.alive else "down"):
                    return False
        return True

    def check(self, findings: Findings) -> int:
        """Compare; returns how many changes were shown."""
        told = 0
        for watcher in self.watchers:
            shown = _read(watcher.child)
            told += sum(len(lines) for lines in shown.values())
            for actor in self.actors:
                for wrong in self._compare(watcher, actor, shown.pop(actor.stream, [])):
                    did = [(round(at - self.end, 1), act) for at, act in actor.acts]
                    findings.must(False, f"{watcher.child.name} of {actor.child.name}: {wrong}; what was done: {did}")
            findings.must(not shown, f"{watcher.child.name} was shown strangers: {shown}")
        return told

    def _compare(self, watcher: Actor, actor: Actor, lines: list[_Shown]) -> Iterator[str]:
        """What is wrong with what a watcher was shown of one start of a node."""
        states = [line.state for line in lines]
        expected = actor.expected([*self.disturbed, *watcher.asleep(self.disturbed)])
        if not fits(states, expected):
            yield f"shown {[(round(line.at - self.end, 1), line.state) for line in lines]}, expected {expected}"
        before = ["" if state == "down" else state for state in ["", *states][: len(lines)]]
        if [line.was for line in lines] != before:
            yield f"not a chain: {lines}"
        over = actor.acts[-1][0] + 2 + LAG + (MIDDLE[1] if watcher is self.watchers[-1] else 0)
        if not actor.alive and any(line.state != "down" and line.at > over for line in lines):
            yield f"shown after its death: {lines}"


@scenario(
    "presence",
    "12 nodes, two of each name, are killed, stopped for 1 to 28 s, killed while stopped, started, while the dispatcher is "
    "killed, restarted or stopped every 25 to 45 s; 3 watchers of nodeset.node.*, one stopped at times; all from a seed",
    "each watcher's handlers are shown what was done: no ghost, nothing twice, nothing missed that did not begin and end while "
    "the dispatcher was away",
)
def watchNodes(findings: Findings) -> None:
    """Several runs, each from its own seed."""
    for run in range(findings.pick(3, 1)):
        seed = random.randrange(1_000_000)
        playSeed(findings, seed, findings.pick(150, 50))
        findings.say(f"run {run + 1}")


def playSeed(findings: Findings, seed: int, seconds: float) -> None:
    """One run."""
    before = len(findings.broken)
    with Stage() as stage:
        play = _Play(stage, seed, 12, seconds, findings.say)
        play.run()
        took = 60.0
        try:
            took = stage.wait("every watcher knows how it is", play.rest, took)
        except StillWaiting as error:
            findings.must(False, str(error))
        # What would come too much has time to come.
        stage.wait("nothing more is said", partial(_past, time.monotonic() + 3))
        told = play.check(findings)
    done = ", ".join(f"{act} {count}" for act, count in sorted(play.done.items()))
    wrong = len(findings.broken) - before
    findings.measure(f"seed {seed}: {done}; {told} changes shown, all known {took:.1f} s after the last, {wrong} wrong")
