"""What a document starts from: bundles that are shipped, and profiles that lie in a folder of the user or of root.

A profile is read as a part of the file that names it: same layer, same trust. Presets are chosen elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches

import msgspec

from ringfence.model.situations import Diagnostic, PolicyInvalid
from ringfence.policy.documents import Document
from ringfence.policy.layers import Layer
from ringfence.policy.presets import bundle
from ringfence.policy.sections.settings import BUNDLES, PRESETS, Extension
from ringfence.session.sources import Places

MAX_DEPTH = 16

Read = Callable[[str, Layer, Places], Document]


class Extending:
    """Follows `extends` and collects what is wrong with it."""

    def __init__(self, places: Places, read: Read) -> None:
        self._places = places
        self._read = read
        self.faults: list[Diagnostic] = []

    def expand(self, document: Document) -> tuple[Document, ...]:
        """Everything that a document starts from, and the document itself at the end."""
        return (*self._started(document, (document.file,), document), document)

    def _started(self, document: Document, way: tuple[str, ...], top: Document) -> list[Document]:
        found: list[Document] = []
        for extension in document.extends:
            if extension.name in BUNDLES:
                found.append(
                    msgspec.structs.replace(bundle(extension.name), trusted=top.trusted, distrust=top.distrust)
                )
            elif extension.name not in PRESETS:
                found += self._profile(document, extension, way, top)
        return found

    def _profile(self, document: Document, extension: Extension, way: tuple[str, ...], top: Document) -> list[Document]:
        path = self._find(extension.name, document.layer)
        if path is None:
            self._fault(document, extension, self._unknown(extension.name, document.layer))
            return []
        if path in way:
            names = " extends ".join(f"`{_name(one)}`" for one in (*way[way.index(path) :], path))
            self._fault(document, extension, f"`extends` leads back to where it began: {names}")
            return []
        if len(way) > MAX_DEPTH:
            self._fault(document, extension, f"`extends` goes through more than {MAX_DEPTH} profiles")
            return []
        try:
            profile = self._read(path, document.layer, self._places)
        except PolicyInvalid as invalid:
            self.faults.extend(invalid.diagnostics)
            return []
        except FileNotFoundError:
            self._fault(document, extension, f"profile `{extension.name}` went away while it was read")
            return []
        # A profile of a project's file is not under the trust of that file's content: it is the user's own.
        profile = msgspec.structs.replace(profile, trusted=top.trusted, distrust=top.distrust)
        return [*self._started(profile, (*way, path), top), profile]

    def _find(self, name: str, layer: Layer) -> str | None:
        # A link that leads nowhere is found too: reading it says so.
        paths = (os.path.join(folder, f"{name}.toml") for folder in self._folders(layer))
        return next((path for path in paths if os.path.lexists(path)), None)

    def _folders(self, layer: Layer) -> tuple[str, ...]:
        # SECURITY: what binds people never comes from a folder that people write.
        return (self._places.managed_profiles,) if layer.binds else self._places.profile_folders

    def _unknown(self, name: str, layer: Layer) -> str:
        own: list[str] = []
        for folder in self._folders(layer):
            if os.path.isdir(folder) and os.access(folder, os.R_OK):
                own += [one.removesuffix(".toml") for one in sorted(os.listdir(folder)) if one.endswith(".toml")]
        known = [*PRESETS, *BUNDLES, *own]
        close = get_close_matches(name, known, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(f'`{one}`' for one in known)}"
        where = " or ".join(f"`{folder}`" for folder in self._folders(layer))
        return f"`{name}` is no preset, no bundle, and no profile in {where}; {hint}"

    def _fault(self, document: Document, extension: Extension, message: str) -> None:
        line = int(extension.origin.source.rpartition(":")[2])
        self.faults.append(Diagnostic(file=document.file, line=line, column=extension.column, message=message))


def _name(path: str) -> str:
    return os.path.basename(path).removesuffix(".toml")
