"""Looking for a pattern in what a program writes, however it is cut into chunks."""

from __future__ import annotations

import re
from typing import Final

import attrs

__all__ = ["LogSearch"]

#: Bytes of an unfinished line that are kept for what comes next.
_CARRY: Final = 4096


@attrs.define(eq=False)
class LogSearch:
    """Feed it the chunks of one stream; it remembers at most a few KiB of the last line.

    In the pattern `^` and `$` are the ends of a line. An unfinished line, a prompt say, is searched as far as it came.
    """

    pattern: re.Pattern[bytes]
    _rest: bytes = b""
    # Whether `_rest` is not from the beginning of its line, so that `^` must not be found there.
    _cut: bool = False

    @classmethod
    def of(cls, text: str) -> LogSearch:
        """For this regular expression, which is matched against the bytes as UTF-8. `re.error` for what is none."""
        return cls(re.compile(text.encode(), re.MULTILINE))

    def feed(self, data: bytes) -> bytes | None:
        """The match that `data` completes, or None."""
        text = self._rest + data
        found = self.pattern.search(text, 1 if self._cut else 0)
        if found is not None:
            return found.group()
        begin = text.rfind(b"\n") + 1
        cut = self._cut and not begin
        # One more byte stands before what is searched, so that `^` knows it for no beginning.
        if len(text) - begin > _CARRY + 1:
            begin, cut = len(text) - _CARRY - 1, True
        self._rest, self._cut = text[begin:], cut
        return None
