"""What changes when settings are read again."""

from __future__ import annotations

import attrs

from nodeset.settings.schema import Settings, aboutOf, namesOf

__all__ = ["Changes", "compare"]


@attrs.frozen
class Changes:
    """What to make of new settings in a service that runs.

    :ivar settings: the old ones with all that can be changed now.
    :ivar changed: the names of those.
    :ivar stuck: the names of the others that differ: they want a restart.
    """

    settings: Settings
    changed: list[str]
    stuck: list[str]


def compare(old: Settings, new: Settings, service: str) -> Changes:
    """What of `new` a service that runs by `old` can take, what it cannot."""
    # `listen` repeated as it stands by default is another matter than the default.
    differ = [
        name
        for name in namesOf(service)
        if getattr(old, name) != getattr(new, name) or (name == "listen" and old.listensByDefault() != new.listensByDefault())
    ]
    changed = [name for name in differ if aboutOf(name).reloads]
    known = {name: value for name, value in old.origins.items() if name not in changed}
    known |= {name: value for name, value in new.origins.items() if name in changed}
    taken = attrs.evolve(old, **{name: getattr(new, name) for name in changed}, origins=known)
    return Changes(taken, changed, [name for name in differ if name not in changed])
