"""Names in signatures and docstrings: code where there is no page for them, an error where there is no such thing."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

_CLASS = re.compile(r"[A-Z]\w+\Z")
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


def _nameInterfaces(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    # Zope's interfaces do not say their names as classes do.
    return (
        _INTERFACE.sub(r"~\1", signature) if signature else signature,
        _INTERFACE.sub(r"~\1", returned) if returned else returned,
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-signature", _nameInterfaces)
    return {"parallel_read_safe": True}
