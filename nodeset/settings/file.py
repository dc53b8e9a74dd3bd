"""The TOML file that settings come from.

Keys at the top are for all services; those of the tables `[dispatcher]`, `[node]`, `[monitor]`, `[shell]`, `[nodeset]` for one,
where they win. All of a file must be right, whoever reads it.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from nodeset.errors import BadSettings
from nodeset.settings.readers import hideFurls, show
from nodeset.settings.schema import NAMES, PROCESSES, SERVICES, Settings, aboutOf, dashed, namesOf

__all__ = ["LARGEST", "PROGRAMS", "Document", "Sheet", "locate", "readDocument", "readFile", "readSheet"]

#: Bytes of a file; one of a hundred settings has 5 KiB.
LARGEST: Final = 1 << 20
#: The table of programs, which may stand in the same file.
PROGRAMS: Final = "process"
#: Lines of one statement after which nobody looks for the line of the next one.
_TALLEST: Final = 200
#: Keys of a path that are looked at: no setting is deeper than a table, an error may be.
_DEEPEST: Final = 20
#: The table of a program in a file of supervisord's.
_THEIRS = re.compile(r"\[program:([A-Za-z0-9_-]{1,64})\]")
_AT = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)\Z")


@attrs.frozen
class Sheet:
    """What a file says.

    :ivar values: by table ('' is the top), by the setting's name: its value with its origin, such as `/etc/nodeset.toml:7`.
    :ivar warnings: what whoever wrote it should know.
    """

    values: Mapping[str, Mapping[str, tuple[Any, str]]]
    warnings: tuple[str, ...]

    def of(self, service: str) -> dict[str, tuple[Any, str]]:
        """What it says for this service."""
        return {**self.values.get("", {}), **self.values.get(service, {})}


@attrs.frozen
class Document:
    """A TOML file as it was read.

    :ivar lines: of each key, by its path.
    :ivar mode: the file's, as the system has it.
    """

    path: str
    found: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]
    mode: int

    def whereIs(self, *keys: str) -> str:
        """FILE:LINE of this key, or of the nearest one above it whose line is known; FILE alone if none is."""
        for depth in range(len(keys), 0, -1):
            if (line := self.lines.get(keys[:depth])) is not None:
                return f"{self.path}:{line}"
        return self.path


def readDocument(path: str, origin: str) -> Document:
    """The file at `path`; `origin` names the option or the variable that named it.

    BadSettings, with file and line, for what cannot be read, or is no TOML.
    """
    text, mode = _readText(path, origin)
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise BadSettings(f"{path}: it is nested too deeply: settings are texts, numbers, or lists of texts") from None
    except ValueError as error:
        raise BadSettings(_blame(path, text, str(error))) from None
    return Document(path, found, locate(text), mode)


def readFile(path: str, origin: str) -> Sheet:
    """What the file at `path` says of settings. BadSettings as of `readDocument` or `readSheet`."""
    return readSheet(readDocument(path, origin))


def readSheet(document: Document) -> Sheet:
    """What it says of settings. BadSettings, with file and line, for what is no setting, or cannot be its value."""
    path, mode = document.path, document.mode
    values = _readTables(document.found, path, document.lines)
    warnings: tuple[str, ...] = ()
    secrets = [where for table in values.values() for value, where in table.values() if hideFurls(str(value)) != str(value)]
    if secrets and mode & stat.S_IROTH:
        others = f"others can read it (mode {stat.S_IMODE(mode):04o})"
        warnings = (f"{secrets[0]}: this FURL is a secret, and {others}: chmod o-r, or name a file that holds it (@FILE)",)
    return Sheet(values, warnings)


def _openSoon(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would be waited for


def _readText(path: str, origin: str) -> tuple[str, int]:
    why = f"{origin}: {path[:200]} cannot be read"
    try:
        with open(path, "rb", opener=_openSoon) as file:  # Path.open takes no opener
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BadSettings(f"{why} (it is no regular file): name a TOML file")
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadSettings(f"{why} ({error.strerror}): name a file that is there, or give it another mode") from None
    if len(data) > LARGEST:
        raise BadSettings(f"{why} (more than {LARGEST} bytes): this is no file of settings")
    try:
        return data.decode("utf-8").removeprefix("\ufeff"), found.st_mode
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadSettings(f"{path}:{line}: byte {data[error.start]:#04x} is no UTF-8: save it as UTF-8") from None


def _blame(path: str, text: str, complaint: str) -> str:
    found = _AT.search(complaint)
    line = found[1] if found and found[1] else len(text.rstrip("\n").split("\n"))
    what = hideFurls(complaint[: found.start()] if found else complaint)
    if "overwrite" in what:
        what = "this key is there twice"
    theirs = _THEIRS.match(text.split("\n")[int(line) - 1])
    if theirs:
        ours = f"[{PROGRAMS}.{theirs[1]}] here, its texts in quotes"
        return f"{path}:{line}: this is no TOML: {theirs[0]} of supervisord is {ours}"
    column = f" at column {found[2]}" if found and found[2] else " at the end of the file" if found else ""
    return f"{path}:{line}: this is no TOML: {what[:1].lower()}{what[1:160]}{column}"


def locate(text: str) -> dict[tuple[str, ...], int]:
    """The line of each key of a TOML text, by its path.

    Statement by statement: the least lines that are TOML by themselves. After one of more than 200 lines it gives up.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    statement: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        statement.append(line)
        whole = "\n".join(statement)
        try:
            found = tomllib.loads(whole)
        except (ValueError, RecursionError):
            if len(statement) == _TALLEST:
                break
            continue
        first, statement = number - len(statement) + 1, []
        is_header = whole.lstrip().startswith("[")
        for path in _pathsOf(found):
            lines.setdefault((path if is_header else (*table, *path)), first)
            if is_header:
                table = path
    return lines


def _pathsOf(found: Any, depth: int = _DEEPEST) -> Iterator[tuple[str, ...]]:
    for key, value in found.items() if isinstance(found, dict) and depth else ():
        yield (key,)
        inner = value[0] if isinstance(value, list) and value else value
        yield from ((key, *path) for path in _pathsOf(inner, depth - 1))


def _readTables(
    found: dict[str, Any], path: str, lines: Mapping[tuple[str, ...], int]
) -> dict[str, dict[str, tuple[Any, str]]]:
    tables: dict[str, dict[str, tuple[Any, str]]] = {"": {}}

    def whereIs(*keys: str) -> str:
        line = lines.get(keys)
        return path if line is None else f"{path}:{line}"

    def take(table: str, key: str, value: Any, where: str) -> None:
        name = key.replace("-", "_")
        if table == PROCESSES and isinstance(value, dict):
            raise BadSettings(f"{where}: there is no setting {show(key)} of [{table}]: a program is [{PROGRAMS}.NAME]")
        _checkKey(table, key, name, where)
        if name in tables[table]:
            raise BadSettings(f"{where}: {dashed(name)!r} is there twice, as {show(key)} too: leave one out")
        convert: Any = attrs.fields_dict(Settings)[name].converter
        try:
            tables[table][name] = convert(value), where
        except BadSettings as error:
            raise BadSettings(f"{where}: {dashed(name)}: {error}") from None

    for key, value in found.items():
        if key == PROGRAMS and isinstance(value, dict):
            continue  # nodeset-processes reads those
        if key in SERVICES:
            if not isinstance(value, dict):
                raise BadSettings(f"{whereIs(key)}: {show(key)} is a table: write [{key}], its settings below it")
            tables[key] = {}
            for inner, each in value.items():
                take(key, inner, each, whereIs(key, inner))
        elif isinstance(value, dict) and key.replace("-", "_") not in NAMES:
            tables_there = ", ".join(f"[{service}]" for service in (*SERVICES, f"{PROGRAMS}.NAME"))
            near = _nearest(PROGRAMS if key.startswith("program") else key, (*SERVICES, PROGRAMS))
            raise BadSettings(f"{whereIs(key)}: there is no table {show(key)}{near}: there are {tables_there}")
        else:
            take("", key, value, whereIs(key))
    return tables


def _checkKey(table: str, key: str, name: str, where: str) -> None:
    known = [each for each in (namesOf(table) if table else NAMES) if aboutOf(each).filed]
    if name in known:
        return
    if name in NAMES and not aboutOf(name).filed:
        raise BadSettings(f"{where}: {dashed(name)!r} cannot stand in a file: give --{dashed(name)}")
    if name in NAMES:
        whose = ", ".join(f"[{service}]" for service in aboutOf(name).services)
        raise BadSettings(f"{where}: {dashed(name)!r} is no setting of [{table}]: it is one of {whose}")
    whose = f" of [{table}]" if table else ""
    raise BadSettings(
        f"{where}: there is no setting {show(key)}{whose}{_nearest(name, known) or ': see docs/configuration.md'}"
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name[:60], list(known), 1)
    return f": did you mean {dashed(found[0])!r}?" if found else ""
