"""The calls that a dispatcher brings from node to node.

Pure: frames go in with the time, frames come out. Payloads are never looked into, save for calls of the dispatcher itself.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from nodeset.core.answers import Answers
from nodeset.core.batch import Frame, Took
from nodeset.core.calls.callframes import MAX_CALLEES, Answer, Ask, Asked, Call, Cancel, Ending, Item, More
from nodeset.core.calls.claims import Claims
from nodeset.core.calls.crew import Crews
from nodeset.core.calls.desk import Desk
from nodeset.core.calls.lane import LaneFrame
from nodeset.core.calls.parcel import packError
from nodeset.core.calls.party import Group, Party, State, Way, sizeOf, waysOf
from nodeset.core.hello import Hello
from nodeset.core.limits import MAX_EVENT, MAX_HEADERS, MAX_REASON
from nodeset.core.session import Session
from nodeset.errors import ProtocolError

__all__ = ["MAX_UNREAD", "Switchboard"]

#: Bytes of answers that wait for a caller; then the oldest are dropped.
MAX_UNREAD = 8 * 1024 * 1024
#: Calls of which one node may ask over one link, after a dispatcher was started anew; with the frames that it takes to ask.
_MOST_ASKED = 101_000
#: Nodes of which one may be told in return for one batch that they were called: it is for a few bytes that it is told.
_MOST_TOLD = 4 * MAX_CALLEES
#: What a call of all nodes of a name gets from one that returns an iterator.
_NO_STREAMS = packError("TypeError", "it returns an iterator, and a call of all nodes gathers values: call one node")


class Switchboard:
    """Who called whom. Every method that takes `now` wants seconds of a monotonic clock.

    :param site: the host name that means this dispatcher, beside `localhost`.
    :param woken: gets the sessions to ask `nextBatch` for.
    :param answers: its `sends` get what needs no credit, its `counters` count.
    :param settled: whether the nodes that know an earlier dispatcher have had the time to come back.
    """

    def __init__(self, site: str, woken: dict[str, Session], answers: Answers, settled: Callable[[float], bool]) -> None:
        self.desk = Desk()
        self.woken, self._answers, self._settled, self._counters = woken, answers, settled, answers.counters
        self.parties = self._parties = dict[str, Party]()
        self.crews = Crews(site)
        self._claims = Claims()
        self._holding = False

    # -- coming, going

    def join(self, session: Session, hello: Hello, restarted: bool) -> None:
        """The node of `session` opens a link; `restarted` says that it knows a dispatcher before this one."""
        party = self._parties.get(session.stream)
        if party is None:
            party = self._parties[session.stream] = Party(session, self)
            self.crews.add(party)
            if restarted and session.answers:  # who may be called by nobody was not
                self._claims.add(party, hello.calls)
        party.speaks, party.methods, party.retiring = "calls" in hello.features, frozenset(hello.methods), False
        party.asked = 0
        for way in reversed(party.rewind()):
            party.serving.pop((way.caller.stream, way.id))
            party.running_bytes -= way.size
            party.queue(way, first=True)
        for frame in party.sayAgain():
            self._send(session, frame)
        for number, callees in party.groups():  # before the answers, and who was called is not known without
            self._tellCallees(party, number, callees)
        self._wake(party)

    def lost(self, session: Session) -> None:
        """Its link is lost: it may be back. Streams do not outlive it; what was not sent may go to another node."""
        party = self._parties.get(session.stream)
        if party is None:
            return
        party.lane.closed()
        party.lane.dropStreams()
        for way in [way for way in party.serving.values() if way.state == State.STREAMING]:
            self._end(way, Ending.LOST, "the link of its node was lost")
        for entry in list(party.ways.values()):
            if isinstance(entry, Way) and entry.state == State.STREAMING:
                self._end(entry, Ending.LOST, "the link of its caller was lost", True)
        self._moveWaiting(party, alive=True)

    def retire(self, session: Session) -> None:
        """It is leaving: it gets no new call."""
        party = self._parties.get(session.stream)
        if party is not None:
            party.retiring = True
            self._moveWaiting(party, alive=False)

    def isIdle(self, session: Session) -> bool:
        """Whether it has no call to answer."""
        party = self._parties.get(session.stream)
        return party is None or party.idle

    def leave(self, session: Session, reason: str) -> None:
        """It is gone: what it called is cancelled, what called it moves, or learns that nobody knows what became of it."""
        party = self._parties.pop(session.stream, None)
        if party is None:
            return
        self.woken.pop(session.stream, None)
        self.crews.remove(party)
        self._claims.remove(party)
        for entry in list(party.ways.values()):
            for way in waysOf(entry):
                self._drop(way, True)
        self._moveWaiting(party, alive=False)
        for way in list(party.serving.values()):
            self._end(way, Ending.LOST, f"{session.name}: {reason}")

    def _moveWaiting(self, party: Party, alive: bool) -> None:
        """What `party` was not sent goes to others; with `alive` only what finds one that is there, the rest waits on."""
        for way in party.takeWaiting():
            call = way.call
            assert call is not None, "what waits has its call"
            other, _ending, _reason = (None, None, "") if way.group is not None else self.crews.pick(call, way.caller)
            if other is not None and (other.live or not alive) and other is not party:
                other.queue(way)
                self._wake(other)
            elif alive:
                party.queue(way)
            else:
                way.state = State.DONE
                self._tell(way, Ending.NO_NODE, f"{party.session.name} has left")

    # -- what comes

    def arrive(self, session: Session, frames: list[LaneFrame], now: float) -> None:
        """A batch of calls, answers, items came from `session`. Raises `ProtocolError`."""
        party = self._parties.get(session.stream)
        if party is None:
            return  # said in one breath with its goodbye
        party.told = 0
        for frame in frames:
            if type(frame) is Call:
                self._call(party, frame, now)
            elif type(frame) is Answer:
                self._answer(party, frame)
            elif type(frame) is Item:
                self._items(party, frame)
        self._send(session, Took(0, 1))

    def _call(self, party: Party, call: Call, now: float) -> None:
        if len(call.payload) > MAX_EVENT or len(call.headers) > MAX_HEADERS:
            raise ProtocolError(f"the arguments or headers of a call of {call.method[:60]!r} are over the limit")
        if call.id in party.ways or call.id in party.held:
            self._counters["calls_again"] += 1
            return
        call.caller = party.stream
        if call.target and not self._settled(now):
            self._holding = True
            if not party.hold(call):
                self._reply(party, call.id, Ending.BUSY, "too many calls wait for a dispatcher that was started anew")
            return
        call.by = party.session.by
        self._counters["calls"] += 1
        rights = party.session.rights
        if refused := rights.mayCall(call.target, call.method) or (rights.take(now, 1) == 0 and rights.limit):
            self._counters["calls_refused"] += 1
            self._reply(party, call.id, Ending.REFUSED, refused)
        elif not call.target:
            self._askDesk(party, call)
        elif call.mode == 0:
            self._gather(party, call, now)
        else:
            callee, ending, reason = self.crews.pick(call, party)
            if callee is None:
                self._reply(party, call.id, ending, reason)
                return
            deadline = now + call.timeout / 1000 if call.timeout else inf
            way = party.ways[call.id] = Way(party, call.id, call, deadline, sizeOf(call))
            callee.queue(way)
            self._wake(callee)

    def release(self, now: float) -> None:
        """Do what was held, if the dispatcher has settled."""
        if not self._holding or not self._settled(now):
            return
        self._holding = False
        for party in list(self._parties.values()):
            asks, party.asks = party.asks, []
            for ranges in asks:
                self._askAll(party, ranges)
            for call in party.takeHeld():
                self._call(party, call, now)

    def _gather(self, party: Party, call: Call, now: float) -> None:
        """Call every node of a name."""
        callees, reason = self.crews.every(call.target)
        if not callees:
            self._reply(party, call.id, Ending.NO_NODE, reason)
            return
        party.told += len(callees)
        if party.told > _MOST_TOLD:
            self._reply(party, call.id, Ending.BUSY, "too many nodes are called at a time: wait for some answers first")
            return
        group = party.ways[call.id] = Group(now + call.timeout / 1000 if call.timeout else inf)
        self._tellCallees(party, call.id, callees)
        for callee in callees:
            way = Way(party, call.id, call, group.deadline, sizeOf(call), group, callee)
            group.ways.append(way)
            if callee.full:
                way.state = State.DONE
                self._tell(way, Ending.BUSY, f"too many calls wait for {callee.session.name}")
            else:
                callee.queue(way)
                self._wake(callee)

    def _askDesk(self, party: Party, call: Call) -> None:
        party.ways[call.id] = Way(party, call.id, None, inf, 0, None, None, State.DONE)
        self._put(party, self.desk.answer(party.session, call))

    def _answer(self, party: Party, answer: Answer) -> None:
        if len(answer.payload) > MAX_EVENT:
            raise ProtocolError(f"an answer of {len(answer.payload)} bytes is over the limit of {MAX_EVENT}")
        way = party.serving.get((answer.caller, answer.id))
        if way is None:  # cancelled, answered twice, somebody else's; or its caller has yet to ask for it after a restart
            self._counters["answers_late"] += 1
            return
        if answer.ending is Ending.STREAM and way.group is None:
            way.state, way.deadline = State.STREAMING, inf
        elif answer.ending is Ending.STREAM:
            self._drop(way, True)
            self._put(way.caller, Answer("", way.id, Ending.ERROR, _NO_STREAMS, party.stream))
            return
        else:
            party.release(way)
            if party.waiting:
                self._wake(party)
        answer.caller = ""
        answer.callee = party.stream if way.group is not None else ""
        self._put(way.caller, answer)

    def _items(self, party: Party, item: Item) -> None:
        if sum(map(len, item.payloads)) > MAX_EVENT:
            raise ProtocolError(f"items of a stream are over the limit of {MAX_EVENT} bytes together")
        way = party.serving.get((item.caller, item.id))
        if way is None or way.state != State.STREAMING:
            self._counters["answers_late"] += 1
            return
        item.caller = ""
        self._put(way.caller, item)

    def said(self, session: Session, frame: Cancel | More | Ask, now: float) -> None:
        """`session` no longer waits for its call, has read items, or asks. Raises `ProtocolError`."""
        party = self._parties.get(session.stream)
        if party is None:
            return
        if type(frame) is Cancel:
            self._cancel(party, frame)
        elif type(frame) is More:
            way = party.ways.get(frame.id)
            if isinstance(way, Way) and way.state == State.STREAMING and way.callee is not None:
                self._send(way.callee.session, More(party.stream, frame.id, frame.count))
        elif type(frame) is Ask:
            self._ask(party, frame, now)

    def _cancel(self, party: Party, cancel: Cancel) -> None:
        party.unhold(cancel.id)
        entry = party.ways.pop(cancel.id, None)
        if entry is not None:
            for way in waysOf(entry):
                self._drop(way, True)

    def _ask(self, party: Party, ask: Ask, now: float) -> None:
        """It wants to know what became of calls that it made through an earlier dispatcher."""
        party.asked += 1 + sum(last - first + 1 for first, last in ask.ranges)
        if party.asked > _MOST_ASKED:
            raise ProtocolError(f"a node cannot ask for {party.asked} calls over one link, but for {_MOST_ASKED}")
        if self._settled(now):
            self._askAll(party, ask.ranges)
        else:
            party.asks.append(ask.ranges)
            self._holding = True

    def _askAll(self, party: Party, ranges: list[tuple[int, int]]) -> None:
        for first, last in ranges:
            for number in range(first, last + 1):
                if number in party.ways:
                    continue
                callees = self._claims.claimers(party.stream, number)
                if not callees:
                    self._reply(party, number, Ending.UNKNOWN, "no node knows of it since the dispatcher was started anew")
                    continue
                # A call that may have been one of all nodes: each answer says whose it is.
                group = party.ways[number] = Group(inf)
                self._tellCallees(party, number, callees)
                for callee in callees:
                    way = Way(party, number, None, inf, 0, group, callee, State.SENT, True)
                    group.ways.append(way)
                    callee.serving[party.stream, number] = way
                    self._send(callee.session, Ask(party.stream, [(number, number)]))

    def _send(self, session: Session, frame: Frame) -> None:
        self._answers.sends.append((session, frame))

    def _tellCallees(self, party: Party, number: int, callees: list[Party]) -> None:
        said = [(callee.stream, callee.session.name, callee.session.host) for callee in callees]
        self._send(party.session, Asked(number, said))

    # -- what goes

    def nextBatch(self, session: Session, now: float) -> tuple[list[LaneFrame], int]:
        """The next batch of calls, answers, items for `session` with what it weighs; empty when there is none, or no credit."""
        party = self._parties.get(session.stream)
        if party is None or not party.lane.credit:
            return [], 0
        party.now = now
        return party.lane.take()

    def draw(self, party: Party) -> Call | None:
        """The next call to send to `party`."""
        while (way := party.next()) is not None:
            call, way.call = way.call, None
            if call is None or way.deadline <= party.now:
                way.state = State.DONE
                self._tell(way, Ending.TIMED_OUT, f"it waited for its turn at {party.session.name} until its time was over")
                continue
            call.timeout = 0 if way.deadline == inf else max(1, round(1000 * (way.deadline - party.now)))
            party.sent(way, call)
            return call
        return None

    def took(self, session: Session, batches: int) -> None:
        """`session` has read batches: it may get as many more."""
        party = self._parties.get(session.stream) if batches else None
        if party is None:
            return
        for frame in party.lane.took(batches):
            if type(frame) is Answer:
                entry = party.ways.get(frame.id)
                if entry is not None and entry.state == State.DONE:
                    del party.ways[frame.id]
        if party.waiting or party.lane.waits:
            self._wake(party)

    def sweep(self, now: float) -> list[Session]:
        """Forget what is too late; returns those that wait to leave and have no call to answer any more."""
        for party in list(self._parties.values()):
            for number, entry in list(party.ways.items()):
                if entry.deadline <= now and entry.state == State.DONE:
                    del party.ways[number]
                for way in waysOf(entry) if entry.deadline <= now else ():
                    waited = way.state == State.QUEUED
                    self._drop(way, False)
                    if waited:
                        self._tell(way, Ending.TIMED_OUT, "it waited for its turn until its time was over")
        return [party.session for party in self._parties.values() if party.retiring and party.idle]

    @property
    def underWay(self) -> int:
        """How many calls have no answer; streams that have begun do not count."""
        return sum(party.underWay for party in self._parties.values())

    # -- ends

    def _drop(self, way: Way, cancel: bool) -> None:
        """Nobody waits for `way`; with `cancel`, who runs it is told."""
        callee = way.callee
        if callee is not None and callee.release(way):
            if cancel:
                self._send(callee.session, callee.cancel(way))
            self._wake(callee)

    def _end(self, way: Way, ending: Ending, reason: str, cancel: bool = False) -> None:
        self._drop(way, cancel)
        self._tell(way, ending, reason)

    def _tell(self, way: Way, ending: Ending, reason: str) -> None:
        """An answer of ours, in the place of the callee's; the call is over."""
        stamp = way.callee.stream if way.group is not None and way.callee is not None else ""
        self._reply(way.caller, way.id, ending, reason, stamp)

    def _reply(self, party: Party, number: int, ending: Ending, reason: str, stamp: str = "") -> None:
        self._put(party, Answer("", number, ending, reason[:MAX_REASON].encode("utf-8", "replace"), stamp))

    def _put(self, party: Party, frame: LaneFrame) -> None:
        if self._parties.get(party.stream) is not party:
            return  # it is gone
        lane = party.lane
        lane.put(frame)
        while lane.bytes > MAX_UNREAD:
            dropped = lane.dropOldest()
            if (entry := party.ways.get(dropped.id)) is not None and entry.state == State.DONE:
                del party.ways[dropped.id]  # nobody will say that its answer came
            self._counters["answers_dropped"] += 1
        self._wake(party)

    def _wake(self, party: Party) -> None:
        if party.lane.credit:
            self.woken[party.stream] = party.session
