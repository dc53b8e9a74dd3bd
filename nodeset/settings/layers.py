"""Where the value of each setting comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from nodeset.errors import BadSettings
from nodeset.settings.readers import show
from nodeset.settings.schema import NAMES, NODE, Settings, dashed, environmentName

__all__ = ["load"]


def _read(name: str, value: object, origin: str) -> Any:
    convert: Any = attrs.fields_dict(Settings)[name].converter
    try:
        return convert(value)
    except BadSettings as error:
        raise BadSettings(f"{origin}: {error}") from None


def load(environ: Mapping[str, str], options: Mapping[str, Any], service: str = NODE) -> Settings:
    """The settings of this environment with these options, whose names may have dashes; None is an option not given.

    :param service: whose table of the file counts, the file being `config` of the options, else `$NODESET_CONFIG`. Programs of
        your own are nodes.

    Variables that nobody knows, or that are empty, are ignored. BadSettings names the variable, the option, or file with line.

    >>> load({"NODESET_LOGLEVEL": "warn"}, {"drain-timeout": "3"}).loglevel
    'warn'
    """
    chosen: dict[str, tuple[Any, str]] = {}
    for option, value in options.items():
        name = option.replace("-", "_")
        if name not in NAMES:
            raise BadSettings(f"there is no setting {show(option)}: it is one of {', '.join(NAMES)}")
        if value is not None:
            origin = f"--{dashed(name)}"
            chosen[name] = _read(name, value, origin), origin
    around: dict[str, tuple[Any, str]] = {}
    for name in NAMES:
        if value := environ.get(environmentName(name)):
            origin = f"${environmentName(name)}"
            around[name] = _read(name, value, origin), origin
    layers = {**around, **chosen}
    warnings: tuple[str, ...] = ()
    if "config" in layers:
        from nodeset.settings.file import readFile  # costs 10 ms, which a short command without a file saves

        path, origin = layers["config"]
        # Absolute, since a daemon changes its directory, and reads it again.
        path = str(Path(path).absolute())
        sheet = readFile(path, origin)
        layers = {**sheet.of(service), **layers, "config": (path, origin)}
        warnings = sheet.warnings
    return Settings(
        **{name: value for name, (value, _) in layers.items()},
        given=frozenset(chosen),
        environment=frozenset(around),
        origins={name: origin for name, (_, origin) in layers.items()},
        warnings=warnings,
    )
