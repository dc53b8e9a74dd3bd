"""The settings of this process, one value for all of it.

Defaults lose to a TOML file, that to the environment, the environment to the options of a command. A library user rarely
needs more than::

    from nodeset import settings

    settings.use(settings.load(os.environ, {"publish-timeout": "5"}))
"""

from nodeset.settings.layers import load
from nodeset.settings.process import current, use
from nodeset.settings.schema import (
    COMMAND,
    DEFAULT_LISTEN,
    DEFAULT_URL,
    LOG_LEVELS,
    NAMES,
    SERVICES,
    About,
    Settings,
    about,
    environmentName,
)

__all__ = [
    "COMMAND",
    "DEFAULT_LISTEN",
    "DEFAULT_URL",
    "LOG_LEVELS",
    "NAMES",
    "SERVICES",
    "About",
    "Settings",
    "about",
    "current",
    "environmentName",
    "load",
    "use",
]
