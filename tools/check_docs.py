"""Checks that the documentation is true where a program can tell: links, generated parts, glossary, ADR numbers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from write_docs import generated

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def faults() -> list[str]:
    """Every untrue thing that was found, as `file: what`."""
    found = []
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in LINK.findall(page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                found.append(f"{page.relative_to(ROOT)}: the link to `{target}` leads nowhere")
    for path, text in generated().items():
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text:
            found.append(f"{path}: is not what the code says now; run `make docs`")
    numbers = [record.name[:4] for record in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    if len(set(numbers)) != len(numbers):
        found.append("docs/adr: two decisions have one number")
    return found


if __name__ == "__main__":
    problems = faults()
    print(
        "\n".join(problems) or "docs: all links, generated pages and numbers hold",
        file=sys.stderr if problems else sys.stdout,
    )
    sys.exit(bool(problems))
