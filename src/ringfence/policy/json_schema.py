"""The JSON Schema of a policy document, made by the code that reads one.

`python -m ringfence.policy.json_schema` writes the file that is shipped; a test fails where the two differ.
"""

from __future__ import annotations

import json
import os

from ringfence.policy.described import Described, completed
from ringfence.policy.documents import read_table
from ringfence.policy.layers import Layer

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "policy.schema.json")


def json_schema() -> dict[str, object]:
    """The schema of a whole document. It says which keys there are and of which type; the reader knows more."""
    top = Described()
    read_table(top, Layer.USER)
    found = completed(top.schema())
    assert isinstance(found, dict)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ringfence policy",
        "description": "A policy document of Ringfence: `ringfence.toml`, `policy.toml` or `requirements.toml`.",
        **found,
    }


def text() -> str:
    """The schema as it is shipped."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the shipped file anew."""
    with open(FILE, "w", encoding="utf-8") as stream:
        stream.write(text())


if __name__ == "__main__":
    main()
