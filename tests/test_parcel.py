"""The values of calls as JSON."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.calls.parcel import packArguments, packError, packValue, unpackArguments, unpackError, unpackValue
from nodeset.errors import BadArguments, BadMessage, MessageTooLarge, ProtocolError

_scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text()
_keys = st.text() | st.integers()
_values = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(_keys, inner), max_leaves=20)


def isPlain(value: Any) -> bool:
    """Whether JSON can carry it as it is."""
    match value:
        case bool() | None:
            return True
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return math.isfinite(value)
        case str():
            return all(not 0xD800 <= ord(character) < 0xE000 for character in value)
        case list():
            return all(map(isPlain, value))
        case _:
            return all(type(key) is str and isPlain(key) and isPlain(one) for key, one in value.items())


class ParcelTests(SynchronousTestCase):
    @given(st.lists(_values, max_size=4), st.dictionaries(st.text(), _values, max_size=4))
    def test_asItWas(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Arguments arrive as they were, or are refused; never as something else."""
        if isPlain(args) and isPlain(kwargs):
            self.assertEqual(repr(unpackArguments(packArguments(args, kwargs))), repr((args, kwargs)))
        else:
            self.assertRaises(BadArguments, packArguments, args, kwargs)

    @given(_values)
    def test_value(self, value: Any) -> None:
        """So do values that are returned."""
        if isPlain(value):
            self.assertEqual(repr(unpackValue(packValue(value, "it"))), repr(value))
        else:
            self.assertRaises(BadMessage, packValue, value, "it")

    @given(st.binary())
    def test_nonsense(self, payload: bytes) -> None:
        """Bytes of somebody's own are refused, or are values."""
        for unpack, errors in ((unpackArguments, BadArguments), (unpackValue, ProtocolError)):
            try:
                unpack(payload)
            except errors:
                pass
        self.assertTrue(str(unpackError(payload)))

    def test_deep(self) -> None:
        """32 levels pass, the call's own included; more does not, either way."""
        value: Any = 1
        for _ in range(30):
            value = [value]
        self.assertEqual(unpackArguments(packArguments([value], {})), ([value], {}))
        self.assertRaisesRegex(BadArguments, "nested deeper", packArguments, [[value]], {})
        for depth in (33, 5_000, 200_000):
            self.assertRaises(BadArguments, unpackArguments, b"[[" + b"[" * depth + b"]" * depth + b"],{}]")
        brackets = ["[" * 5_000]
        self.assertEqual(unpackArguments(packArguments(brackets, {})), (brackets, {}))

    def test_size(self) -> None:
        """1 MiB passes, more does not; a long error is cut."""
        self.assertEqual(len(packValue("x" * ((1 << 20) - 2), "it")), 1 << 20)
        self.assertRaises(MessageTooLarge, packValue, "x" * ((1 << 20) - 1), "it")
        error = unpackError(packError("Boom" * 100, "x" * 100_000, "\ud800" + "y" * 100_000))
        self.assertEqual((len(error.type), len(str(error)), len(error.traceback)), (200, 4_000, 16_000))
