"""What pytest finds of us: the fixture `site`.

It is read in every run of pytest wherever NodeSet is installed, so it imports nothing of it before the fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nodeset.testing import Site

__all__ = ["site"]

__tracebackhide__ = True  # pytest shows the line of the test instead


@pytest.fixture
def site() -> Iterator[Site]:
    """A `nodeset.testing.Site`: a dispatcher in memory, which stops after the test.

    The test fails when a handler has raised and nobody looked (`site.flushErrors`), or when a timer is left.
    """
    from nodeset.testing import Site

    with Site() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let errors that were logged fail the test itself, or be shown beside what it failed with."""
    try:
        result = yield
    except BaseException as error:
        for each in _sites(pyfuncitem):
            each.noteErrors(error)
        raise
    for each in _sites(pyfuncitem):
        each.checkErrors()
    return result


def _sites(item: pytest.Function) -> list[Any]:
    """The sites among the fixtures of a test, whoever made them."""
    room = sys.modules.get("nodeset.testing.site")
    return [] if room is None else [each for each in item.funcargs.values() if isinstance(each, room.Site)]
