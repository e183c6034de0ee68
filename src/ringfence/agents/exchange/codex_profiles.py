"""Codex's permission profiles as path rules and host rules: the profile that `default_permissions` names, and what it
extends. Both sides let the most specific path decide, so that the rules mean the same.
"""

from __future__ import annotations

from ringfence.agents.exchange.codex_network import import_network_table
from ringfence.agents.exchange.draft import Draft
from ringfence.agents.exchange.source import Source
from ringfence.policy.effective import Access
from ringfence.policy.schema import escaped

BUILT_IN = {":read-only": "read-only", ":workspace": "workspace", ":danger-full-access": "full-access"}
"""The profiles that Codex brings along, as presets."""

_TOKENS = {":workspace_roots": ":workspace", ":tmpdir": ":tmp", ":slash_tmp": ":tmp", ":root": "/"}
_OPENS = "how far Codex looks for files before a start; rules of Ringfence hold for files that come later too"


def import_profiles(top: Source) -> None:
    """`permissions`, `default_permissions` and `allowed_permission_profiles`."""
    chosen = top.take_text("default_permissions")
    allowed = top.take_table("allowed_permission_profiles")
    profiles = top.take_table("permissions")
    names = () if allowed is None else tuple(name for name in allowed.values if allowed.take_flag(name))
    if chosen is None and len(names) == 1:
        chosen = names[0]
    if allowed is not None:
        reason = "which presets people may choose stands in requirements, as `allowed_presets`"
        top.draft.lose(top.origin("allowed_permission_profiles"), "allowed_permission_profiles", reason, restricts=True)
    used = _chain(top, profiles, chosen)
    if profiles is not None:
        _managed(profiles)
        for name in profiles.rest():
            if name not in used:
                reason = "another profile is the default; a policy has one"
                top.draft.lose(profiles.origin(name), profiles.name(name), reason, restricts=False)


def _managed(profiles: Source) -> None:
    """`permissions.filesystem.deny_read`, which holds beside every profile."""
    table = profiles.values.get("filesystem")
    if not isinstance(table, dict) or "deny_read" not in table:
        return
    managed = profiles.take_table("filesystem")
    assert managed is not None
    for path, origin in managed.take_texts("deny_read"):
        item = f"deny_read `{escaped(path)}`"
        if managed.draft.add_path(path, Access.DENY, origin, item):
            managed.draft.tighten(origin, item, "can be neither read nor written")
    managed.lose_rest("there is no such setting in a policy", restricts=True)


def _chain(top: Source, profiles: Source | None, chosen: str | None) -> set[str]:
    """Read a profile and everything that it extends; a path that a nearer one names is left to it."""
    used: set[str] = set()
    named: dict[str, str] = {}
    key_origin = top.origin("default_permissions")
    while chosen is not None and chosen not in used:
        if chosen in BUILT_IN:
            top.draft.choose_preset(BUILT_IN[chosen], key_origin)
            return used
        values = None if profiles is None else profiles.values.get(chosen)
        if profiles is None or not isinstance(values, dict):
            reason = "there is no such profile in this file"
            top.draft.lose(key_origin, f"profile `{escaped(chosen)}`", reason, restricts=True)
            return used
        used.add(chosen)
        profile = profiles.below(chosen, values)
        chosen, key_origin = _profile(profile, named), profile.origin("extends")
        if chosen is None:
            name = "workspace" if named.get(":workspace") == "write" else "read-only"
            top.draft.choose_preset(name, profile.origin())
    return used


def _profile(profile: Source, named: dict[str, str]) -> str | None:
    profile.take("description")
    filesystem = profile.take_table("filesystem")
    if filesystem is not None:
        _filesystem(filesystem, named)
    network = profile.take_table("network")
    if network is not None:
        import_network_table(network)
    extends = profile.take_text("extends")
    profile.lose_rest("there is no such setting in a policy", restricts=True)
    return extends


def _filesystem(table: Source, named: dict[str, str]) -> None:
    for key, value in table.values.items():
        if isinstance(value, dict):
            below = table.take_table(key)
            assert below is not None
            for name in value:
                _path(below, name, _join(key, name), named)
        elif key == "glob_scan_max_depth":
            table.take(key)
            table.draft.cover(table.origin(key), table.name(key), _OPENS)
        else:
            _path(table, key, key, named)


def _path(table: Source, key: str, written: str, named: dict[str, str]) -> None:
    word, origin = table.take_text(key), table.origin(key)
    item = f"`{escaped(written)}` = {escaped(word or '')}"
    pattern = _pattern(written)
    if word not in {"read", "write", "deny", "none"}:
        if word is not None:
            table.draft.lose(origin, item, "a path is `read`, `write` or `deny`", restricts=True)
    elif pattern is None:
        table.draft.cover(origin, item, "programs, and what they need of the system, can always be read")
    elif pattern not in named:
        named[pattern] = word
        access = Access.DENY if word == "none" else Access(word)
        _add(table.draft, pattern, access, origin, item)


def _add(draft: Draft, pattern: str, access: Access, origin: str, item: str) -> None:
    if pattern == "/" and access is Access.WRITE:
        reason = "no policy makes the whole system writable; open the folders that are meant"
        draft.lose(origin, item, reason, restricts=False)
    else:
        draft.add_path(pattern, access, origin, item)


def _pattern(written: str) -> str | None:
    """The path as we write it; nothing for what is always readable."""
    head, slash, rest = written.partition("/")
    if head == ":minimal":
        return None
    if head == ":root":
        return f"/{rest}"
    return f"{_TOKENS.get(head, head)}{slash}{rest}"


def _join(key: str, name: str) -> str:
    return key if name in {".", ""} else f"{key.rstrip('/')}/{name}"
