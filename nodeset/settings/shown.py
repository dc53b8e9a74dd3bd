"""Settings as people read them."""

from __future__ import annotations

import json
from typing import Any

import attrs

from nodeset.settings.readers import hideFurls
from nodeset.settings.schema import DAEMONS, NAMES, SERVICES, Settings, aboutOf, dashed, environmentName, namesOf

__all__ = ["describe", "helpOf", "showValue", "table"]

#: Where the comments of `describe` begin, if the setting leaves room.
_COLUMN = 44


def _defaultOf(service: str, name: str) -> str:
    """What stands for a setting while nobody says, in words; empty for a flag that is off."""
    value = attrs.fields_dict(Settings)[name].default
    words = aboutOf(name).defaultOf(service)
    if words or value is False:
        return words
    return f"{value:g}" if isinstance(value, float) else str(value)


def helpOf(service: str, name: str) -> str:
    """What `--help` of this service says of a setting."""
    default = _defaultOf(service, name)
    text = aboutOf(name).helpOf(service)
    return f"{text} [default: {default}]" if default else f"{text}."


def showValue(value: object) -> str:
    """The value as TOML has it. ValueError for what TOML cannot have."""
    match value:
        case str():
            if not value.isprintable() and not value.isspace() and "\ud800" <= max(value) <= "\udfff":
                raise ValueError("no Unicode")
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case tuple():
            return f"[{', '.join(showValue(part) for part in value)}]"
        case bool():
            return str(value).lower()
        case _:
            return repr(value)


def describe(found: Settings, service: str) -> str:
    """The settings of this service as a TOML file that makes the same ones, each with where it comes from.

    Defaults are comments, so that they stay defaults; so is the secret of a FURL.
    """
    lines = [f"# The settings of {service if service == 'nodeset' else f'nodeset-{service}'}; a default is a comment."]
    for name in namesOf(service):
        value: Any = getattr(found, name)
        shown = "" if value is None else showValue(value)
        origin = found.origins.get(name, "")
        if found.isDefault(name):
            words = aboutOf(name).defaultOf(service)
            said = f"# {dashed(name)} = {'' if words else shown}", f"default: {words}" if words else "default"
        elif hideFurls(shown) != shown:
            said = f'# {dashed(name)} = "pb://…"', f"{origin}; a secret, so it is not shown"
        elif not aboutOf(name).filed:
            said = f"# {dashed(name)} = {shown}", f"{origin}; not for a file"
        else:
            said = f"{dashed(name)} = {shown}", origin
        lines.append(f"{said[0].rstrip():<{_COLUMN}}  # {said[1]}")
    return "\n".join(lines) + "\n"


def table() -> str:
    """All settings as the table of docs/configuration.md."""
    rows = ["| in a file, as an option | variable | of | default | SIGHUP | what it does |", "|---|---|---|---|---|---|"]
    for name in NAMES:
        about = aboutOf(name)
        base = next((service for service in about.services if service not in about.but), "")
        whole = len(about.services) == len(SERVICES)
        cells = [
            f"`{dashed(name)}`" if about.filed else f"`--{dashed(name)}` alone",
            f"`{environmentName(name)}`",
            "all" if whole else "services" if about.services == DAEMONS else ", ".join(about.services),
            "; ".join([_defaultOf(base, name) or "no", *(f"{each}: {default}" for each, (_, default) in about.but.items())]),
            "yes" if about.reloads else "",
            "; ".join([about.help, *(f"{each}: {text}" for each, (text, _) in about.but.items() if text != about.help)]),
        ]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"
