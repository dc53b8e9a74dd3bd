from typing import Any

from foolscap.ipb import DeadReferenceError as DeadReferenceError
from foolscap.remoteinterface import RemoteInterface as RemoteInterface
from foolscap.tokens import Violation as Violation

class Referenceable:
    def __getattr__(self, name: str) -> Any: ...

class Copyable:
    def __getattr__(self, name: str) -> Any: ...

class RemoteCopy:
    def __getattr__(self, name: str) -> Any: ...

def __getattr__(name: str) -> Any: ...
