"""How Sphinx makes the site of what lies beside this file; `make docs` runs it."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from nodeset.version import __version__  # noqa: E402

project = "NodeSet"
copyright = "the authors of NodeSet"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "commands",
    "frontdoor",
    "names",
    "services",
]
exclude_patterns = ["_build"]
nitpicky = True

myst_heading_anchors = 3
# What several documents have to say with the same words, they say once: README.md is read at its origin too.
suppress_warnings = ["myst.header"]

# `name` in a docstring is a reference where there is such a thing, and code where there is none.
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

pygments_style = "friendly"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = "NodeSet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
