"""The description of the API, as it is shipped."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Final

from nodeset.web.inquiry import Inquiry, Reply

__all__ = ["readDocument", "serve"]

_TYPE: Final = b"application/json"


@lru_cache(maxsize=1)
def readDocument() -> bytes:
    """openapi.json, as it lies beside this module."""
    return files("nodeset.web.api").joinpath("openapi.json").read_bytes()


async def serve(inquiry: Inquiry) -> Reply:
    """`GET /openapi.json`."""
    return Reply(200, readDocument(), _TYPE, ((b"Cache-Control", b"max-age=300"),))
