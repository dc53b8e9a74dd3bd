"""A line that is typed at a prompt, with those before it.

What does not fit into the terminal's width scrolls sideways, so that a line is always one row of the screen.
"""

from __future__ import annotations

import codecs
import re
import tokenize
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from twisted.conch.insults import insults
from twisted.conch.manhole import VT102Writer
from twisted.python.htmlizer import TokenPrinter

from nodeset.shell.plain import columns

__all__ = ["Editor"]

#: Characters in a line; more is not taken.
_LONGEST_LINE: Final = 65_536
_MOST_HISTORY: Final = 1000
#: A longer source is not coloured: it is read anew for each key.
_LONGEST_COLOURED: Final = 4000
#: What completes: a name, or what follows names with dots.
_WORD: Final = re.compile(r"[^\W\d][\w.]*\Z")
_COLOUR: Final = re.compile(rb"\x1b\[[0-9;]*m")


class _Writer(VT102Writer):
    """Conch's colours, but names are left alone."""

    typeToColor = {key: colour for key, colour in VT102Writer.typeToColor.items() if key not in ("identifier", "op")}


class Editor(insults.TerminalProtocol):
    """Takes keys, makes lines of them.

    :ivar text: the line so far, `at` the place in it where one types.
    :ivar asking: the prompt on the screen; empty while none is there.
    :ivar colours: whether to show them.
    """

    colours = True

    def __init__(self) -> None:
        self.text, self.at, self.asking = "", 0, ""
        self.width = 80
        self._history: list[str] = []
        #: Which of the history is shown; its length is none.
        self._shown = 0
        self._draft = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._keys: dict[bytes, Callable[[], None]] = {}

    def connectionMade(self) -> None:
        """Learn what keys are called."""
        t: Any = self.terminal
        self._keys = {
            t.LEFT_ARROW: self._left,
            b"\x02": self._left,
            t.RIGHT_ARROW: self._right,
            b"\x06": self._right,
            t.HOME: self._home,
            b"\x01": self._home,
            t.END: self._end,
            b"\x05": self._end,
            t.UP_ARROW: self._older,
            b"\x10": self._older,
            t.DOWN_ARROW: self._newer,
            b"\x0e": self._newer,
            t.BACKSPACE: self._backspace,
            b"\x08": self._backspace,
            t.DELETE: self._delete,
            t.TAB: self._tab,
            b"\r": self._return,
            b"\n": self._return,
            b"\x03": self.interrupt,
            b"\x04": self._eof,
            b"\x0b": self._cutRight,
            b"\x0c": self._clear,
            b"\x15": self._cutLeft,
            b"\x17": self._cutWord,
        }

    # -- for subclasses

    def lineReceived(self, line: str) -> None:
        """Called with each line; there is no prompt until `ask`."""

    def source(self) -> str:
        """What stands before the line, as its colours depend on it."""
        return ""

    def complete(self, word: str) -> list[str]:
        """What a word may become."""
        return []

    def interrupt(self) -> None:
        """Called for Ctrl-C."""

    def touched(self) -> None:
        """Called for each key."""

    # -- the screen

    def ask(self, prompt: str) -> None:
        """Show the prompt, with what was typed meanwhile."""
        self.asking = prompt
        if not self.terminal.holding:
            self._draw()  # else when all keys are taken

    def show(self, text: str) -> None:
        """Show text, above the prompt if there is one; it must be `plain`."""
        if not text:
            return
        outermost = self.terminal.hold()
        if self.asking:
            self.terminal.write(b"\r")
            self.terminal.eraseToLineEnd()
        self.terminal.write(text if text.endswith("\n") else f"{text}\n")
        self._draw()
        if outermost:
            self.terminal.release()

    def keysTaken(self) -> None:
        """All keys that came at once are taken: let the screen follow."""
        self._draw()

    def terminalSize(self, width: int, height: int) -> None:
        """The window has this size."""
        self.width = max(10, min(width, 1000))
        self._draw()

    def _draw(self) -> None:
        if not self.asking:
            return
        # One column stays free: a cursor behind the last one would be in the next row.
        room = self.width - len(self.asking) - 1
        start = 0
        while columns(self.text[start : self.at]) > room - 1:
            start += max(1, room // 2)
        end = start
        while end < len(self.text) and columns(self.text[start : end + 1]) <= room:
            end += 1
        part = self.text[start:end]
        self.terminal.write(b"\r")
        self.terminal.eraseToLineEnd()
        self.terminal.write(self.asking)
        self.terminal.write(self._coloured(part) if part == self.text else part)
        if behind := columns(self.text[self.at : end]):
            self.terminal.cursorBackward(behind)

    def _coloured(self, line: str) -> bytes | str:
        source = f"{self.source()}{line}"
        if not self.colours or not line.strip() or len(source) > _LONGEST_COLOURED:
            return line
        writer: Any = _Writer()
        printer: Any = TokenPrinter(writer.write).printtoken
        try:
            for kind, text, start, end, row in tokenize.tokenize(BytesIO(source.encode()).readline):
                printer(kind, text.encode(), start, end, row)
        except (tokenize.TokenError, SyntaxError):
            return line  # not whole yet
        last = bytes(writer).rpartition(b"\n")[2]
        # What the printer does not know (blanks at the end, say) would be missing.
        return last if _COLOUR.sub(b"", last) == line.encode() else line

    # -- keys

    def keystrokeReceived(self, key: bytes, modifier: object) -> None:
        """One key."""
        self.touched()
        act = self._keys.get(key)
        if act is not None:
            act()
        elif len(key) == 1 and key >= b" " and modifier is None:
            for char in self._decoder.decode(key):
                if char.isprintable():
                    self.insert(char)

    def insert(self, text: str) -> None:
        """As if it was typed."""
        if len(self.text) + len(text) > _LONGEST_LINE:
            self._beep()
            return
        self.text = self.text[: self.at] + text + self.text[self.at :]
        self.at += len(text)

    def _beep(self) -> None:
        self.terminal.write(b"\a")

    def _left(self) -> None:
        self.at = max(0, self.at - 1)

    def _right(self) -> None:
        self.at = min(len(self.text), self.at + 1)

    def _home(self) -> None:
        self.at = 0

    def _end(self) -> None:
        self.at = len(self.text)

    def _backspace(self) -> None:
        if self.at:
            self.text = self.text[: self.at - 1] + self.text[self.at :]
            self.at -= 1

    def _delete(self) -> None:
        self.text = self.text[: self.at] + self.text[self.at + 1 :]

    def _cutRight(self) -> None:
        self.text = self.text[: self.at]

    def _cutLeft(self) -> None:
        self.text, self.at = self.text[self.at :], 0

    def _cutWord(self) -> None:
        left = self.text[: self.at].rstrip()
        left = left[: max(left.rfind(" "), left.rfind(".")) + 1]
        self.text, self.at = left + self.text[self.at :], len(left)

    def _older(self) -> None:
        self._recall(self._shown - 1)

    def _newer(self) -> None:
        self._recall(self._shown + 1)

    def _recall(self, number: int) -> None:
        if not 0 <= number <= len(self._history):
            return
        if self._shown == len(self._history):
            self._draft = self.text
        self._shown = number
        self.text = self._draft if number == len(self._history) else self._history[number]
        self.at = len(self.text)

    def _tab(self) -> None:
        left = self.text[: self.at]
        found_word = _WORD.search(left)
        word = found_word[0] if found_word else ""
        if not word:
            self.insert(" " * (4 - len(left) % 4))
            return
        found = self.complete(word)
        if not found:
            self._beep()
        elif len(found) == 1:
            self.insert(found[0][len(word) :])
        elif len(common := _common(found)) > len(word):
            self.insert(common[len(word) :])
        else:
            self.show("  ".join(found))

    def _return(self) -> None:
        line, self.text, self.at = self.text, "", 0
        if self.asking:
            # The whole line, from its beginning, stays on the screen.
            self.at, self.text = 0, line
            self._draw()
            self.text = ""
            self.terminal.write(b"\n")
            self.asking = ""
        if line.strip() and self._history[-1:] != [line]:
            self._history.append(line)
            del self._history[:-_MOST_HISTORY]
        self._shown, self._draft = len(self._history), ""
        self.lineReceived(line)

    def forget(self) -> None:
        """Give up the line."""
        self.text, self.at, self._shown = "", 0, len(self._history)

    def _clear(self) -> None:
        self.terminal.eraseDisplay()
        self.terminal.cursorHome()

    def _eof(self) -> None:
        if self.text:
            self._delete()
        else:
            if self.asking:
                self.terminal.write(b"\n")
            self.asking = ""
            self.terminal.loseConnection()


def _common(words: list[str]) -> str:
    """What all of them begin with."""
    first, last = min(words), max(words)
    differs = (number for number, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(differs, len(first))]
