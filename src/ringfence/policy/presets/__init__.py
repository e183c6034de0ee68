"""The presets: policy documents like any other, shipped with us and read through the same loader."""

from __future__ import annotations

import os
from functools import cache

from ringfence.policy.documents import Document, read_document
from ringfence.policy.layers import Layer
from ringfence.policy.sections.settings import PRESETS

_FOLDER = os.path.dirname(os.path.abspath(__file__))


@cache
def preset(name: str) -> Document:
    """The document of a preset; `ValueError` where there is none of that name. Our tests check its examples."""
    if name not in PRESETS:
        listed = ", ".join(f"`{one}`" for one in PRESETS)
        raise ValueError(f"`{name}` is not a preset; the presets are {listed}")
    file = f"{name}.toml"
    with open(os.path.join(_FOLDER, file), "rb") as stream:
        return read_document(stream.read(), file=file, layer=Layer.PRESET, check_examples=False)
