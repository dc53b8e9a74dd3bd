"""The programs of a program file."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from nodeset.errors import BadProgram, BadSettings, CannotStart
from nodeset.processes.program import Program, checkName
from nodeset.processes.programs.order import Course, circleIn
from nodeset.processes.programs.readers import BadPart, nearest
from nodeset.processes.programs.schema import KEYS
from nodeset.processes.programs.supervisord import hintFor
from nodeset.processes.starting.launch import orderOf
from nodeset.settings.file import PROGRAMS, Document, readDocument, readSheet
from nodeset.settings.readers import show

__all__ = ["Programs", "readPrograms"]

#: In a text of one of several of a kind, its number.
_NUMBER: Final = "{number}"
_PATHS: Final = ("cwd", "log")


@attrs.frozen
class Programs:
    """What a program file holds.

    :ivar programs: by name, in the order of the file; NAME-1, NAME-2, and so on where several are to be run.
    :ivar groups: those names by the name of their table.
    :ivar course: in which order they start.
    """

    path: str
    programs: Mapping[str, Program]
    groups: Mapping[str, tuple[str, ...]]
    course: Course


def readPrograms(path: str, origin: str = "the program file") -> Programs:
    """The programs of the file at `path`; `origin` names the option that named it.

    Whether its users exist is looked up here, whether its commands do is not: they may come later. BadSettings, most often
    BadProgram, with file and line, if anything in the file is wrong, be it a setting of others.
    """
    document = readDocument(path, origin)
    readSheet(document)
    tables = document.found.get(PROGRAMS, {})
    if not tables:
        raise BadProgram(f"{path}: there is no program in it: write a table such as [process.web], with its command")
    groups = {name: _readGroup(document, name, table) for name, table in tables.items()}
    _checkDependencies(document, {name: group[0] for name, group in groups.items()})
    programs: dict[str, Program] = {}
    writers: dict[str, str] = {}
    for name, group in groups.items():
        for each in group:
            if each.name in programs:
                raise BadProgram(f"{document.whereIs(PROGRAMS, name)}: there are two programs named {each.name!r}: rename one")
            needs = tuple(attrs.evolve(need, name=one.name) for need in each.depends_on for one in groups[need.name])
            programs[each.name] = attrs.evolve(each, depends_on=needs)
            if each.log is not None and (other := writers.setdefault(each.log, each.name)) != each.name:
                hint = f"put {_NUMBER} into its name" if other in [one.name for one in group] else "give each its own"
                raise BadProgram(
                    f"{_whereIs(document, name, 'log')}: log: {other} and {each.name} would both write {show(each.log)}: {hint}"
                )
    names = {name: tuple(each.name for each in group) for name, group in groups.items()}
    return Programs(path, programs, names, Course.of(programs.values()))


def _readGroup(document: Document, name: str, table: object) -> tuple[Program, ...]:
    """The program of a table, or as many of it as that says, with names of their own."""
    where = document.whereIs(PROGRAMS, name)
    if isinstance(table, list):
        raise BadProgram(f"{where}: {show(name)} is a list: write [{PROGRAMS}.NAME] in single brackets, each name once")
    if not isinstance(table, dict):
        raise BadProgram(f"{where}: {show(name)} stands in [{PROGRAMS}]: put it into a table with a name, [{PROGRAMS}.NAME]")
    try:
        checkName(name)
    except BadProgram as error:
        raise BadProgram(f"{where}: {error}") from None
    many = table.get("numprocs")
    is_several = isinstance(many, int) and many > 1
    first = _readProgram(document, name, _fill(table, "1") if is_several else table)
    if first.numprocs == 1:
        return (first,)
    try:
        checkName(f"{name}-{first.numprocs}")
    except BadProgram as error:
        raise BadProgram(f"{where}: {error}") from None
    return tuple(
        attrs.evolve(_readProgram(document, name, _fill(table, str(number))), name=f"{name}-{number}", numprocs=1)
        for number in range(1, first.numprocs + 1)
    )


def _fill(value: Any, number: str) -> Any:
    """The value with the number in all its texts."""
    match value:
        case str():
            return value.replace(_NUMBER, number)
        case list():
            return [_fill(each, number) for each in value]
        case dict():
            return {key: _fill(each, number) for key, each in value.items()}
        case _:
            return value


def _readProgram(document: Document, name: str, table: Mapping[str, Any]) -> Program:
    fields: dict[str, Any] = {}
    for key, value in table.items():
        field = key.replace("-", "_")
        if field not in KEYS:
            raise BadProgram(
                f"{document.whereIs(PROGRAMS, name, key)}: [{PROGRAMS}.{name}] has no key {show(key)}"
                f"{hintFor(field) or nearest(field, KEYS) or ': see docs/program-file.md'}"
            )
        if field in fields:
            raise BadProgram(f"{document.whereIs(PROGRAMS, name, key)}: {field!r} is there twice, as {show(key)} too")
        try:
            fields[field] = KEYS[field].read(value)
            _checkOwner(field, fields[field])
        except BadSettings as error:
            inner = [error.key] if isinstance(error, BadPart) else []
            raise BadProgram(f"{document.whereIs(PROGRAMS, name, key, *inner)}: {field}: {error}") from None
    for field in _PATHS:
        if field in fields:
            fields[field] = str(Path(document.path).absolute().parent / fields[field])
    if "command" not in fields:
        where = document.whereIs(PROGRAMS, name)
        raise BadProgram(f"{where}: [{PROGRAMS}.{name}] has no command: say what to run, such as command = 'sleep 60'")
    program = Program(name=name, **fields)
    if program.backoff > program.backoff_max:
        key = "backoff" if "backoff" in fields else "backoff_max"
        raise BadProgram(
            f"{_whereIs(document, name, key)}: backoff: {program.backoff:g} s is longer than "
            f"backoff_max, {program.backoff_max:g} s"
        )
    try:
        orderOf(program)
    except CannotStart as error:
        raise BadProgram(f"{_whereIs(document, name, 'user')}: user: {error}") from None
    return program


def _whereIs(document: Document, name: str, field: str, *inner: str) -> str:
    """Where a key is, in either of its spellings."""
    dashed = field.replace("_", "-")
    key = dashed if (PROGRAMS, name, dashed) in document.lines else field
    return document.whereIs(PROGRAMS, name, key, *inner)


def _checkOwner(field: str, value: str) -> None:
    """Whether this user, or group, exists; one that is a number need not."""
    if field not in ("user", "group") or (value.isascii() and value.isdigit()):
        return
    try:
        _ = pwd.getpwnam(value) if field == "user" else grp.getgrnam(value)
    except (KeyError, ValueError):
        raise BadProgram(f"there is no {field} {show(value)} on this machine") from None


def _checkDependencies(document: Document, templates: Mapping[str, Program]) -> None:
    for name, template in templates.items():
        for each in template.depends_on:
            where = _whereIs(document, name, "depends_on", each.name)
            if each.name not in templates:
                raise BadProgram(
                    f"{where}: depends_on: there is no program {each.name!r}{nearest(each.name, templates) or ' in this file'}"
                )
            if each.until == "completed" and templates[each.name].restart == "always":
                raise BadProgram(
                    f"{where}: depends_on: {each.name!r} is never completed, as its restart is 'always': "
                    "make that 'on-failure', or wait for 'ready'"
                )
    if circle := circleIn({name: [each.name for each in template.depends_on] for name, template in templates.items()}):
        where = _whereIs(document, circle[0], "depends_on", circle[1])
        raise BadProgram(f"{where}: depends_on: {' -> '.join(circle)} is a circle, none of which could start")
