"""Finds and reads the policy files of a machine and a project, and hands the merged policy out. Decides nothing itself.

A managed file that is there has to be readable, valid, and writable by nobody but root: else nothing runs. That a file
is missing is fine.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable

import msgspec

from ringfence.model.canonical import text_from_os
from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern
from ringfence.model.situations import Diagnostic, PolicyInvalid, UsageInvalid
from ringfence.policy.documents import MAX_BYTES, Document, read_document
from ringfence.policy.effective import Access, HostRule, Origin, PathRule, Policy
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, choose_preset, merge
from ringfence.policy.paths import check_pattern
from ringfence.policy.presets import preset
from ringfence.policy.sections.network import NetworkSection
from ringfence.policy.sections.settings import PRESETS, EnvironmentSection
from ringfence.session.sources import Places
from ringfence.session.trust_list import is_trusted

PROJECT_FILE = "ringfence.toml"

_ROOT = 0
COMMAND_LINE = "the command line"
"""Who opened what was opened with options."""


class SessionGrants(msgspec.Struct, frozen=True, kw_only=True):
    """What the person at the keyboard opens for one session; still under requirements."""

    allow_hosts: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    """Absolute paths, or patterns as in a policy."""
    write: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    """Names of variables that are kept."""
    host_ports: tuple[int, ...] = ()
    source: str = COMMAND_LINE
    """Who opened it, for the reasons of decisions."""


def load_policy(
    places: Places, workspace: str, *, choice: str | None = None, grants: Iterable[SessionGrants] = ()
) -> Policy:
    """The policy in force for a workspace. `choice` names a preset, or a file that stands in for the user's own.

    `PolicyInvalid` carries the faults of every file at once; `UsageInvalid` is about the choice or the grants.
    """
    chosen_preset, chosen_file = _choice(choice)
    user = places.user_policy if chosen_file is None else chosen_file
    documents: list[Document] = []
    faults: list[Diagnostic] = []
    for path, layer in (
        (places.managed_policy, Layer.MANAGED),
        (user, Layer.USER),
        (os.path.join(workspace, PROJECT_FILE), Layer.PROJECT),
        (places.requirements, Layer.REQUIREMENTS),
    ):
        try:
            document = _read(path, layer, places)
        except PolicyInvalid as invalid:
            faults.extend(invalid.diagnostics)
        else:
            if document is not None:
                documents.append(document)
    if faults:
        raise PolicyInvalid(tuple(faults))
    documents.extend(_granted(one) for one in grants)
    chosen = choose_preset(documents, chosen_preset)
    facts = Facts(home=places.home, workspace=workspace)
    return merge((preset(chosen.name), *documents), facts=facts, chosen=chosen)


def check_file(path: str, *, layer: Layer) -> Document:
    """The document in any file; `PolicyInvalid` with all its faults, also where it cannot be read."""
    return read_document(read_bytes(path, layer), file=text_from_os(path), layer=layer)


def layer_of(path: str, places: Places) -> Layer:
    """The layer that a file would be read as, by where it lies."""
    known = {
        places.managed_policy: Layer.MANAGED,
        places.requirements: Layer.REQUIREMENTS,
        places.user_policy: Layer.USER,
    }
    by_name = {"requirements.toml": Layer.REQUIREMENTS, PROJECT_FILE: Layer.PROJECT}
    return known.get(os.path.abspath(path)) or by_name.get(os.path.basename(path), Layer.USER)


def _choice(choice: str | None) -> tuple[str | None, str | None]:
    if choice is None or choice in PRESETS:
        return choice, None
    if os.path.exists(choice):
        return None, choice
    listed = ", ".join(f"`{name}`" for name in PRESETS)
    raise UsageInvalid(f"policy `{choice}` is neither a preset nor a file", remedy=f"the presets are {listed}")


def _read(path: str, layer: Layer, places: Places) -> Document | None:
    try:
        data = read_bytes(path, layer)
    except FileNotFoundError:
        return None
    document = read_document(data, file=text_from_os(path), layer=layer)
    if layer is Layer.PROJECT and not is_trusted(places.trust, path, hashlib.sha256(data).hexdigest()):
        return msgspec.structs.replace(document, trusted=False)
    return document


def read_bytes(path: str, layer: Layer) -> bytes:
    """The bytes of one file, by one descriptor: what was checked is what was read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _fault(path, f"the file cannot be read: {(error.strerror or str(error)).lower()}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _fault(path, "this is not a regular file")
        if layer.binds:
            _check_owner(path, status)
        return _all_of(descriptor)
    except OSError as error:
        raise _fault(path, f"the file cannot be read: {(error.strerror or str(error)).lower()}") from error
    finally:
        os.close(descriptor)


def _all_of(descriptor: int) -> bytes:
    """What a descriptor holds, up to one byte more than any policy may have."""
    data = b""
    while len(data) <= MAX_BYTES:
        block = os.read(descriptor, MAX_BYTES + 1 - len(data))
        if not block:
            break
        data += block
    return data


def _check_owner(path: str, status: os.stat_result) -> None:
    # SECURITY: whoever can write the file, or put another in its place, would rule over the administrator.
    for place, facts in ((path, status), (os.path.dirname(path), os.stat(os.path.dirname(path)))):
        if facts.st_uid != _ROOT or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _fault(
                path, f"`{place}` has to belong to root and be writable by nobody else; nothing runs until then"
            )


def _fault(path: str, message: str) -> PolicyInvalid:
    return PolicyInvalid((Diagnostic(file=text_from_os(path), line=1, column=1, message=message),))


def _granted(grants: SessionGrants) -> Document:
    origin = Origin(layer=Layer.SESSION.value, source=grants.source)
    paths = [(Access.READ, path, "--read") for path in grants.read]
    paths += [(Access.WRITE, path, "--write") for path in grants.write]
    return Document(
        layer=Layer.SESSION,
        file=grants.source,
        filesystem=tuple(_granted_path(access, path, option, origin) for access, path, option in paths),
        network=NetworkSection(
            rules=tuple(_granted_host(text, origin) for text in grants.allow_hosts),
            host_ports=tuple((port, origin) for port in grants.host_ports),
        ),
        environment=EnvironmentSection(keep=tuple((name, origin) for name in grants.environment)),
    )


def _granted_path(access: Access, path: str, option: str, origin: Origin) -> PathRule:
    fault = check_pattern(path)
    if fault:
        raise UsageInvalid(f"`{option}`: {fault}")
    return PathRule(pattern=path, access=access, origin=origin, reason=f"granted with `{option}`")


def _granted_host(text: str, origin: Origin) -> HostRule:
    try:
        pattern = str(HostPattern.parse(text))
    except ValueError as error:
        raise UsageInvalid(f"`--allow-host`: {error}") from None
    return HostRule(
        id=f"session:{pattern}",
        hosts=(pattern,),
        verdict=Verdict.ALLOW,
        reason="granted for this session by " + origin.source,
        origin=origin,
    )
