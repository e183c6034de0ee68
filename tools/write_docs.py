"""Writes the generated parts of the documentation: the command line, the events."""

from __future__ import annotations

import inspect
import os
import typing
from pathlib import Path

import msgspec

from ringfence.model import event

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- written by `make docs`; edit the code instead -->\n\n"


def generated() -> dict[str, str]:
    """Each generated page and its text."""
    return {"docs/reference/events.md": _events()}


def _events() -> str:
    lines = [
        NOTE + "# Events",
        "",
        f"Schema {event.SCHEMA}. Every event carries `id`, `session`, `schema` and a body:",
        "",
    ]
    for body in typing.get_args(event.Body):
        lines += [f"## `{body.__struct_config__.tag}`", "", inspect.cleandoc(body.__doc__ or ""), ""]
        lines += ["| field | type |", "|---|---|"]
        for field in msgspec.structs.fields(body):
            lines.append(f"| `{field.name}` | {_type(field.type)} |")
        lines.append("")
    return "\n".join(lines)


def _type(annotation: object) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return f"`{annotation.__name__}`"
    return "`" + str(annotation).replace("typing.", "").replace("NoneType", "None").replace("|", "or") + "`"


def main() -> None:
    """Write every page."""
    for path, text in generated().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
        print(f"wrote {path}")


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "100")
    main()
