"""What package managers are told inside, where the user's own settings are not: the same hosts, and no secret.

Variables where a variable can say it, else a private copy of the settings without passwords and tokens.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from xml.etree import ElementTree

import tomlkit

from ringfence.model.shown import PlacedFile
from ringfence.session.registries import others, python
from ringfence.session.registries.looked import Place
from ringfence.session.registries.machine import Machine

_INDEX = {
    "pip": ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    "uv": ("UV_DEFAULT_INDEX", "UV_INDEX"),
    "npm": ("npm_config_registry", ""),
    "yarn": ("YARN_NPM_REGISTRY_SERVER", ""),
    "go": ("GOPROXY", ""),
}
_CARGO = {
    "source": ("replace-with", "registry", "local-registry", "directory", "git", "branch", "tag", "rev"),
    "registries": ("index", "protocol"),
}
"""What of cargo's settings says where packages come from."""


def variables(name: str, places: list[Place], machine: Machine) -> Iterator[tuple[str, str]]:
    """Variables for what settings say; a default needs none."""
    index, extra = _INDEX.get(name, ("", ""))
    written = [one for one in places if not one.where.startswith("the default of") and one.role != "files"]
    first = [one.url for one in written if one.role == "index"]
    if index and first:
        # The last file that names one wins, as it does for the package manager.
        yield index, ",".join(dict.fromkeys(first)) if name == "go" else first[-1]
    more = [one.url for one in written if one.role == "extra"]
    if extra and more:
        yield extra, " ".join(dict.fromkeys(more))
    # A scope that is not told would be looked up at the default, where anybody may own the name.
    yield from {f"npm_config_{one.scope}": one.url for one in written if one.scope}.items()
    if name == "pip":
        yield from _pip(machine)


def files(name: str, machine: Machine) -> Iterator[PlacedFile]:
    """Private copies of settings for what no variable can say."""
    if name == "cargo":
        yield from _cargo(machine)
    if name == "maven":
        mirrors = "".join(_mirrors(machine))
        if mirrors:
            text = f"<settings>\n  <mirrors>\n{mirrors}  </mirrors>\n</settings>\n"
            yield PlacedFile(path=others.maven_user_files(machine)[0], content=text.encode(), made=True)


def _pip(machine: Machine) -> Iterator[tuple[str, str]]:
    """The hosts whose certificate pip does not ask for, and the file of the authorities that it believes."""
    said: dict[str, str] = {}
    # Files of the whole machine are read inside as they are.
    own = [path for path in python.pip_files(machine) if path.startswith(f"{machine.home}/")]
    for path, text in machine.texts(own):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        for key, variable in (("trusted-host", "PIP_TRUSTED_HOST"), ("cert", "PIP_CERT")):
            value = parser.get("global", key, fallback="").split()
            if value and machine.is_trusted(path):
                said[variable] = " ".join(value)
    # HOME is not shown: a file of authorities there would only be missed.
    yield from ((one, value) for one, value in said.items() if not value.startswith((f"{machine.home}/", "~")))


def _cargo(machine: Machine) -> Iterator[PlacedFile]:
    for path, text in machine.texts(others.cargo_user_files(machine)):
        try:
            settings = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        if machine.is_trusted(path):
            yield PlacedFile(path=path, content=tomlkit.dumps(_sources(settings)).encode(), made=True)
        return  # of `config` and `config.toml` cargo reads one


def _sources(settings: dict[str, object]) -> dict[str, object]:
    """The sources and registries of cargo's settings, and nothing else.

    SECURITY: named by what may pass, never by what may not: `[env]` can hold a secret under any name.
    """
    found: dict[str, object] = {}
    for table, keys in _CARGO.items():
        written = settings.get(table)
        entries = written.items() if isinstance(written, dict) else ()
        kept = {
            name: {key: without_password(entry[key]) for key in keys if isinstance(entry.get(key), str)}
            for name, entry in entries
            if isinstance(entry, dict)
        }
        if kept:
            found[table] = kept
    registry = settings.get("registry")
    if isinstance(registry, dict) and isinstance(registry.get("default"), str):
        found["registry"] = {"default": registry["default"]}
    return found


def without_password(address: str) -> str:
    """An address without its user and password; any other text as it is."""
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else address


def _mirrors(machine: Machine) -> Iterator[str]:
    """The mirrors of Maven's user settings. Those of the machine are read inside as they are."""
    for top in others.maven_trees(machine, others.maven_user_files(machine)):
        for element in top.iter():
            inner = {others.local(each.tag): (each.text or "").strip() for each in element}
            if others.local(element.tag) == "mirror" and inner.get("url") and inner.get("mirrorOf"):
                mirror = ElementTree.Element("mirror")
                for key in ("id", "mirrorOf", "url", "blocked"):
                    if key in inner:
                        ElementTree.SubElement(mirror, key).text = without_password(inner[key])
                yield f"    {ElementTree.tostring(mirror, encoding='unicode')}\n"
