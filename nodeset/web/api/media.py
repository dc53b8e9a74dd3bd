"""In which form a body came."""

from __future__ import annotations

from typing import Final

from nodeset.web.problem import Problem

__all__ = ["BYTES", "JSON", "LINES", "formOf"]

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
BYTES: Final = "application/octet-stream"


def formOf(content_type: str | None, *forms: str) -> str:
    """Which of `forms` the body has, as its Content-Type says. Raises `Problem` 415 for any other, or for none.

    A page of somebody else's can send what is none of them without asking first, which is one more reason to refuse that.
    """
    if content_type in forms:
        return str(content_type)
    wanted = " or ".join(forms)
    if content_type is None:
        raise Problem(415, f"the request has no Content-Type: say {wanted}")
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charset = next((one.partition("=")[2].strip('"') for one in parameters if one.startswith("charset=")), "utf-8")
    if kind not in forms:
        raise Problem(415, f"the Content-Type is {kind[:60]!r}: send {wanted}")
    if charset not in ("utf-8", "utf8", "us-ascii") and kind != BYTES:
        raise Problem(415, f"the charset is {charset[:60]!r}: send UTF-8")
    return kind
