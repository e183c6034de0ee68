"""Finds and reads the policy files of a machine and a project, and hands the merged policy out. Decides nothing itself.

A managed file that is there has to be readable, valid, and writable by nobody but root: else nothing runs. That a file
is missing is fine; a link that leads nowhere is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from ringfence.model.canonical import text_from_os
from ringfence.model.situations import Diagnostic, PolicyInvalid, UsageInvalid
from ringfence.policy.choosing import choose_preset
from ringfence.policy.conditions import Situation
from ringfence.policy.documents import Document, DocumentInvalid, read_document
from ringfence.policy.effective import Inactive, Policy
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, applicable, merge
from ringfence.policy.presets import preset
from ringfence.policy.sections.settings import PRESETS
from ringfence.session.extending import Extending
from ringfence.session.policy_bytes import drop_ins, read_bytes
from ringfence.session.registries.resolve import with_registries
from ringfence.session.session_grants import COMMAND_LINE, SessionGrants, granted
from ringfence.session.sources import Places
from ringfence.session.trust_list import Trust, trust_of

__all__ = ["COMMAND_LINE", "PROJECT_FILE", "SessionGrants", "check_file", "layer_of", "load_policy", "read_bytes"]

PROJECT_FILE = "ringfence.toml"


def load_policy(
    places: Places,
    workspace: str,
    *,
    choice: str | None = None,
    grants: Iterable[SessionGrants] = (),
    situation: Situation | None = None,
) -> Policy:
    """The policy in force for a workspace. `choice` names a preset or profile, or a file in place of the user's own.

    `PolicyInvalid` carries the faults of every file at once; `UsageInvalid` is about the choice or the grants.
    """
    chosen_preset, chosen_file = _choice(choice, places)
    facts = Facts(home=places.home, workspace=workspace, situation=situation or Situation())
    reading = _Reading(places, facts)
    reading.layer(places.managed_policy, Layer.MANAGED)
    user = places.user_policy if chosen_file is None else chosen_file
    reading.layer(user, Layer.USER, alone=chosen_file is not None)
    reading.layer(os.path.join(workspace, PROJECT_FILE), Layer.PROJECT, alone=True)
    reading.layer(places.requirements, Layer.REQUIREMENTS)
    if reading.faults:
        raise PolicyInvalid(tuple(reading.faults))
    documents = [*reading.documents, *map(granted, grants)]
    chosen = choose_preset(documents, chosen_preset)
    named, unresolved = with_registries((preset(chosen.name), *documents), places, workspace)
    notes = (*chosen.inactive, *reading.inactive, *unresolved)
    return merge(named, facts=facts, chosen=msgspec.structs.replace(chosen, inactive=notes))


def check_file(path: str, *, layer: Layer, places: Places | None = None) -> Document:
    """The document in any file; `PolicyInvalid` with all its faults, also where it cannot be read."""
    faults: list[Diagnostic] = []
    try:
        document = read_document(read_bytes(path, layer), file=text_from_os(path), layer=layer)
    except DocumentInvalid as invalid:
        faults += invalid.diagnostics
        document = invalid.remains
    if places is not None:
        faults += _faults_beyond(document, Extending(places, _read))
    if faults:
        raise PolicyInvalid(tuple(faults))
    return document


def layer_of(path: str, places: Places) -> Layer:
    """The layer that a file would be read as, by where it lies."""
    full = os.path.abspath(path)
    known = {
        places.managed_policy: Layer.MANAGED,
        places.requirements: Layer.REQUIREMENTS,
        places.user_policy: Layer.USER,
    }
    folders = {f"{name.removesuffix('.toml')}.d": layer for name, layer in known.items()}
    by_name = {"requirements.toml": Layer.REQUIREMENTS, PROJECT_FILE: Layer.PROJECT}
    found = known.get(full) or folders.get(os.path.dirname(full)) or by_name.get(os.path.basename(full))
    return found or Layer.USER


class _Reading:
    """Everything that is read for one policy, and everything that is wrong with it."""

    def __init__(self, places: Places, facts: Facts) -> None:
        self._places = places
        self._facts = facts
        self._extending = Extending(places, _read)
        self.documents: list[Document] = []
        self.inactive: list[Inactive] = []
        self.faults: list[Diagnostic] = []

    def layer(self, path: str, layer: Layer, *, alone: bool = False) -> None:
        """Read the file of a layer, and the folder of more files beside it unless it stands alone."""
        paths = [path]
        if not alone:
            try:
                names, ignored = drop_ins(f"{path.removesuffix('.toml')}.d", layer)
            except PolicyInvalid as invalid:
                self.faults.extend(invalid.diagnostics)
                names, ignored = [], []
            paths += names
            self.inactive += ignored
        for each in paths:
            self._file(each, layer)

    def _file(self, path: str, layer: Layer) -> None:
        try:
            document = _read(path, layer, self._places)
        except FileNotFoundError:
            return
        except DocumentInvalid as invalid:
            self.faults += [*invalid.diagnostics, *_faults_beyond(invalid.remains, self._extending)]
            return
        except PolicyInvalid as invalid:
            self.faults.extend(invalid.diagnostics)
            return
        before = len(self._extending.faults)
        found, skipped = applicable(document, self._facts)
        for one in found:
            for part in self._extending.expand(one):
                # A profile has sections of its own; they apply, or not, like those of the file that names it.
                inner, more = applicable(part, self._facts)
                self.documents += inner
                self.inactive += more
        self.inactive += skipped
        self.faults += self._extending.faults[before:]


def _faults_beyond(document: Document, extending: Extending) -> list[Diagnostic]:
    """What is wrong with what a document starts from."""
    before = len(extending.faults)
    for part in (document, *document.sections):
        extending.expand(part)
    return extending.faults[before:]


def _choice(choice: str | None, places: Places) -> tuple[str | None, str | None]:
    if choice is None or choice in PRESETS:
        return choice, None
    if os.path.exists(choice):
        return None, choice
    for folder in places.profile_folders:
        profile = os.path.join(folder, f"{choice}.toml")
        if "/" not in choice and os.path.exists(profile):
            return None, profile
    listed = ", ".join(f"`{name}`" for name in PRESETS)
    raise UsageInvalid(
        f"policy `{choice}` is neither a preset, a profile nor a file", remedy=f"the presets are {listed}"
    )


def _read(path: str, layer: Layer, places: Places) -> Document:
    data = read_bytes(path, layer)
    document = read_document(data, file=text_from_os(path), layer=layer)
    if layer is not Layer.PROJECT:
        return document
    match trust_of(places.trust, path, data):
        case Trust.TRUSTED:
            return document
        case Trust.CHANGED:
            return _untrusted(document, _CHANGED)
        case Trust.UNKNOWN:
            return _untrusted(document, "")


_CHANGED = (
    "the file changed since it was trusted, so it only tightens; read it and trust it again with `ringfence trust`"
)


def _untrusted(document: Document, why: str) -> Document:
    sections = tuple(_untrusted(section, why) for section in document.sections)
    return msgspec.structs.replace(document, trusted=False, distrust=why, sections=sections)
