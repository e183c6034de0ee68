"""The page that says which test proves what names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "approvals-proof.md"
_NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)`|`(test_[a-z0-9_]+)`")


def named() -> list[tuple[str, str]]:
    """Each test that the page names, with the file that stands before it."""
    found, file = [], ""
    for match in _NAMED.finditer(PAGE.read_text()):
        file = match[1] or file
        found += [(file, match[2])] if match[2] else []
    return found


def test_every_test_that_it_names_is_there() -> None:
    texts = {file: (ROOT / file).read_text() for file, _ in named()}

    assert [(file, test) for file, test in named() if f"def {test}(" not in texts[file]] == []
    assert len(named()) > 60


def test_each_of_the_thirteen_has_its_row() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)

    assert rows == [str(number) for number in range(1, 14)]
