"""The classes keep what the interfaces promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.interface import InterfaceClass
from zope.interface.interface import Method as InterfaceMethod
from zope.interface.verify import verifyClass, verifyObject

from nodeset.core import interfaces
from nodeset.core.address import EventURI
from nodeset.core.collection import NodeCollection
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.heartbeat import Heartbeat
from nodeset.core.message import MessageBuilder
from nodeset.core.node import Node
from nodeset.core.routing import RouteEntry
from nodeset.core.stream import StreamNode


def _members() -> Iterator[tuple[str, str, Any]]:
    for name in interfaces.__all__:
        interface: Any = getattr(interfaces, name)
        for member, described in interface.namesAndDescriptions(all=False):
            yield name, member, described


class InterfaceTests(SynchronousTestCase):
    """`nodeset.core.interfaces`."""

    def test_objects(self) -> None:
        """Every object that is looked up by an interface has the methods and attributes of it, with the same arguments."""
        clock = Clock()
        provided: list[tuple[Any, object]] = [
            (interfaces.INode, Node(name="n", clock=clock)),
            (interfaces.INode, NodeCollection(name="c", clock=clock)),
            (interfaces.IStreamNode, StreamNode(name="s", clock=clock)),
            (interfaces.INodeCollection, NodeCollection(name="c", clock=clock)),
            (interfaces.IStreamNode, StreamNode(name="s", clock=clock)),
            (interfaces.IRouteEntry, RouteEntry("peer", "orders.created", "n", "localhost")),
            (interfaces.INodeHeartBeat, Heartbeat()),
            (interfaces.IEventDispatcher, EventDispatcher(clock)),
            (interfaces.IEventURI, EventURI("n@h/orders.created")),
            (interfaces.IMessageBuilder, MessageBuilder()),
        ]
        for interface, thing in provided:
            with self.subTest(interface=interface.__name__):
                self.assertTrue(verifyObject(interface, thing))
        self.assertEqual({interface.__name__ for interface, _thing in provided}, set(interfaces.__all__))

    def test_classes(self) -> None:
        """The classes say so themselves, so that a class can be asked before there is an object."""
        for interface, cls in (
            (interfaces.INode, Node),
            (interfaces.IStreamNode, StreamNode),
            (interfaces.IEventDispatcher, EventDispatcher),
        ):
            self.assertTrue(verifyClass(interface, cls))

    def test_documented(self) -> None:
        """Every interface, each method, each attribute says in a docstring what it promises."""
        for name in interfaces.__all__:
            interface = getattr(interfaces, name)
            self.assertIsInstance(interface, InterfaceClass)
            self.assertTrue(interface.extends(Interface), name)
            self.assertTrue((interface.__doc__ or "").strip(), name)
        for name, member, described in _members():
            self.assertTrue((described.__doc__ or "").strip(), f"{name}.{member} has no docstring")

    def test_methodsAreThere(self) -> None:
        """A node's interface lists the verbs that users call."""
        methods = {
            member for name, member, described in _members() if name == "INode" and isinstance(described, InterfaceMethod)
        }
        verbs = {
            "start",
            "publish",
            "publishMessage",
            "publishMany",
            "subscribe",
            "unsubscribe",
            "issubscribed",
            "getSubscriptions",
            "onEvent",
        }
        self.assertLessEqual(verbs, methods)
