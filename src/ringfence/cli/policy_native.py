"""`ringfence policy native`: the effective policy as an agent's managed settings, and on standard error what is not in
them."""

from __future__ import annotations

import argparse
import json
import os
import sys

import msgspec

from ringfence.agents.exchange.native import Native, NativeAgent
from ringfence.agents.exchange.native_agents import native_settings
from ringfence.cli import codes
from ringfence.cli.left_out import Section, report
from ringfence.cli.new_file import write_new
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid
from ringfence.session.loaded import load_here
from ringfence.session.sources import working_folder


def run_native(parsed: argparse.Namespace) -> int:
    """Print or write the settings; 0 also where something did not fit, because that is said."""
    here = load_here(os.environ, cwd=working_folder(), workspace=parsed.workspace, choice=parsed.policy)
    native = native_settings(NativeAgent(parsed.agent), here.policy)
    written = [] if parsed.out is None else _write(native, parsed.out)
    if parsed.json:
        print(json.dumps({"schema": 1, **msgspec.to_builtins(native), "written": written}))
        return codes.OK
    if parsed.out is None:
        _print(native)
    report(_sections(native), sys.stderr)
    for path, file in zip(written, native.files, strict=False):
        print(f"written: {visible(path)}; {parsed.agent} reads it at {file.place}", file=sys.stderr)
    return codes.OK


def _write(native: Native, folder: str) -> list[str]:
    """Write every file, or none: what is there already is found out first."""
    paths = [os.path.join(folder, file.name) for file in native.files]
    standing = [path for path in paths if os.path.lexists(path)]
    if standing:
        listed = ", ".join(f"`{visible(path)}`" for path in standing)
        raise UsageInvalid(f"{listed}: there already, and not written over", remedy="name an empty folder")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageInvalid(f"folder `{visible(folder)}` cannot be made: {reason}") from None
    for path, file in zip(paths, native.files, strict=True):
        write_new(path, file.content.encode())
    return paths


def _print(native: Native) -> None:
    """One file as it is; several below a line with their place, as `head` prints them."""
    several = len(native.files) > 1
    for file in native.files:
        sys.stdout.write(f"==> {file.place} <==\n{file.content}\n" if several else file.content)
    sys.stdout.flush()


def _sections(native: Native) -> tuple[Section, ...]:
    lost = [(one.origin, f"{one.item}: {one.reason}") for one in native.unmapped if one.restricts]
    other = [(one.origin, f"{one.item}: {one.reason}") for one in native.unmapped if not one.restricts]
    stricter = [(one.origin, f"{one.item}: {one.text}") for one in native.stricter]
    return (
        Section(
            title="NOT in these settings, and it holds in sessions of Ringfence", entries=tuple(lost), important=True
        ),
        Section(title="not opened by these settings", entries=tuple(other)),
        Section(title="stricter than the policy", entries=tuple(stricter)),
        Section(
            title=f"what {native.agent.value} does not see by itself",
            entries=tuple(("-", one) for one in native.limits),
        ),
    )
