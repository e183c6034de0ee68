"""Makes the JSON of presets and bundles from their TOML, after every change of one:
`python -m ringfence.policy.presets.compiling`."""

from __future__ import annotations

import os

import msgspec

from ringfence.policy.documents import Document, read_document
from ringfence.policy.layers import Layer
from ringfence.policy.presets import FOLDER
from ringfence.policy.sections.settings import BUNDLES, PRESETS


def written(name: str) -> Document:
    """The document as its TOML says, with the examples of its rules checked."""
    file = f"{name}.toml"
    with open(os.path.join(FOLDER, file), "rb") as stream:
        return read_document(stream.read(), file=file, layer=Layer.PRESET)


def main() -> None:
    """Write the JSON of every preset and bundle."""
    found = {name: msgspec.json.format(msgspec.json.encode(written(name)), indent=1) for name in (*PRESETS, *BUNDLES)}
    for name, text in found.items():
        with open(os.path.join(FOLDER, f"{name}.json"), "wb") as stream:
            stream.write(text + b"\n")


if __name__ == "__main__":
    main()
