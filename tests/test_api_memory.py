"""Requests that name themselves by a key."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.api.memory import ALL_ANSWERS, MAX_ANSWERS, MAX_BYTES, MEMORY, Different, Memory, fingerprint


class MemoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.memory: Memory[str] = Memory()

    def answered(self, key: str, answer: str | None = "yes", agent: str = "alice", now: float = 0.0, size: int = 10) -> None:
        self.memory.begin(agent, key, b"1")
        self.memory.end(agent, key, answer, size, now)

    def recalled(self, key: str, agent: str = "alice", now: float = 0.0) -> str | None:
        return self.memory.recall(agent, key, b"1", now)

    def test_again(self) -> None:
        """An answer is remembered for 10 minutes, then the same key is free for anything."""
        self.assertIsNone(self.recalled("a"))
        self.answered("a")
        self.assertEqual(self.recalled("a", now=MEMORY - 0.1), "yes")
        self.assertIsNone(self.memory.recall("alice", "a", b"2", MEMORY))
        self.assertEqual(len(self.memory), 0)

    def test_different(self) -> None:
        """The same key of another request is told apart, while the first one runs as well as when it is answered."""
        self.memory.begin("alice", "a", b"1")
        self.assertRaises(Different, self.memory.join, "alice", "a", b"2", lambda answer: None)
        self.memory.end("alice", "a", "yes", 10, 0.0)
        self.assertRaises(Different, self.memory.recall, "alice", "a", b"2", 1.0)

    def test_agents(self) -> None:
        """Nobody is given what somebody else was answered."""
        self.answered("a")
        self.assertIsNone(self.recalled("a", agent="bob"))
        self.assertFalse(self.memory.join("bob", "a", b"1", lambda answer: None))

    def test_running(self) -> None:
        """Who asks while the first one runs is told its answer, or that it is none."""
        told: list[str | None] = []
        for answer in ("yes", None):
            self.memory.begin("alice", "a", b"1")
            self.assertTrue(self.memory.join("alice", "a", b"1", told.append))
            self.assertTrue(self.memory.join("alice", "a", b"1", told.append))
            self.memory.end("alice", "a", answer, 10, 0.0)
            self.memory.recall("alice", "a", b"1", MEMORY)
        self.assertEqual(told, ["yes", "yes", None, None])

    def test_notFinal(self) -> None:
        """What is not final is not remembered."""
        self.answered("a", None)
        self.assertIsNone(self.recalled("a"))
        self.assertEqual(len(self.memory), 0)

    def test_bounds(self) -> None:
        """An agent that has too much loses its own oldest, nobody else's; one too large is not kept."""
        self.answered("of bob", agent="bob")
        for number in range(MAX_ANSWERS + 1):
            self.answered(str(number))
        self.assertEqual(len(self.memory), MAX_ANSWERS + 1)
        self.assertEqual((self.recalled("0"), self.recalled("1"), self.recalled("of bob", "bob")), (None, "yes", "yes"))
        self.answered("large", size=MAX_BYTES)
        self.assertIsNone(self.recalled("large"))
        self.answered("half", size=MAX_BYTES * 3 // 4)
        self.assertEqual((self.recalled("half"), self.recalled("1"), self.recalled(str(MAX_ANSWERS))), ("yes", None, "yes"))

    def test_all(self) -> None:
        """Many agents together are bounded as well, also in what this process weighs."""
        tracemalloc.start()
        try:
            for number in range(ALL_ANSWERS + 1000):
                self.answered("a", agent=f"agent {number}")
            weight = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertEqual(len(self.memory), ALL_ANSWERS)
        self.assertLess(weight, 64 * 1024 * 1024)
        self.memory.recall("nobody", "a", b"1", MEMORY)
        self.assertEqual(len(self.memory), 0)

    def test_fingerprint(self) -> None:
        """Parts that are split otherwise are another request."""
        self.assertNotEqual(fingerprint(b"ab", b"c"), fingerprint(b"a", b"bc"))
        self.assertEqual(fingerprint(b"ab", b"c"), fingerprint(b"ab", b"c"))
