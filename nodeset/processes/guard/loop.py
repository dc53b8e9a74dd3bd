"""What a guardian does: spawn, watch, signal, tell its supervisor, end all when that is gone."""

from __future__ import annotations

import os
import select
import signal
import socket
from functools import partial

from nodeset.processes.guard import birth, lineage, sweep
from nodeset.processes.guard.channel import Channel, ChannelBroken
from nodeset.processes.guard.ward import Ward, adopt, makeReport, readEnds, treesOf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Guardian"]

#: Seconds between two looks at a group whose leader ended: its last member may not be a child of ours.
_LOOK = 2.0
#: So often a look is repeated that somebody may have slipped through.
_LOOKS = 10
#: Seconds for ending all when the supervisor is gone; one program's tree when it asks.
_FAREWELL, _TREE = 20.0, 2.0
#: With more unsent than this, stops of programs are not told any more: nobody reads.
_MOST_UNSENT = 1 << 20


class Guardian:
    """Everything is a file that becomes readable: the supervisor, each child, each one adopted, the bell of SIGCHLD."""

    def __init__(self, channel: Channel, boss: int, wants: birth.Wants) -> None:
        #: None once the supervisor is gone.
        self._channel: Channel | None = channel
        self._socket = channel.fileno()
        self._boss, self._wants = boss, wants
        self._poll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        self._wards: dict[int, Ward] = {}
        self._leaders: dict[int, Ward] = {}
        #: Adopted ones, by pid: their pidfds.
        self._orphans: dict[int, int] = {}
        self._adopted = 0
        #: Whether there ever was a program that must not outlive the supervisor: whose an adopted one is nobody can tell.
        self._kills = False
        #: Whose leader ended while others of the group live.
        self._kept: dict[int, Ward] = {}
        self._ending: list[Ward] = []
        self._look = self._all_kept = True
        self._me = os.getpid()

    def run(self) -> None:
        """Until nobody is left to watch, nor anybody to watch for."""
        bell, rope = socket.socketpair()
        for end in (bell, rope):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(rope.fileno(), warn_on_full_buffer=False)
        self._watch(bell.fileno(), lambda: self._rung(bell))
        self._watch(self._socket, self._read)
        self._watch(self._boss, self._farewell)
        while self._isNeeded():
            events = self._poll.poll(_LOOK if self._kept else None)
            for file, _ in events:
                call = self._calls.get(file)
                if call is not None:
                    call()
            if self._look or not events:
                self._settle()

    def _isNeeded(self) -> bool:
        return self._channel is not None or bool(self._wards)

    def _watch(self, file: int, call: Callable[[], None]) -> None:
        self._calls[file] = call
        self._poll.register(file, select.EPOLLIN)

    def _unwatch(self, file: int) -> None:
        if self._calls.pop(file, None) is not None:
            self._poll.unregister(file)

    def _tell(self, message: dict[str, Any], *files: int) -> None:
        if self._channel is not None:
            self._channel.put(message, files)
            self._mind(self._channel)

    def _mind(self, channel: Channel) -> None:
        self._poll.modify(channel.fileno(), select.EPOLLIN | (select.EPOLLOUT if channel.unsent else 0))

    # The supervisor.

    def _read(self) -> None:
        if self._channel is None:
            return
        self._channel.flush()
        self._mind(self._channel)
        try:
            messages = self._channel.receive()
        except (ChannelBroken, ValueError) as e:
            self._tell({"did": "broke", "text": str(e)[:300]})
            messages = None
        if messages is None:
            self._farewell()
            return
        doomed: list[tuple[Ward, int]] = []
        for message, files in messages:
            ward = self._wards.get(message["id"])
            match message["do"]:
                case "spawn":
                    self._spawn(message, files)
                case "signal" if ward is not None and (message["number"], message["whole"]) == (signal.SIGKILL, "tree"):
                    doomed.append((ward, message["ask"]))
                case "signal":
                    self._signal(ward, message)
            for file in files:
                os.close(file)
        if doomed:
            self._endTrees(doomed)

    def _spawn(self, order: dict[str, Any], files: list[int]) -> None:
        """Begin a child; the report of it says later whether it became the program. `files` stay the caller's."""
        id = order["id"]
        self._all_kept &= not order["kill"]
        held: list[int] = []
        report = pidfd = -1
        pid = 0
        try:
            if not order["kill"]:
                held = readEnds(files[1:3]) + [os.dup(file) for file in files[3 + len(order["pass_fds"]) :]]
            report, said = makeReport()
            try:
                pid = os.fork()
                if not pid:
                    birth.become(order, files, said, self._wants)
            finally:
                os.close(said)
            pidfd = os.pidfd_open(pid)
        except OSError as e:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED)
            for file in (report, *held):
                if file >= 0:
                    os.close(file)
            self._tell({"did": "failed", "id": id, "step": "guardian", "errno": e.errno, "text": ""})
            return
        self._kills |= order["kill"]
        ward = Ward(id, pid, pidfd, report, kill=order["kill"], shared=order["scope"] == "shared", held=held)
        self._wards[id] = self._leaders[pid] = ward
        self._watch(report, lambda: self._hear(ward))
        self._watch(pidfd, lambda: self._ended(ward))

    def _hear(self, ward: Ward) -> None:
        """The end of a report: exec closed it, or the child did that could not go so far."""
        if ward.report < 0:
            return
        try:
            while data := os.read(ward.report, 512):
                ward.said += data
        except BlockingIOError:
            return
        self._unwatch(ward.report)
        os.close(ward.report)
        ward.report = -1
        ward.meet()
        if not ward.said:
            ward.spawned = True
            self._tell({"did": "spawned", "id": ward.id, "pid": ward.program}, ward.programfd)
            if ward.ushered:
                self._watch(ward.programfd, lambda: self._rouse(ward))
            return
        step, errno, text = (ward.said.decode("utf-8", "replace") + "  ").split(" ", 2)
        self._tell({"did": "failed", "id": ward.id, "step": step, "errno": int(errno), "text": text.strip()})

    def _rouse(self, ward: Ward) -> None:
        """A program has ended whose usher may stand still since it did: others may have continued only one of them."""
        self._unwatch(ward.programfd)
        ward.signalLeader(signal.SIGCONT)

    def _signal(self, ward: Ward | None, message: dict[str, Any]) -> None:
        errno: int | None = None
        if ward is not None and ward.code is not None:
            # Whether it has a group yet, now that its leader ended.
            self._settle()
        if ward is not None and ward.id in self._wards:
            try:
                errno = self._send(ward, message["number"], message["whole"])
            except ProcessLookupError:
                pass
            except OSError as e:
                errno = e.errno
        self._tell({"did": "signalled", "ask": message["ask"], "errno": errno})

    def _send(self, ward: Ward, number: int, whole: str) -> int | None:
        """0 if somebody got it, None if nobody is there, else why not."""
        if whole == "one":
            if ward.code is not None:
                return None
            ward.signalOne(number)
            return 0
        if whole == "group" and number == signal.SIGCONT and ward.ushered and ward.code is None:
            ward.goOn()
            return 0
        if whole == "group" and not ward.shared and not ward.ushered:
            # Atomic. The number is this group's as long as we keep the leader, dead or alive.
            os.killpg(ward.pid, number)
            return 0
        table = lineage.readAll()
        found = [table[pid] for pid in ward.tree(table, self._others(ward), self._me) if table[pid].alive]
        answers = [lineage.sendTo(each, number) for each in found]
        return 0 if 0 in answers else next((errno for errno in answers if errno), None)

    def _endTrees(self, doomed: list[tuple[Ward, int]]) -> None:
        """Kill all these at one stroke: looking through /proc for each of hundreds would take long."""
        wards = [ward for ward, _ in doomed]
        shared = any(ward.shared for ward in wards)
        others = self._others(*wards)
        left = sweep.endAll(
            lambda table: treesOf(wards, table, others, self._me),
            _TREE,
            groups=[ward.pid for ward in wards if not ward.shared],
            heads=lambda: [pid for pid in lineage.children() if shared and pid not in self._leaders],
            reap=self._reapOrphans,
        )
        self._look = True
        table = lineage.readAll() if left else {}
        for ward, ask in doomed:
            alive = any(table[pid].alive for pid in ward.tree(table, others, self._me))
            self._tell({"did": "signalled", "ask": ask, "errno": 1 if alive else 0})

    def _others(self, *wards: Ward) -> set[int]:
        return self._leaders.keys() - {ward.pid for ward in wards}

    # The children.

    def _rung(self, bell: socket.socket) -> None:
        try:
            while len(bell.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        self._look = True
        while (result := _readStop()) is not None:
            ward = self._leaders.get(result.si_pid)
            if ward is not None and self._channel is not None and self._channel.unsent < _MOST_UNSENT:
                number = 0 if result.si_code == os.CLD_CONTINUED else result.si_status
                self._tell({"did": "stopped", "id": ward.id, "number": number})

    def _ended(self, ward: Ward) -> None:
        if ward.pidfd < 0 or ward.code is not None or (code := ward.readCode()) is None:
            return
        self._hear(ward)
        ward.code = code
        self._unwatch(ward.pidfd)
        if ward.spawned:
            self._tell({"did": "ended", "id": ward.id, "code": code})
        self._ending.append(ward)
        self._look = True

    def _settle(self) -> None:
        """Adopt who is new, then see whose groups are empty."""
        self._look = False
        self._adoptAll()
        if not (self._kept or self._ending):
            return
        # Who left nobody behind that we had to adopt has no group any more.
        table = self._lookAround() if self._orphans else {}
        for ward in (*self._kept.values(), *self._ending):
            if table and any(table[pid].alive for pid in ward.tree(table, self._others(ward), self._me)):
                self._kept[ward.id] = ward
            else:
                self._release(ward)
        self._ending.clear()

    def _lookAround(self) -> dict[int, lineage.Process]:
        """All adopted ones with their descendants. Who lost his parent while we looked may have been overlooked."""
        for _ in range(_LOOKS):
            table = lineage.walk(self._orphans)
            if not self._adoptAll():
                return table
        self._look = True
        return lineage.readAll()

    def _adoptAll(self) -> bool:
        """Adopt who is new; whether anybody was."""
        new = [pid for pid in lineage.children() if pid not in self._leaders and pid not in self._orphans]
        for pid in new:
            self._adopt(pid)
        return bool(new)

    def _adopt(self, pid: int) -> None:
        pidfd = adopt(pid)
        if pidfd < 0:
            return
        self._adopted += 1
        if self._channel is not None and self._channel.unsent < _MOST_UNSENT:
            self._tell({"did": "adopted", "count": self._adopted})
        self._orphans[pid] = pidfd
        self._watch(pidfd, lambda: self._bury(pid))

    def _bury(self, pid: int) -> None:
        pidfd = self._orphans.get(pid)
        if pidfd is None:
            return
        try:
            if os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is None:
                return
        except ChildProcessError:
            # A sweep took it.
            pass
        self._unwatch(pidfd)
        os.close(pidfd)
        del self._orphans[pid]
        self._look = True

    def _reapOrphans(self) -> None:
        self._adoptAll()
        for pid in list(self._orphans):
            self._bury(pid)

    def _release(self, ward: Ward) -> None:
        """Nobody of it is left: from here on its number may be anybody's."""
        self._kept.pop(ward.id, None)
        del self._wards[ward.id], self._leaders[ward.pid]
        os.waitid(os.P_PIDFD, ward.pidfd, os.WEXITED)
        self._unwatch(ward.pidfd)
        self._unwatch(ward.programfd)
        for file in ward.held:
            self._unwatch(file)
        ward.free()
        self._tell({"did": "emptied", "id": ward.id})

    # The end.

    def _farewell(self) -> None:
        """The supervisor is gone: end all but what is to be kept, whose output we swallow from now on."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        kept = [ward for ward in self._wards.values() if not ward.kill]

        def choose(table: dict[int, lineage.Process]) -> set[int]:
            spared = {ward.pid for ward in kept}
            for ward in kept:
                # Whose an orphan is cannot be told: it is spared only where nobody is to be ended.
                own = ward.tree(table, self._others(ward), self._me) if not ward.shared else lineage.below((ward.pid,), table)
                spared |= own
            return lineage.below((self._me,), table, spared)

        def heads() -> list[int]:
            # Whose orphan is of a program that is kept takes a look at all of /proc.
            return [] if kept else [pid for pid in lineage.children() if pid not in self._leaders]

        groups = [ward.pid for ward in self._wards.values() if ward.kill and not ward.shared]
        if not self._all_kept:
            sweep.endAll(choose, _FAREWELL, groups=groups, heads=heads, reap=self._reapAll)
        self._unwatch(self._boss)
        os.close(self._boss)
        self._unwatch(channel.fileno())
        channel.close()
        for ward in self._wards.values():
            for file in ward.held:
                os.set_blocking(file, False)
                self._watch(file, partial(self._swallow, file))

    def giveUp(self, text: str) -> None:
        """Tell the supervisor what went wrong here, end all."""
        self._tell({"did": "broke", "text": text[:300]})
        self._farewell()

    def _reapAll(self) -> None:
        self._reapOrphans()
        for ward in list(self._wards.values()):
            if ward.kill and ward.readCode() is not None:
                self._release(ward)

    def _swallow(self, file: int) -> None:
        try:
            if os.read(file, 1 << 16):
                return
        except BlockingIOError:
            return
        except OSError:
            # A terminal whose other side is closed.
            pass
        self._unwatch(file)


def _readStop() -> os.waitid_result | None:
    """A child that was stopped, or goes on. Zombies are none of these, so kept ones are not in the way."""
    try:
        return os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
    except ChildProcessError:
        return None
