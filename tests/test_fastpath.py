"""The fast way of a batch: the same bytes, the same order, the same refusals as the stock way."""

from __future__ import annotations

from typing import Any

from foolscap.api import Referenceable
from foolscap.broker import Broker
from foolscap.referenceable import RemoteReference, RemoteReferenceTracker
from foolscap.vocab import INITIAL_VOCAB_TABLES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from nodeset.core.batch import MAX_BATCH
from nodeset.transport import fastpath, tub
from nodeset.transport.broker import BoundedBroker, trust
from nodeset.transport.faces import LinkFace
from nodeset.transport.fastpath import FastBroker, brokerClass, isUsable
from tests.test_contract import TubContractTests as _TubContract


class Transport(StringTransport):
    """Remembers that it was aborted."""

    aborted = False

    def abortConnection(self) -> None:
        """Note it."""
        self.aborted = True


class Heard(LinkFace):
    """A face that writes down what it hears, beside the calls that came between."""

    def __init__(self, log: list[bytes]) -> None:
        super().__init__()
        self.heard = log

    def remote_batch(self, data: bytes) -> None:
        """Note it."""
        self.heard.append(data)


class Other(Referenceable):
    """Something else than a link."""

    def __init__(self, log: list[bytes]) -> None:
        self.heard = log

    def remote_batch(self, data: bytes) -> None:
        """Note it, as of another object."""
        self.heard.append(b"other:" + data)

    def remote_say(self, word: bytes) -> None:
        """Note the word."""
        self.heard.append(b"said:" + word)


def makeBroker(kind: Any) -> Any:
    """A broker of a kind on a transport that keeps what it writes."""
    broker = kind(None, {"initial-vocab-table-index": 1})
    broker.makeConnection(Transport())
    broker.log = type("Quiet", (), {"warn": staticmethod(lambda *args, **fields: None)})
    return broker


def makeReceiver(kind: Any) -> tuple[Any, list[bytes]]:
    """A broker that holds a link at clid 1 and something else at clid 2, with what both hear."""
    broker = makeBroker(kind)
    log: list[bytes] = []
    for face in (Heard(log), Other(log)):
        broker.getTrackerForMyReference(face.processUniqueID(), face).send()
        broker.kept = [*getattr(broker, "kept", []), face]
    if kind is not Broker:
        trust(broker)
    return broker, log


def stockCalls(calls: list[tuple[int, str, bytes]]) -> bytes:
    """What a stock peer writes for these calls: (clid, method, argument)."""
    broker = makeBroker(Broker)
    for clid, method, data in calls:
        RemoteReference(RemoteReferenceTracker(broker, clid, None, None)).callRemoteOnly(method, data)
    written: bytes = broker.transport.value()
    return written


Calls = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 2]), st.sampled_from(["batch", "batch", "batch", "say"]), st.binary(max_size=300)),
    max_size=12,
)


class WritingTests(SynchronousTestCase):
    """What the fast broker writes."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 100_000), st.binary(max_size=400)), max_size=20))
    @example([(1, b"x"), (1, b"call"), (1, b"y")])
    def test_sameBytes(self, batches: list[tuple[int, bytes]]) -> None:
        """A stock peer would have written the very same bytes, call after call, a word that Foolscap abbreviates included."""
        fast = makeBroker(FastBroker)
        for clid, data in batches:
            if not fast.sendBatch(clid, data):
                self.assertIn(data, INITIAL_VOCAB_TABLES[1])
                RemoteReference(RemoteReferenceTracker(fast, clid, None, None)).callRemoteOnly("batch", data)
        self.assertEqual(fast.transport.value(), stockCalls([(clid, "batch", data) for clid, data in batches]))

    def test_busy(self) -> None:
        """While Foolscap is in the middle of something the fast way is closed, so that nothing overtakes."""
        fast = makeBroker(FastBroker)
        fast.rootSlicer.sendQueue.append((object(), Deferred()))
        self.assertFalse(fast.sendBatch(1, b"x"))
        fast.rootSlicer.sendQueue.clear()
        self.assertTrue(fast.sendBatch(1, b"x"))
        fast.disconnected = True
        self.assertFalse(fast.sendBatch(1, b"x"))


class ReadingTests(TestCase):
    """What the fast broker makes of what comes."""

    def _turns(self) -> Deferred[None]:
        from twisted.internet import reactor

        return deferLater(reactor, 0.01)

    def test_orderAndSplits(self) -> Deferred[None]:
        """Whatever a stock peer sends, cut anywhere, is heard as a stock broker hears it, in the same order."""
        pairs: list[tuple[list[bytes], list[bytes]]] = []

        @settings(max_examples=60, deadline=None)
        @given(Calls, st.lists(st.integers(1, 200), max_size=30))
        def feed(calls: list[tuple[int, str, bytes]], cuts: list[int]) -> None:
            # A link has no other method than batch.
            calls = [(clid, "batch" if clid == 1 else method, data) for clid, method, data in calls]
            written = stockCalls(calls)
            fast, heard = makeReceiver(FastBroker)
            at = 0
            for cut in [*cuts, len(written)]:
                fast.dataReceived(written[at : at + cut])
                at += cut
            self.assertFalse(fast.transport.aborted)
            prefix = {"batch": b"other:", "say": b"said:"}
            pairs.append((heard, [data if clid == 1 else prefix[method] + data for clid, method, data in calls]))
            kept.append(fast)

        kept: list[Any] = []
        feed()

        async def later() -> None:
            for _ in range(40):
                await self._turns()
                if all(heard == expected for heard, expected in pairs):
                    break
            for heard, expected in pairs:
                self.assertEqual(heard, expected)

        return Deferred.fromCoroutine(later())

    def test_alone(self) -> None:
        """A batch is heard at once, without a turn of the reactor; Foolscap's counts go on as if it had read it."""
        fast, heard = makeReceiver(FastBroker)
        written = stockCalls([(1, "batch", b"a" * 70_000), (1, "batch", b"b")])
        for at in range(0, len(written), 16_384):
            fast.dataReceived(written[at : at + 16_384])
        self.assertEqual(heard, [b"a" * 70_000, b"b"])
        self.assertEqual(fast.objectCounter, 4)

    def test_tooLong(self) -> None:
        """A string over the limit is refused on its header, for a stranger at 8 KiB, for a peer at a batch."""
        for trusted, length in ((False, 9_000), (True, MAX_BATCH + 1)):
            fast = makeBroker(FastBroker)
            if trusted:
                trust(fast)
            fast.dataReceived(stockCalls([(1, "batch", b"x" * length)])[:64])
            self.assertTrue(fast.transport.aborted)

    def test_brokenFrame(self) -> None:
        """A frame that does not end as it began is left to Foolscap, which cuts its sender off."""
        fast, heard = makeReceiver(FastBroker)
        written = bytearray(stockCalls([(1, "batch", b"data")]))
        written[-2] = 0x05
        fast.dataReceived(bytes(written))
        self.assertTrue(fast.transport.aborted)
        self.assertEqual(heard, [])


class VocabularyTests(SynchronousTestCase):
    """The words that Foolscap abbreviates."""

    def test_shared(self) -> None:
        """Connections share their tables; a word that one peer adds, or is told, is its own alone."""
        one, other = makeBroker(FastBroker), makeBroker(FastBroker)
        self.assertIs(one.incomingVocabulary, other.incomingVocabulary)
        self.assertIs(one.outgoingVocabulary, other.outgoingVocabulary)
        one.addIncomingVocabulary(100, b"planted")
        one.outgoingVocabTableWasAmended(100, b"planted")
        self.assertEqual((one.incomingVocabulary[100], one.outgoingVocabulary[b"planted"]), (b"planted", 100))
        stock = makeBroker(Broker)
        for broker in (other, makeBroker(BoundedBroker)):
            self.assertEqual(broker.incomingVocabulary, stock.incomingVocabulary)
            self.assertEqual(broker.outgoingVocabulary, stock.outgoingVocabulary)


class FallBackTests(SynchronousTestCase):
    """When Foolscap is not the one that we know."""

    def test_usable(self) -> None:
        """With the Foolscap that is installed here the fast way is taken."""
        self.assertTrue(isUsable())
        self.assertIs(brokerClass(), FastBroker)

    def test_changed(self) -> None:
        """A Foolscap that writes calls in another way, or breaks, makes us take its own way, said once."""
        said: list[Any] = []
        self.patch(fastpath, "_log", type("Log", (), {"warn": staticmethod(lambda text, **fields: said.append(fields))}))
        for changed in (lambda clid, data: b"something else", lambda clid, data: 1 / 0):
            isUsable.cache_clear()
            self.addCleanup(isUsable.cache_clear)
            self.patch(fastpath, "_stock", changed)
            said.clear()
            self.assertIs(brokerClass(), BoundedBroker)
            self.assertIs(brokerClass(), BoundedBroker)
            self.assertEqual(len(said), 1)


class StockContractTests(_TubContract):
    """The link contract over stock brokers on both sides."""

    def setUp(self) -> None:
        """Take the stock way."""
        self.patch(tub, "brokerClass", lambda: BoundedBroker)


class MixedContractTests(_TubContract):
    """The link contract between a stock broker and a fast one, whichever comes first."""

    def setUp(self) -> None:
        """Take turns."""
        kinds = [BoundedBroker, FastBroker] * 50
        self.patch(tub, "brokerClass", kinds.pop)


del _TubContract
