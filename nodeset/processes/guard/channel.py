"""Messages between a supervisor with its guardian, over a pair of unix sockets.

A message is one JSON object behind five bytes: its length, then how many open files come with it.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["MOST_BYTES", "MOST_FILES", "Channel", "ChannelBroken", "keepOpen"]

#: Linux takes 6 MiB of arguments with the environment at the most; as JSON they may be six times as long.
MOST_BYTES = 40 * 1024 * 1024
#: Linux passes 253 at once.
MOST_FILES = 250

#: What the system lacks just now: memory, or the share of files under way that this user has.
_PASSING = (errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)
_HEAD = struct.Struct(">IB")
_CHUNK = 1 << 18
#: Python's recvmsg leaves received files open to every child without this (recvmsg(2)); the socket module has no name for it.
_CLOEXEC = 0x40000000


class ChannelBroken(Exception):
    """What came is no message of ours: the other side is not to be believed any more."""


def keepOpen(file: int, above: int = 3) -> int:
    """A second number for this open file, that no child inherits, not below `above`."""
    return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, above)


class Channel:
    """One end. It never blocks: what cannot be sent yet waits, `flush` tries again."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        #: Bytes that wait to be sent.
        self.unsent = 0
        self._queue: list[tuple[memoryview, list[int]]] = []
        self._bytes = bytearray()
        self._files: list[int] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def put(self, message: dict[str, Any], files: Sequence[int] = ()) -> None:
        """Send this soon, with these open files, which the caller may close at once. ValueError if it is too large."""
        data = json.dumps(message).encode("ascii")
        if len(data) > MOST_BYTES or len(files) > MOST_FILES:
            raise ValueError(f"a message of {len(data)} bytes with {len(files)} files is too large")
        taken: list[int] = []
        try:
            for file in files:
                taken.append(keepOpen(file))
        except OSError:
            _close(taken)
            raise
        self._queue.append((memoryview(_HEAD.pack(len(data), len(files)) + data), taken))
        self.unsent += _HEAD.size + len(data)
        self.flush()

    def flush(self) -> bool:
        """Send what can be sent; whether all is. What cannot be sent because nobody is there any more is dropped."""
        while self._queue:
            data, files = self._queue[0]
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
            try:
                sent = self.sock.sendmsg([data[:_CHUNK]], beside, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return False
            except OSError as e:
                if e.errno in _PASSING:
                    return False
                self._drop()
                return True
            _close(files)
            self.unsent -= sent
            if sent < len(data):
                self._queue[0] = (data[sent:], [])
            else:
                del self._queue[0]
        return True

    def receive(self) -> list[tuple[dict[str, Any], list[int]]] | None:
        """The messages that came, each with its files, which are the caller's to close; None at the end.

        ChannelBroken for what is no message.
        """
        while True:
            try:
                data, beside, flags, _ = self.sock.recvmsg(_CHUNK, socket.CMSG_SPACE(MOST_FILES * 4), _CLOEXEC)
            except BlockingIOError:
                break
            except OSError:
                return self._take() or None
            for level, kind, raw in beside:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(raw[: len(raw) - len(raw) % numbers.itemsize])
                    self._files.extend(numbers)
            if flags & socket.MSG_CTRUNC:
                raise ChannelBroken("files were lost on the way: too many are open (ulimit -n)")
            if not data:
                return self._take() or None
            self._bytes += data
            if len(data) < _CHUNK:
                break
        return self._take()

    def _take(self) -> list[tuple[dict[str, Any], list[int]]]:
        found: list[tuple[dict[str, Any], list[int]]] = []
        begin = 0
        while len(self._bytes) - begin >= _HEAD.size:
            length, count = _HEAD.unpack_from(self._bytes, begin)
            if length > MOST_BYTES:
                raise ChannelBroken(f"a message of {length} bytes is announced")
            end = begin + _HEAD.size + length
            if len(self._bytes) < end:
                break
            message = json.loads(self._bytes[begin + _HEAD.size : end])
            if not isinstance(message, dict) or len(self._files) < count:
                raise ChannelBroken("a message is not an object, or lacks its files")
            found.append((message, self._files[:count]))
            del self._files[:count]
            begin = end
        del self._bytes[:begin]
        return found

    def _drop(self) -> None:
        for _, files in self._queue:
            _close(files)
        self._queue.clear()
        self.unsent = 0

    def close(self) -> None:
        """Close it with all that was under way."""
        self._drop()
        _close(self._files)
        self.sock.close()


def _close(files: list[int]) -> None:
    while files:
        os.close(files.pop())
