"""The header by which traces travel."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.traceparent import Trace, format, parse

ids = st.text("0123456789abcdef", min_size=32, max_size=32)
spans = st.text("0123456789abcdef", min_size=16, max_size=16)
GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True)


class TraceparentTests(SynchronousTestCase):
    """`parse` and `format`."""

    def test_example(self) -> None:
        """The example of the standard is read and written as it stands."""
        self.assertEqual((parse(GOOD), format(TRACE)), (TRACE, GOOD))
        self.assertEqual(format(Trace(TRACE.trace_id, TRACE.span_id)), GOOD[:-1] + "0")

    @given(ids, spans, st.booleans())
    def test_roundTrip(self, trace_id: str, span_id: str, sampled: bool) -> None:
        """What is written is read again."""
        assume(trace_id.strip("0") and span_id.strip("0"))
        self.assertEqual(parse(format(Trace(trace_id, span_id, sampled))), Trace(trace_id, span_id, sampled))

    @given(st.integers(0, 255), ids, spans, st.integers(0, 255), st.sampled_from(["", "-", "-what-comes", "x", "\n"]))
    def test_versions(self, version: int, trace_id: str, span_id: str, flags: int, more: str) -> None:
        """Of a later version the four fields are read, whatever follows them; ff is none, nor is a 00 with more behind it."""
        assume(trace_id.strip("0") and span_id.strip("0"))
        wanted: Trace | None = Trace(trace_id, span_id, bool(flags & 1))
        if version == 255 or more in ("x", "\n") or (version == 0 and more):
            wanted = None
        self.assertEqual(parse(f"{version:02x}-{trace_id}-{span_id}-{flags:02x}{more}"), wanted)

    def test_invalid(self) -> None:
        """Ids of zeros alone, capitals, other digits, too few or too many of them, are no trace; neither is a long story."""
        for bad in (
            "",
            "00",
            GOOD.upper(),
            GOOD[:-1],
            GOOD + "0",
            " " + GOOD,
            GOOD.replace("-", "_"),
            GOOD.replace("4bf9", "4bg9"),
            GOOD.replace("4bf9", "٤bf9"),
            f"00-{'0' * 32}-00f067aa0ba902b7-01",
            f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
            f"01{GOOD[2:]}-{'x' * 500}",
        ):
            self.assertIsNone(parse(bad), bad)

    @given(st.text(max_size=80))
    def test_anyText(self, text: str) -> None:
        """Any text is a trace or none, and never an error."""
        found = parse(text)
        self.assertTrue(found is None or parse(format(found)) == found)
