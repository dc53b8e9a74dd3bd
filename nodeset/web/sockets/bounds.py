"""What the frames of RFC 6455 may be, judged by the head of each, before anything of its payload is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

__all__ = ["MAX_CONTROLS", "MAX_PIECES", "PERIOD", "Bounds"]

#: Frames that one message may come in.
MAX_PIECES: Final = 4096
#: Pings, pongs and closes within `PERIOD` seconds.
MAX_CONTROLS: Final = 100
PERIOD: Final = 10.0

_NONE: Final = RsvBits(False, False, False)


class Bounds(Extension):
    """An extension of wsproto that is never agreed on: as one it is shown the head of each frame.

    :param max_message: bytes of one message, whatever pieces it comes in.
    :param now: the time in seconds.
    :ivar reason: which bound was broken, empty as long as none was.
    """

    name = "x-nodeset-bounds"

    def __init__(self, max_message: int, now: Callable[[], float]) -> None:
        self._max_message, self._now = max_message, now
        self._declared = self._pieces = 0
        self._controls, self._since = 0, 0.0
        self.reason = ""

    def enabled(self) -> bool:
        """See `Extension`; one that is not enabled is shown nothing."""
        return True

    def offer(self) -> bool:
        """See `Extension`: a server offers none."""
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """See `Extension`: `payload_length` is what the frame declares, of which nothing has come yet."""
        if opcode.iscontrol():
            return self._countControl()
        if opcode is not Opcode.CONTINUATION:
            self._declared = self._pieces = 0
        self._declared += payload_length
        self._pieces += 1
        if self._declared > self._max_message:
            self.reason = f"too big: a message may have {self._max_message} bytes"
            return CloseReason.MESSAGE_TOO_BIG
        if self._pieces > MAX_PIECES:
            self.reason = f"flood: a message may come in {MAX_PIECES} pieces"
            return CloseReason.POLICY_VIOLATION
        return _NONE

    def _countControl(self) -> CloseReason | RsvBits:
        now = self._now()
        if now - self._since >= PERIOD:
            self._controls, self._since = 0, now
        self._controls += 1
        if self._controls > MAX_CONTROLS:
            self.reason = f"flood: {MAX_CONTROLS} pings and pongs may come in {PERIOD:.0f} s"
            return CloseReason.POLICY_VIOLATION
        return _NONE
