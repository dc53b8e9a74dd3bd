"""What a bridge heard, made once for all who read it."""

from nodeset.web.feeds.formats import Batch, Entry
from nodeset.web.feeds.hub import Hub
from nodeset.web.feeds.tap import Opening, Sink, Tap

__all__ = ["Batch", "Entry", "Hub", "Opening", "Sink", "Tap"]
