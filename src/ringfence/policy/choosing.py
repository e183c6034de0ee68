"""Which preset applies, who chose it, and the order in which documents have a say."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ringfence.policy.documents import Document
from ringfence.policy.effective import BUILT_IN, Inactive, Origin
from ringfence.policy.layers import Enforcement, Layer
from ringfence.policy.sections.settings import PRESETS

DEFAULT_PRESET = "workspace"
ORDER = (Layer.PRESET, Layer.MANAGED, Layer.USER, Layer.PROJECT, Layer.SESSION, Layer.REQUIREMENTS)

_COMMAND_LINE = Origin(layer=Layer.SESSION.value, source="the command line")
_UNTRUSTED = "an untrusted project only tightens; read the file and trust it with `ringfence trust`"


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The preset that applies, who chose it, and the choices that do not count."""

    name: str
    origin: Origin
    inactive: tuple[Inactive, ...] = ()


def choose_preset(documents: Iterable[Document], choice: str | None) -> Chosen:
    """The preset that applies. `choice` is the person's at the keyboard."""
    inactive: list[Inactive] = []
    name, by = DEFAULT_PRESET, BUILT_IN
    allowed: tuple[tuple[str, ...], Origin] | None = None
    for document in ordered(documents):
        if document.allowed_presets is not None and document.enforcement is not Enforcement.OBSERVE:
            names, at = document.allowed_presets
            kept = tuple(one for one in names if allowed is None or one in allowed[0])
            # Files that permit nothing in common permit the strictest that any of them names.
            allowed = (kept or (min((*names, *(allowed[0] if allowed else ())), key=PRESETS.index),), at)
        extension = next((one for one in document.extends if one.name in PRESETS), None)
        if extension is None:
            continue
        wanted, origin = extension.name, extension.origin
        if not document.trusted and PRESETS.index(wanted) > PRESETS.index(name):
            inactive.append(Inactive(origin=origin, what=f"preset `{wanted}`", why=distrust(document)))
        else:
            if wanted != name:
                inactive += displaced(f"preset `{name}`", by, f"{origin.source} chooses `{wanted}`", origin)
            name, by = wanted, origin
    if choice is not None and choice != name:
        inactive += displaced(f"preset `{name}`", by, f"{_COMMAND_LINE.source} chooses `{choice}`", _COMMAND_LINE)
    if choice is not None:
        name, by = choice, _COMMAND_LINE
    if allowed is not None and name not in allowed[0]:
        nearest = _nearest(name, allowed[0])
        why = f"{allowed[1].source} does not permit it; `{nearest}` applies"
        inactive.append(Inactive(origin=by, what=f"preset `{name}`", why=why, by=allowed[1]))
        name, by = nearest, allowed[1]
    return Chosen(name=name, origin=by, inactive=tuple(inactive))


def ordered(documents: Iterable[Document]) -> list[Document]:
    """Lowest authority over the defaults first; documents of one layer stay as they came."""
    return sorted(documents, key=lambda document: ORDER.index(document.layer))


def _nearest(name: str, allowed: tuple[str, ...]) -> str:
    """The loosest permitted preset that is stricter than the one asked for, else the strictest of all."""
    stricter = [preset for preset in PRESETS[: PRESETS.index(name)] if preset in allowed]
    return stricter[-1] if stricter else next(preset for preset in PRESETS if preset in allowed)


def displaced(what: str, origin: Origin, why: str, by: Origin) -> tuple[Inactive, ...]:
    """A value in whose place its reader put another; nothing where nobody had written one."""
    if origin == BUILT_IN:
        return ()
    return (Inactive(origin=origin, what=what, why=why, by=by, told=False),)


def distrust(document: Document) -> str:
    """Why a document only tightens."""
    return document.distrust or _UNTRUSTED
