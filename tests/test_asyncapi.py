"""asyncapi.json, which says what streams carry."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from openapi_schema_validator import OAS31Validator
from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.feeds.tap import Opening
from nodeset.web.sockets import frames
from nodeset.web.sockets.endpoints import readDocument
from nodeset.web.streams.forms import SSE
from tests.webs import WebSite

#: One frame of each kind, as it is on the wire.
EXAMPLES = [
    '{"op":"sub","id":"s","pattern":"orders.*","last_id":"e-1"}',
    '{"op":"unsub","id":"s"}',
    '{"op":"credit","n":1000000}',
    '{"op":"ack","n":1}',
    '{"op":"pub","id":"p","event":"orders.new","message":{"a":[1]},"confirm":"handled","delivery":"one","ttl":1.5,"key":"k"}',
    '{"op":"pub","event":"orders.new","base64":"AAE=","retain":true}',
    '{"op":"req","id":"r","node":"calc","method":"add","args":[1],"kwargs":{"b":2},"timeout":5,"idempotent":true}',
    '{"op":"cancel","id":"r"}',
    '{"op":"ping"}',
]
SERVED: list[frames.ServerFrame] = [
    frames.Welcome("nodeset.v1", "anonymous", True, True, 1, 100, 10, 25.0),
    frames.Subscribed("s", "orders.*", "e-1"),
    frames.Unsubscribed("s", ""),
    frames.Gap("s", "e-1", "epoch"),
    frames.Receipt("p", 1, 1, 0),
    frames.Result("r", [1, None]),
    frames.Item("r", {}),
    frames.End("r"),
    frames.Cancelled("r"),
    frames.Pong(None),
    frames.LinkFrame(False, "gone"),
    frames.Error(None, 400, "Bad Request", "no"),
    frames.Error("p", 429, "Too Many Requests", "no", retry_after=1.0),
]


def references(value: Any) -> list[str]:
    """All `$ref` in it."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in references(each)]
    return [found for each in value for found in references(each)] if isinstance(value, list) else []


class AsyncApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.document: dict[str, Any] = msgspec.json.decode(readDocument())
        self.components: dict[str, Any] = self.document["components"]

    def find(self, reference: str) -> Any:
        """What a reference means."""
        found: Any = self.document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/")]
        return found

    def test_references(self) -> None:
        """Everything that it refers to is there."""
        self.assertEqual(self.document["asyncapi"], "3.0.0")
        for reference in references(self.document):
            self.assertTrue(reference.startswith("#/"))
            self.find(reference)

    def test_operations(self) -> None:
        """The bridge receives every frame of a client, sends every frame of its own, no other."""
        for name, kinds in (("receiveFrames", frames.ClientFrame.__args__), ("sendFrames", frames.ServerFrame.__args__)):
            operation = self.document["operations"][name]
            described = [self.find(self.find(each["$ref"])["$ref"]) for each in operation["messages"]]
            self.assertEqual([each["name"] for each in described], [kind.__struct_config__.tag for kind in kinds])
            self.assertEqual(operation["action"], name[:-6])

    def test_schemas(self) -> None:
        """The schema of each frame is that of the code."""
        kinds = [*frames.ClientFrame.__args__, *frames.ServerFrame.__args__]
        _schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
        described = {name: self.components["schemas"].get(name) for name in components}
        self.assertEqual(described, msgspec.to_builtins(components))

    def test_examples(self) -> None:
        """What the code takes, what it writes, is valid by the schema of its kind."""
        written = [frames.write(frame) for frame in SERVED]
        written.append(frames.splice("event", "s", b'{"id":"e-1","event":"orders.new","at":1.5,"message":{"a":1}}'))
        kinds = {message["name"]: name for name, message in self.components["messages"].items()}
        for text in [*EXAMPLES, *written]:
            value = msgspec.json.decode(text)
            schema = {"$ref": f"#/components/schemas/{kinds[value['op']]}", "components": self.components}
            errors = [error.message for error in OAS31Validator(schema).iter_errors(value)]
            self.assertEqual(errors, [], text)
        for text in EXAMPLES:
            frames.read(text)
        seen = {msgspec.json.decode(text)["op"] for text in [*EXAMPLES, *written]}
        every = {kind.__struct_config__.tag for kind in (*frames.ClientFrame.__args__, *frames.ServerFrame.__args__)}
        self.assertEqual(seen, every)

    def test_served(self) -> None:
        """Everybody may read it."""
        web = WebSite(self)
        answer = web.ask("GET", "/asyncapi.json")
        self.assertEqual((answer.status, answer.json()), (200, self.document))

    def test_streams(self) -> None:
        """What a stream says beside events is described, as it is written in each form."""
        opening = Opening("epoch", "e-1", False, (), "e-1")
        schemas = self.components["schemas"]
        said = SSE.head(opening) + SSE.link(True) + SSE.slow("bytes") + SSE.ended("draining", "")
        found = re.findall(rb"event: (\S+)\ndata: (.*)\n", said)
        self.assertEqual(len(found), 5)
        described = {message["name"]: message["payload"]["$ref"] for message in self.components["messages"].values()}
        for name, data in found:
            schema = schemas[described[name.decode()].rpartition("/")[2]]
            value = msgspec.json.decode(data)
            self.assertEqual([error.message for error in OAS31Validator(schema).iter_errors(value)], [], name)
            self.assertEqual(set(value), set(schema["properties"]), name)

    def test_addresses(self) -> None:
        """Each of its addresses is a route."""
        door: Any = WebSite(self).http.entrance
        routes = {re.sub(r"\{\w+\}", "{}", route.template) for route in door.routes if route.method == "GET"}
        for channel in self.document["channels"].values():
            self.assertIn(re.sub(r"\{\w+\}", "{}", channel["address"]), routes)
