# What we use of Foolscap, which has no types although its py.typed says so. Classes that we subclass are classes here; what
# they do inside is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
