"""The version of this release, which setup.py reads as text."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
