"""Which files are read at all: one that names no mark has no test with it, and reading takes longer than many tests.

`pytest -m e2e` reads a dozen files instead of three hundred, in each of its processes. And what rows of tests are
called: the same in each of them.
"""

from __future__ import annotations

import gc
import os
import re
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest

MARKS = ("slow", "e2e")


@cache
def _names(file: Path, mark: str) -> bool:
    return f"pytest.mark.{mark}" in file.read_text(encoding="utf-8")


def wanted(expression: str) -> frozenset[str]:
    """The marks that every test has which an expression of `-m` lets through, as far as that is plain to see."""
    terms = expression.split(" and ")
    plain = all(re.fullmatch(r"(not )?\w+", term) for term in terms)
    return frozenset(terms).intersection(MARKS) if plain else frozenset()


def _goes_away(path: Path, seconds: float = 10) -> bool:
    """Whether nothing is there, at the latest after a while: another run may be cleaning up."""
    deadline = time.monotonic() + seconds
    while os.path.lexists(path) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not os.path.lexists(path)


def pytest_sessionstart() -> None:
    temporary = Path(tempfile.gettempdir()).resolve()
    for repository in (folder / ".git" for folder in (temporary, *temporary.parents)):
        if not _goes_away(repository):
            pytest.exit(f"`{repository}` makes one project of all that tests make below it: move it away", 4)
    # What is read here stays to the end: to look through it for garbage, again and again, takes a fifth of the time.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    marks = wanted(config.getoption("markexpr"))
    if marks and collection_path.name.startswith("test_") and collection_path.suffix == ".py":
        return not all(_names(collection_path, mark) for mark in marks) or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for mark in MARKS:
        files = {item.path for item in items if item.get_closest_marker(mark)}
        if hidden := sorted(str(file) for file in files if not _names(file, mark)):
            raise pytest.UsageError(f"`pytest.mark.{mark}` has to stand in the file of its tests: {', '.join(hidden)}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name rows by what is written in them, and bytes that cannot be read by their place.

    What a program packs may hold the second of its making, and processes that read a file in different seconds would
    not have the same tests.
    """
    if not isinstance(val, bytes) or (len(val) <= 60 and val.isascii() and val.decode().isprintable()):
        return None
    return argname
