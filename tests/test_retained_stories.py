"""Last values in stories of loss that nobody wrote by hand."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.address import matches
from nodeset.testing import Site
from tests.sites import Order, Quiet

EVENTS = ("v.a", "v.b", "v.b.c", "w")
PATTERNS = ("v.>", "v.*", "v.a", "w", "*.b.c", ">")


class Story:
    """Publishers that keep values, subscribers that come and go, links that are lost, a dispatcher that dies."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.site = Site()
        self.site.wire.delay = self.random.choice((0.0, 0.01, 0.1))
        self.pubs = [self.site.node(Quiet, name=f"pub{index}", tub=f"pub{index}") for index in range(2)]
        self.subs: list[Quiet] = []
        self.last: dict[tuple[str, str], int] = {}
        self.number = 0

    def publish(self) -> None:
        """One more value."""
        pub, event = self.random.choice(self.pubs), self.random.choice(EVENTS)
        self.number += 1
        self.last[pub.name, event] = self.number
        pub.publish(event, Order, id=self.number, note=pub.name, retain=True, timeout=None).addErrback(lambda failure: None)

    def subscribe(self) -> None:
        """One more subscriber, or one more pattern."""
        if len(self.subs) < 4:
            self.subs.append(self.site.node(Quiet, tub=f"sub{len(self.subs)}"))
        self.random.choice(self.subs).subscribe(self.random.choice(PATTERNS))

    def cut(self) -> None:
        """Somebody's link is lost, for a moment or for long."""
        tub = self.random.choice([f"pub{index}" for index in range(2)] + [f"sub{index}" for index in range(len(self.subs))])
        acceptor = self.site.wire.acceptor
        self.site.wire.cut(tub)
        if self.random.random() < 0.3:
            self.site.wire.acceptor = None
            self.site.advance(self.random.choice((0.5, 3.0)))
            self.site.wire.acceptor = acceptor

    def kill(self) -> None:
        """The dispatcher dies; there is another one soon."""
        self.site.killDispatcher()
        self.site.advance(self.random.choice((0.0, 1.0, 4.0)))
        self.site.startDispatcher()

    def play(self) -> None:
        """All of it, then peace."""
        acts: list[Any] = [self.publish] * 6 + [self.subscribe] * 2 + [self.cut] * 2 + [self.kill]
        for _ in range(25):
            self.random.choice(acts)()
            if self.random.random() < 0.5:
                self.site.advance(self.random.choice((0.0, 0.01, 0.1, 1.0)))
        self.site.advance(40.0)


class StoryTests(SynchronousTestCase):
    """Whatever happens."""

    def test_stories(self) -> None:
        """In the end each subscriber has had the last value of all that it subscribes to; nobody saw one twice, or an older one
        after a newer."""
        for seed in range(80):
            story = Story(seed)
            story.play()
            for sub in story.subs:
                seen: dict[tuple[str, str], int] = {}
                for event, msg in sub.heard:
                    key, number = (str(msg.note), event), int(msg.id)
                    self.assertGreater(number, seen.get(key, 0), (seed, sub.name, key))
                    seen[key] = number
                wanted = {
                    key: number
                    for key, number in story.last.items()
                    if any(matches(pattern, key[1]) for pattern in sub.getSubscriptions())
                }
                self.assertEqual({key: seen.get(key) for key in wanted}, wanted, (seed, sub.getSubscriptions()))
            story.site.wire.delay = 0.0
            story.site.advance(0.2)
            story.site.stop()
            self.assertEqual(story.site.clock.getDelayedCalls(), [], seed)
