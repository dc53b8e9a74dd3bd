"""Names in signatures and docstrings: code where there is no page for them, an error where there is no such thing."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

_CLASS = re.compile(r"[A-Z]\w+\Z")
_PRIVATE = re.compile(r"(?<== )_[A-Z_]+\b")
_DEFAULT = re.compile(r"attr_dict\['\w+'\]\.default|\bNOTHING\b")
_INTERFACE = re.compile(r"<InterfaceClass ([\w.]+)>")


def isThere(name: str) -> bool:
    """Whether Python finds something of this dotted name."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                # What is only annotated, as the fields of a class are.
                return part in getattr(found, "__annotations__", {})
            found = getattr(found, part)
        return True
    return False


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    if node.get("refdomain") != "py":
        return None
    if interface := _INTERFACE.match(node["reftarget"]):
        # In the type of an attribute, which no signature has.
        return nodes.inline("", interface[1].rpartition(".")[2] + node["reftarget"][interface.end() :])
    if node["reftype"] != "obj":
        # What was asked for by name, or stands in a signature, has to be there.
        return content if isThere(node["reftarget"]) else None
    # The default role is any word between single quotes. Classes are meant wherever their room is.
    known = env.domains.python_domain.objects
    found = [name for name in known if name.rpartition(".")[2] == node["reftarget"] and _CLASS.match(node["reftarget"])]
    if len(found) != 1:
        return content
    entry = known[found[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, found[0])


def _tidy(
    app: Sphinx, what: str, name: str, thing: Any, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    made = inspect.unwrap(thing if inspect.isfunction(thing) else getattr(thing, "__init__", thing))
    names = getattr(made, "__globals__", {})
    # A default that has a private name is shown as what it is.
    shown = signature and _PRIVATE.sub(lambda found: repr(names.get(found[0], found[0])), signature)
    return _readable(shown), _readable(returned)


def _readable(text: str | None) -> str | None:
    # Zope's interfaces do not say their names as classes do, and attrs keeps the defaults of fields to itself.
    return text and _DEFAULT.sub("...", _INTERFACE.sub(r"~\1", text))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-signature", _tidy)
    return {"parallel_read_safe": True}
