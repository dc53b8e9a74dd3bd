"""The frames of `nodeset.v1`."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.sockets import frames
from nodeset.web.sockets.frames import BadFrame, NoFrame, read, splice, write

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OPS = ["sub", "unsub", "credit", "ack", "pub", "req", "cancel", "ping"]
FIELDS = ["id", "pattern", "last_id", "n", "event", "message", "base64", "confirm", "node", "method", "args", "kwargs", "ttl"]


def readQuietly(text: str) -> object:
    """The frame, or why it is none: nothing else may come of it."""
    try:
        return read(text)
    except (BadFrame, NoFrame) as error:
        return error


class FrameTests(SynchronousTestCase):
    @given(st.text())
    def test_garbage(self, text: str) -> None:
        """Any text is a frame, or is refused."""
        self.assertIsInstance(readQuietly(text), (*frames.ClientFrame.__args__, BadFrame, NoFrame))

    @given(st.sampled_from(OPS) | st.text(max_size=5), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
    def test_wrongFields(self, op: str, fields: dict[str, Any]) -> None:
        """Any object is a frame, or is refused under its own id if it has one."""
        found = readQuietly(json.dumps({**fields, "op": op}))
        if isinstance(found, BadFrame):
            id = fields.get("id")
            named = isinstance(id, str) and 0 < len(id) <= frames.MAX_ID
            self.assertEqual(found.id, id if named and "\\ud" not in json.dumps(id) else found.id)
        self.assertNotIsInstance(found, NoFrame if all(_isSound(value) for value in fields.values()) else ())

    def test_depth(self) -> None:
        """What is nested deeper than the stack is refused, wherever it stands."""
        deep = "[" * 200_000 + "]" * 200_000
        for text in (deep, f'{{"op":"req","id":"a","node":"n","method":"m","args":{deep}}}', f'{{"op":{deep}}}'):
            self.assertIsInstance(readQuietly(text), (BadFrame, NoFrame))

    def test_unknownField(self) -> None:
        """A field that a frame does not have is a mistake that is told, by its name."""
        found = readQuietly('{"op":"sub","id":"a","pattern":"x","patern":"y"}')
        self.assertIsInstance(found, BadFrame)
        self.assertIn("patern", str(found))

    def test_bounds(self) -> None:
        """An id has 1 to 64 characters, credit is from 1 to a million."""
        for text in (
            '{"op":"unsub","id":""}',
            json.dumps({"op": "unsub", "id": "x" * 65}),
            '{"op":"credit","n":0}',
            '{"op":"credit","n":1000001}',
            '{"op":"credit","n":1.5}',
            '{"op":"pub","event":"a","message":{},"ttl":0}',
            '{"op":"pub","event":"a","message":{},"confirm":"durable"}',
        ):
            self.assertIsInstance(readQuietly(text), BadFrame, text)

    @given(st.text(max_size=20), st.dictionaries(st.text(max_size=5), JSON, max_size=3))
    def test_event(self, sub: str, message: dict[str, Any]) -> None:
        """An event's own JSON stands in its frame as it is."""
        event = {"id": "e-1", "event": "a", "at": 1.5, "message": message}
        text = splice("event", sub, msgspec.json.encode(event))
        self.assertEqual(json.loads(text), {"op": "event", "sub": sub, **event})

    def test_table(self) -> None:
        """The table of the protocol names each frame, with each of its fields, in the right direction."""
        text = frames.__doc__ or ""
        for arrow, kinds in (("->", frames.ClientFrame.__args__), ("<-", frames.ServerFrame.__args__)):
            for kind in kinds:
                config = kind.__struct_config__
                row = re.search(rf"^    {arrow} {config.tag} +(.*)$", text, re.MULTILINE)
                assert row is not None, f"{arrow} {config.tag} is not in the table"
                for field in kind.__struct_fields__:
                    if field not in ("retry_after", "receipt"):
                        self.assertRegex(row[1], rf"\b{field}\b", config.tag)

    def test_written(self) -> None:
        """Each frame of the bridge names itself."""
        self.assertEqual(json.loads(write(frames.Pong(None))), {"op": "pong", "id": None})
        self.assertEqual(
            json.loads(write(frames.Error("a", 404, "Not Found", "no"))),
            {"op": "error", "id": "a", "status": 404, "title": "Not Found", "detail": "no"},
        )


def _isSound(value: Any) -> bool:
    """Whether msgspec reads it: integers beyond any bound, and halves of surrogate pairs, it calls no JSON."""
    return "\\ud" not in json.dumps(value) and not re.search(r"\d{19}|e\+?\d{3}|Infinity", json.dumps(value))
