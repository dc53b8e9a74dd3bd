"""The files 0, 1, 2 of a program that runs in our place, for one run.

It gets ours as far as nobody else wants to know what passes; a pipe where ours is a pipe or a file; a terminal where ours is
one. Nothing of Twisted is imported here, as in `relay`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Literal

from nodeset.processes.passing.relay import Relay
from nodeset.processes.passing.terminal import Mirroring, Pair, Terminal, Unreturned, isSame, isTerminal

__all__ = ["Passage"]

_STREAMS: Final[tuple[tuple[Literal["out", "err"], int], ...]] = (("out", 1), ("err", 2))


def _nobody() -> int:
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


class Passage:
    """What a program reads and writes, on its way from and to our own files.

    :param out: whether to keep a copy of what it writes to 1; `err` to 2. Where ours are the same terminal, or the same file
        and both are wanted, all is `out`: else the order of both would be lost.
    :param tty: whether it gets a terminal of its own for 0, 1, 2; None is if our 0 and 1 are terminals; False is none at
        all, not even in the place of one of ours.
    :param again: whether the program may be run once more. If not we let go of our files as soon as they are of no more use to
        us, so that who is at their other ends sees what the program does.
    :param closed: those of 0, 1, 2 that we came without.
    :param say: called with a line about trouble, by whatever thread.
    """

    def __init__(
        self,
        out: bool,
        err: bool,
        tty: bool | None,
        again: bool,
        closed: frozenset[int] = frozenset(),
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._wanted, self._again, self._closed, self._say = {"out": out, "err": err}, again, closed, say
        self._asked, self._refused = tty is True, tty is False
        has_both = 0 not in closed and 1 not in closed and isTerminal(0) and isTerminal(1)
        #: Whether the program has a terminal of its own for 0.
        self.has_terminal = has_both if tty is None else tty
        #: What the program writes, by stream.
        self.relays: dict[Literal["out", "err"], Relay] = {}
        #: The terminal that we take the keys from.
        self.terminal: Terminal | None = None
        #: Numbers for the program's 0, 1, 2, and which of these it does without, as we do.
        self.files: tuple[int, int, int] = (0, 1, 2)
        self.without: tuple[int, ...] = ()
        self._keys: Relay | None = None
        self._pairs: list[Pair] = []
        self._childs: list[int] = []
        self._begun = False

    # -- before

    def open(self) -> tuple[int, int, int]:
        """Make `files`. OSError if there can be no more."""
        try:
            self._open()
        except OSError:
            self.abandon()
            raise
        return self.files

    def _open(self) -> None:
        files = [0, 1, 2]
        if self.has_terminal:
            self._openTerminal(files)
        for stream, number in _STREAMS:
            if files[number] != number or number in self._closed or not self._wanted[stream]:
                continue
            if stream == "err" and "out" in self.relays and isSame(1, 2):
                files[2] = files[1]
            else:
                files[number] = self._openStream(stream, number)
        self.files = (files[0], files[1], files[2])
        self.without = tuple(number for number in self._closed if files[number] == number)

    def _openTerminal(self, files: list[int]) -> None:
        like = next((number for number in range(3) if number not in self._closed and isTerminal(number)), None)
        pair = Pair(like)
        self._pairs.append(pair)
        if 0 not in self._closed:
            self._keys = Relay(os.dup(0), pair.master, copies=False, may=self._mayRead)
            self._keys.atEnd = pair.typeEnd
            if isTerminal(0):
                self.terminal = Terminal(0)
        # Who has stderr elsewhere means that, unless a terminal was asked for.
        shares = self._asked or isSame(1, 2)
        # A shell finds its jobs by its stderr, so that has to be the same terminal; what comes of it cannot be told apart.
        wanted = self._wanted["out"] or (shares and self._wanted["err"])
        self.relays["out"] = Relay(os.dup(pair.master), None if 1 in self._closed else 1, copies=wanted, keep=Unreturned(pair))
        files[:] = [pair.slave, pair.slave, pair.slave if shares else files[2]]

    def _openStream(self, stream: Literal["out", "err"], number: int) -> int:
        if isTerminal(number) and not self._refused:
            # What its keys mean is up to our terminal: in the modes that the program gives to this one.
            pair = Pair(number, mirrors=True)
            self._pairs.append(pair)
            change = Mirroring(pair, lambda: self._lendKeys(pair, number))
            self.relays[stream] = Relay(os.dup(pair.master), number, copies=True, change=change)
            return pair.slave
        source, childs = os.pipe2(os.O_CLOEXEC)
        self._childs.append(childs)
        self.relays[stream] = Relay(source, number, copies=True)
        return childs

    def _lendKeys(self, pair: Pair, number: int) -> None:
        """Pass on keys to who looks for them behind its stdout, as pagers do that have a pipe at 0."""
        if self._keys is not None:
            self._keys.wake()
        elif pair.wantsKeys() and not isTerminal(0):
            seat = Terminal(number)
            self._keys = Relay(os.dup(number), pair.master, copies=False, may=lambda: pair.wantsKeys() and seat.isOurs())
            self._keys.start()

    def _mayRead(self) -> bool:
        return self.terminal is None or self.terminal.check()

    # -- the run

    def begin(self) -> None:
        """The program has its files: pass on what comes."""
        self._begun = True
        self._closeChilds()
        relayed = {0} if self._keys is not None else set()
        for stream, relay in self.relays.items():
            number = 1 if stream == "out" else 2
            relayed.add(number)
            relay.atEnd = self._ending(relay, number)
        if self.terminal is not None:
            self.terminal.lend()
        for relay in (*self.relays.values(), *([self._keys] if self._keys is not None else [])):
            relay.start()
        if not self._again:
            # Our stderr is for what we have to say, as long as there is something of the program to be said.
            self._letGo(*({0, 1, 2} if not self.relays else {0, 1} - relayed))

    def _ending(self, relay: Relay, number: int) -> Callable[[], object]:
        def end() -> None:
            if relay.trouble is not None:
                name = "stdout" if number == 1 else "stderr"
                self._say(f"{name} takes no more: {relay.trouble.strerror}")
            if self._keys is not None and (number == 1 or not self.has_terminal):
                self._keys.stop()
            if not self._again:
                self._letGo(number)
                if all(each is relay or each.ended for each in self.relays.values()):
                    self._letGo(1, 2)

        return end

    def _letGo(self, *numbers: int) -> None:
        nobody = _nobody()
        for number in numbers:
            if number not in self._closed:
                os.dup2(nobody, number)
        os.close(nobody)

    def resize(self) -> bool:
        """The window has another size; returns whether the program was told by that, having a terminal of its own."""
        for pair in self._pairs:
            pair.resize()
        return self.has_terminal

    def suspend(self) -> None:
        """Before we are stopped: give our terminal back."""
        if self.terminal is not None:
            self.terminal.restore()

    def resume(self) -> None:
        """We go on, perhaps in the foreground by now."""
        if self.terminal is not None and self._begun and not all(relay.ended for relay in self.relays.values()):
            self.terminal.lend()
            self.resize()
        if self._keys is not None:
            self._keys.wake()

    # -- after

    def close(self) -> None:
        """Give our terminal back; what is left of the program's has seen its last."""
        self.suspend()
        if self._keys is not None:
            self._keys.stop()
            if self._keys.join(1.0):
                self._closePairs()
        else:
            self._closePairs()

    def _closePairs(self) -> None:
        while self._pairs:
            os.close(self._pairs.pop().master)

    def _closeChilds(self) -> None:
        while self._childs:
            os.close(self._childs.pop())
        for pair in self._pairs:
            pair.closeSlave()

    def abandon(self) -> None:
        """Nothing could be started: close what was opened."""
        self._closeChilds()
        for relay in (*self.relays.values(), *([self._keys] if self._keys is not None else [])):
            relay.discard()
        self._closePairs()
