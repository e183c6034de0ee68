"""`ringfence policy registries`: where package managers fetch from on this machine, and who says so."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TextIO

import msgspec

from ringfence.cli import codes
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid
from ringfence.policy.sections.network import REGISTRIES
from ringfence.session.registries.linked_files import learn
from ringfence.session.registries.looked import Looked
from ringfence.session.registries.machine import Machine
from ringfence.session.registries.remembered import Remembered
from ringfence.session.registries.resolve import look
from ringfence.session.sources import places, working_folder
from ringfence.session.workspaces import find_workspace


def registries(parsed: argparse.Namespace, environ: Mapping[str, str], out: TextIO) -> int:
    """Print what was found, package manager by package manager."""
    unknown = [name for name in parsed.names if name not in REGISTRIES]
    if unknown:
        listed = ", ".join(f"`{name}`" for name in REGISTRIES)
        raise UsageInvalid(
            f"`{visible(unknown[0])}` is no package manager that is known here", remedy=f"known: {listed}"
        )
    where = places(environ)
    workspace = find_workspace(None, working_folder(), where.home)
    machine = Machine(home=where.home, workspace=workspace, variables=where.package_settings)
    remembered = Remembered(where.registries)
    for name in parsed.names or REGISTRIES:
        looked = look(name, machine, remembered)
        problems = learn(looked, remembered) if parsed.refresh else ()
        if parsed.refresh:
            looked = look(name, machine, remembered)
        if parsed.json:
            out.write(json.dumps({"schema": 1, **msgspec.to_builtins(looked), "refresh": list(problems)}) + "\n")
        elif looked.places or looked.installed or parsed.names:
            out.write(_lines(looked, problems))
    return codes.OK


def _lines(looked: Looked, problems: tuple[str, ...]) -> str:
    lines = [looked.name]
    for one in looked.places:
        note = "" if one.trusted else "  NOT OPENED: the workspace says so"
        lines.append(f"  {one.role:<6} {visible(one.host)}  ({visible(one.where)}){note}")
    if looked.problem:
        lines.append(f"  {visible(looked.problem)}")
    lines += [f"  {visible(text)}" for text in problems]
    return "\n".join(lines) + "\n"
