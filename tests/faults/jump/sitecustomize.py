"""The wall clock jumps, for who has this on PYTHONPATH: by $FAULT_JUMP seconds at $FAULT_JUMP_AT of the monotonic clock."""

import os
import time

_wall, _offset, _at = time.time, float(os.environ.get("FAULT_JUMP", "0")), float(os.environ.get("FAULT_JUMP_AT", "inf"))


def _jumping() -> float:
    return _wall() + (_offset if time.monotonic() >= _at else 0.0)


# Before Twisted is imported, which keeps the function that it finds.
time.time = _jumping
