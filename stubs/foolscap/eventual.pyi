from collections.abc import Callable
from typing import Any

def eventually(cb: Callable[..., object], *args: Any, **kwargs: Any) -> None: ...
