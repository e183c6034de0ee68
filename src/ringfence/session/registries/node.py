"""Where npm, pnpm and yarn fetch from, by their own files and variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ringfence.session.registries.looked import Place, place
from ringfence.session.registries.machine import Machine

_NPMRC = re.compile(r"\s*(?P<key>(?:@[^:=\s]+:)?registry)\s*=\s*(?P<url>\S+)")
_YARNRC = re.compile(r"\s*(?P<key>npmRegistryServer|\"?registry\"?):?\s+(?P<url>\S+)")


def npm(machine: Machine) -> Iterator[Place]:
    """What the settings of npm name, which pnpm reads as well."""
    variables = {name.lower(): value for name, value in machine.variables.items()}
    own = variables.get("npm_config_userconfig", "")
    program = machine.find("npm", "pnpm")
    prefix = os.path.dirname(os.path.dirname(program)) if program else "/usr/local"
    paths = (
        *machine.system("etc/npmrc", "usr/etc/npmrc"),
        *((os.path.join(prefix, "etc/npmrc"),) if machine.root == "/" else ()),
        own if own.startswith("/") else os.path.join(machine.home, ".npmrc"),
        os.path.join(machine.config, "pnpm/rc"),
        os.path.join(machine.workspace, ".npmrc"),
    )
    yield from _lines(machine, paths, _NPMRC)
    found = place(variables.get("npm_config_registry", ""), "$npm_config_registry")
    if found is not None:
        yield found


def yarn(machine: Machine) -> Iterator[Place]:
    """What the settings of yarn name; the first version reads those of npm too."""
    yield from npm(machine)
    paths = (
        os.path.join(machine.home, ".yarnrc.yml"),
        os.path.join(machine.home, ".yarnrc"),
        os.path.join(machine.workspace, ".yarnrc.yml"),
        os.path.join(machine.workspace, ".yarnrc"),
    )
    yield from _lines(machine, paths, _YARNRC)
    for name in ("YARN_NPM_REGISTRY_SERVER", "YARN_REGISTRY"):
        found = place(machine.variables.get(name, ""), f"${name}")
        if found is not None:
            yield found


def _lines(machine: Machine, paths: tuple[str, ...], pattern: re.Pattern[str]) -> Iterator[Place]:
    for path, text in machine.texts(paths):
        for number, line in enumerate(text.splitlines(), 1):
            match = pattern.match(line)
            if match is None:
                continue
            # The registry of a scope stands beside the default and does not take its place.
            scope = match["key"] if match["key"].startswith("@") else ""
            role = "extra" if scope else "index"
            trusted = machine.is_trusted(path)
            found = place(match["url"], f"{path}:{number}", role=role, trusted=trusted, scope=scope)
            if found is not None:
                yield found
