"""The presets, and the bundles that are added to one: policy documents like any other, shipped with us.

Each is written in TOML, which is what people read and what reasons point to. Next to it lies the same document as
JSON, made by `ringfence.policy.presets.compiling`, because reading that takes a millisecond where TOML takes thirty.
A test fails where the two differ.
"""

from __future__ import annotations

import os
from functools import cache

import msgspec

from ringfence.policy.documents import Document
from ringfence.policy.sections.settings import BUNDLES, PRESETS

FOLDER = os.path.dirname(os.path.abspath(__file__))


@cache
def preset(name: str) -> Document:
    """The document of a preset; `ValueError` where there is none of that name."""
    if name not in PRESETS:
        listed = ", ".join(f"`{one}`" for one in PRESETS)
        raise ValueError(f"`{name}` is not a preset; the presets are {listed}")
    return _shipped(name)


@cache
def bundle(name: str) -> Document:
    """The document of a bundle, which is added to a preset; `ValueError` where there is none of that name."""
    if name not in BUNDLES:
        listed = ", ".join(f"`{one}`" for one in BUNDLES)
        raise ValueError(f"`{name}` is not a bundle; the bundles are {listed}")
    return _shipped(name)


def _shipped(name: str) -> Document:
    with open(os.path.join(FOLDER, f"{name}.json"), "rb") as stream:
        return msgspec.json.decode(stream.read(), type=Document)
