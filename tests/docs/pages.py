"""The pages as tests read them: what is written by hand, and the fenced blocks in it by their language."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import msgspec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for the name of a test."""
        return f"{self.page}:{self.line}"


def by_hand() -> dict[str, str]:
    """Every page that people write, by its name."""
    pages = [page for page in DOCS.rglob("*.md") if "adr" not in page.parts and "reference" not in page.parts]
    return {str(page.relative_to(DOCS)): page.read_text() for page in pages}


def blocks(language: str) -> list[Block]:
    """Every fenced block of one language."""
    return [
        Block(page=page, line=text.count("\n", 0, found.start()) + 1, language=found[1], text=found[2])
        for page, text in sorted(by_hand().items())
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def tool(name: str) -> ModuleType:
    """A program of the `tools` folder, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
