"""Where pip and uv fetch from, by their own files and variables."""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections.abc import Iterator, Mapping

from ringfence.session.registries.looked import Place, place
from ringfence.session.registries.machine import Machine

_PIP_KEYS = {"index-url": "index", "extra-index-url": "extra", "find-links": "extra"}
_PIP_SECTIONS = ("global", "install", "download", "wheel")
_UV_KEYS = {"index-url": "index", "extra-index-url": "extra", "find-links": "extra"}


def pip_files(machine: Machine) -> tuple[str, ...]:
    """The files that pip reads, a later one over an earlier."""
    named = machine.variables.get("PIP_CONFIG_FILE", "")
    environment = machine.variables.get("VIRTUAL_ENV", "")
    return (
        *machine.system("etc/xdg/pip/pip.conf", "etc/pip.conf"),
        os.path.join(machine.home, ".pip/pip.conf"),
        os.path.join(machine.config, "pip/pip.conf"),
        *((named,) if named.startswith("/") else ()),
        *((os.path.join(environment, "pip.conf"),) if environment.startswith("/") else ()),
        os.path.join(machine.workspace, "pip.conf"),
        os.path.join(machine.workspace, ".venv/pip.conf"),
    )


def pip(machine: Machine) -> Iterator[Place]:
    """What pip's settings name."""
    for path, text in machine.texts(pip_files(machine)):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        for section in _PIP_SECTIONS:
            for key, role in _PIP_KEYS.items():
                written = parser.get(section, key, fallback="") or parser.get(
                    section, key.replace("-", "_"), fallback=""
                )
                yield from _split(written, f"{path}:{_line(text, key)}", role, machine.is_trusted(path))
    yield from _variables(
        machine, {"PIP_INDEX_URL": "index", "PIP_EXTRA_INDEX_URL": "extra", "PIP_FIND_LINKS": "extra"}
    )


def uv(machine: Machine) -> Iterator[Place]:
    """What uv's settings name."""
    paths = (
        *machine.system("etc/xdg/uv/uv.toml", "etc/uv/uv.toml"),
        os.path.join(machine.config, "uv/uv.toml"),
        os.path.join(machine.workspace, "uv.toml"),
        os.path.join(machine.workspace, "pyproject.toml"),
    )
    for path, text in machine.texts(paths):
        try:
            values: object = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        for part in ("tool", "uv") if path.endswith("pyproject.toml") else ():
            values = values.get(part) if isinstance(values, dict) else None
        if isinstance(values, dict):
            yield from _uv(values, path, text, machine.is_trusted(path))
    roles = {
        "UV_DEFAULT_INDEX": "index", "UV_INDEX_URL": "index", "UV_INDEX": "extra",
        "UV_EXTRA_INDEX_URL": "extra", "UV_FIND_LINKS": "extra",
    }  # fmt: skip
    yield from _variables(machine, roles)


def _uv(values: Mapping[str, object], path: str, text: str, trusted: bool) -> Iterator[Place]:
    for table in (values, values.get("pip")):
        if not isinstance(table, dict):
            continue
        for key, role in _UV_KEYS.items():
            written = table.get(key)
            many = written if isinstance(written, list) else [written]
            yield from _split(
                " ".join(one for one in many if isinstance(one, str)), f"{path}:{_line(text, key)}", role, trusted
            )
    indexes = values.get("index")
    for index in indexes if isinstance(indexes, list) else ():
        if isinstance(index, dict) and isinstance(index.get("url"), str):
            url = str(index["url"])
            role = "index" if index.get("default") is True else "extra"
            yield from _split(url, f"{path}:{_line(text, url)}", role, trusted)


def _variables(machine: Machine, roles: Mapping[str, str]) -> Iterator[Place]:
    for name, role in roles.items():
        yield from _split(machine.variables.get(name, ""), f"${name}", role, True)


def _split(written: str, where: str, role: str, trusted: bool) -> Iterator[Place]:
    # uv names an index as `name=url`.
    for url in re.split(r"[\s,]+", written):
        found = place(
            url.partition("=")[2] if re.match(r"[\w-]+=https?:", url) else url, where, role=role, trusted=trusted
        )
        if found is not None:
            yield found


def _line(text: str, key: str) -> int:
    """The line on which a key or value is written first."""
    spelled = (key, key.replace("-", "_"))
    return next((at for at, line in enumerate(text.splitlines(), 1) if any(one in line for one in spelled)), 1)
