"""The end of a child's pipe that its parent reads."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.processes.popen.pieces import Pieces

__all__ = ["CHUNK", "ReadEnd"]

#: Bytes that are read at once, at most: what a pipe of the default size holds four times.
CHUNK = 262_144
#: Bytes that are read before anybody asks, where somebody else listens in.
AHEAD = 65_536

Want: TypeAlias = Literal["all", "count", "line", "some"]


@implementer(IReadDescriptor)
class ReadEnd:
    """Read what a child writes, as from a file, but by Deferreds.

    Nothing is read before it is asked for, so a child that writes more than a pipe holds waits for its reader, as with
    `subprocess`. One read at a time: a second one before the first has fired raises `RuntimeError`. A read may be cancelled;
    what had come for it is there for the next. In text mode all that is said of bytes is true of characters, a character that
    comes in two pieces stays whole, ``\\r\\n`` or a lone ``\\r`` reads as ``\\n``.

    :param fd: a pipe; it is ours from here on.
    :param decoder: for text mode.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        fd: int,
        decoder: io.IncrementalNewlineDecoder | None = None,
    ) -> None:
        self._reactor = reactor
        self._fd = fd
        self._decoder = decoder
        self._listener: Callable[[bytes], object] | None = None
        self._on_end: Callable[[], object] | None = None
        #: How much is read before anybody asks.
        self._ahead = 0
        self._keeps = True
        self._paused = False
        self._pieces: Pieces[Any] = Pieces("", "\n") if decoder else Pieces(b"", b"\n")
        self._empty = "" if decoder else b""
        #: What a read of all has so far, as it came: decoded in one go at its end.
        self._raw = io.BytesIO()
        self._asked: tuple[Deferred[Any], Want, int] | None = None
        self._error: Failure | None = None
        self._closed = False

    # What a file has

    def read(self, size: int | None = -1) -> Deferred[Any]:
        """Fires with all up to the end, or with `size` bytes, with fewer only at the end; empty at the end.

        Fails with `UnicodeDecodeError` in text mode, with `ValueError` when this is closed meanwhile.
        """
        if size is None or size < 0:
            return self._ask("all", 0)
        return self._ask("count", size)

    def read1(self, size: int = -1) -> Deferred[Any]:
        """Fires with what is there, as soon as anything is, with `size` bytes at most; empty at the end."""
        return self._ask("some", CHUNK if size < 0 else size)

    def readline(self) -> Deferred[Any]:
        """Fires with the next line, its newline included; the last one may lack it; empty at the end."""
        return self._ask("line", 0)

    def __aiter__(self) -> ReadEnd:
        return self

    async def __anext__(self) -> Any:
        if self._asked is None and (size := self._pieces.findLine()):
            return self._take(size)  # at once, which is most of the speed
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def close(self) -> None:
        """Give the pipe back; the child gets SIGPIPE when it writes on. A read under way fails with `ValueError`."""
        self._closed = True
        self._pieces.take(len(self._pieces))
        self._raw = io.BytesIO()
        self._release()
        if self._asked is not None:
            asked, self._asked = self._asked[0], None
            asked.errback(ValueError("read of closed file"))

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed, which it is by itself at the end of what comes."""
        return self._fd

    def partial(self) -> bytes:
        """What a read of all has so far, undecoded."""
        return self._raw.getvalue()

    def lend(self) -> int:
        """The descriptor as another child wants it as its stdin: its reads wait."""
        os.set_blocking(self._fd, True)
        return self._fd

    # Who listens in

    def listen(self, listener: Callable[[bytes], object], on_end: Callable[[], object], keeps: bool) -> None:
        """Call `listener` with all bytes as they come, before they are read here, then `on_end` once, when no more will come.

        64 KiB are read before anybody asks here; with `keeps` false nobody will, so all is read, then forgotten.
        """
        self._listener, self._on_end, self._keeps, self._ahead = listener, on_end, keeps, AHEAD
        self._look()

    def pause(self) -> None:
        """Read no more until `resume`."""
        self._paused = True
        self._look()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._look()

    # What the reactor calls

    def doRead(self) -> None:
        """There is something, or the end."""
        try:
            data = os.read(self._fd, CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end(Failure())
            return
        if not data:
            self._end(None)
            return
        if self._listener is not None:
            self._listener(data)
            if not self._keeps:
                return
        if self._asked is not None and self._asked[1] == "all":
            self._raw.write(data)
            return
        self._decode(data, False)
        self._answer()
        self._look()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw the end before we did, or it stops."""
        if self._fd >= 0:
            self._end(None if reason.check(ConnectionDone) else reason)

    def logPrefix(self) -> str:
        return "ReadEnd"

    # How it is done

    def _ask(self, want: Want, size: int) -> Deferred[Any]:
        if self._closed:
            return fail(ValueError("read of closed file"))
        if self._asked is not None:
            raise RuntimeError("read before the read before it has fired: one at a time")
        if want in ("count", "some") and not size:
            return succeed(self._empty)
        if found := self._find(want, size):
            return succeed(self._take(found))
        asked: Deferred[Any] = Deferred(self._cancelled)
        self._asked = (asked, want, size)
        self._answer()
        self._look()
        return asked

    def _cancelled(self, asked: Deferred[Any]) -> None:
        self._asked = None
        self._settle()
        self._look()

    def _settle(self) -> None:
        """Make what a read of all has gathered like all else that came."""
        raw, self._raw = self._raw, io.BytesIO()
        if raw.tell():
            self._decode(raw.getvalue(), False)

    def _decode(self, data: bytes, final: bool) -> None:
        if self._decoder is None:
            self._pieces.add(data)
            return
        try:
            self._pieces.add(self._decoder.decode(data, final))
        except UnicodeError:
            self._error = self._error or Failure()
            self._release()

    def _end(self, why: Failure | None) -> None:
        self._error = self._error or why
        self._release()
        raw, self._raw = self._raw, io.BytesIO()
        self._decode(raw.getvalue(), True)
        self._answer()

    def _answer(self) -> None:
        """Fire the read under way if there is an answer to it."""
        if self._asked is None:
            return
        asked, want, size = self._asked
        there = len(self._pieces)
        ended = self._fd < 0
        found = self._find(want, size)
        if not found and not ended:
            return
        self._asked = None
        if found:
            asked.callback(self._pieces.take(found))
        elif self._error is not None:
            asked.errback(self._error)
        else:
            asked.callback(self._pieces.take(there))

    def _take(self, size: int) -> Any:
        taken = self._pieces.take(size)
        if self._ahead:
            self._look()
        return taken

    def _find(self, want: Want, size: int) -> int:
        """How much of what is there answers this, with more to come; 0 if nothing does yet."""
        match want:
            case "all":
                return 0
            case "count":
                return size if len(self._pieces) >= size else 0
            case "line":
                return self._pieces.findLine()
            case "some":
                return min(size, len(self._pieces))

    def _look(self) -> None:
        """Watch the pipe exactly while there is room for what comes."""
        if self._fd < 0:
            return
        if not self._paused and (self._asked is not None or len(self._pieces) < self._ahead):
            os.set_blocking(self._fd, False)
            self._reactor.addReader(self)
        else:
            self._reactor.removeReader(self)

    def _release(self) -> None:
        if self._fd >= 0:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1
            if self._on_end is not None:
                self._on_end()
