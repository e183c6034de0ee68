"""Where cargo, go, maven and apt fetch from, by their own files and variables."""

from __future__ import annotations

import os
import re
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from glob import glob
from xml.etree import ElementTree

from ringfence.session.registries.looked import Place, place
from ringfence.session.registries.machine import Machine

_SUPER_POM = "org/apache/maven/model/pom-4.0.0.xml"
_APT_LINE = re.compile(r"\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(?P<url>\S+)")
_APT_URIS = re.compile(r"URIs:\s*(?P<urls>.*)", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s,|]+")


def cargo_user_files(machine: Machine) -> tuple[str, ...]:
    """The user's own settings of cargo, of which the first that is there counts."""
    named = machine.variables.get("CARGO_HOME", "")
    base = named if named.startswith("/") else os.path.join(machine.home, ".cargo")
    return os.path.join(base, "config"), os.path.join(base, "config.toml")


def cargo(machine: Machine) -> Iterator[Place]:
    """What cargo's settings name: the source that stands for the default one, and other registries."""
    folders = (*machine.system("etc/cargo"), os.path.join(machine.workspace, ".cargo"))
    more = (os.path.join(one, name) for one in folders for name in ("config.toml", "config"))
    for path, text in machine.texts((*cargo_user_files(machine), *more)):
        try:
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        sources = values.get("source")
        replaced = _text(sources, "crates-io", "replace-with")
        for kind, table, key in (("source", sources, "registry"), ("registry", values.get("registries"), "index")):
            for name in table if isinstance(table, dict) else ():
                url = _text(table, name, key)
                role = "index" if kind == "source" and name in (replaced, "crates-io") else "extra"
                found = place(url, f"{path}:{_line(text, url)}", role=role, trusted=machine.is_trusted(path))
                if found is not None:
                    yield found
    for name, value in machine.variables.items():
        if name.startswith("CARGO_REGISTRIES_") and name.endswith("_INDEX"):
            found = place(value, f"${name}", role="extra")
            if found is not None:
                yield found


def go(machine: Machine) -> Iterator[Place]:
    """What the settings of Go name. `direct`, the origin of each module, opens nothing."""
    own = machine.variables.get("GOENV", "")
    paths = (
        own if own.startswith("/") else os.path.join(machine.config, "go/env"),
        *machine.system("usr/local/go/go.env", "usr/lib/go/go.env"),
    )
    written = [(machine.variables.get(name, ""), f"${name}", name) for name in ("GOPROXY", "GOSUMDB")]
    for path, text in machine.texts(paths):
        for number, line in enumerate(text.splitlines(), 1):
            name, _, value = line.partition("=")
            if name.strip() in ("GOPROXY", "GOSUMDB"):
                written.append((value, f"{path}:{number}", name.strip()))
    seen: set[str] = set()
    for value, where, name in written:
        if not value or name in seen:
            continue
        seen.add(name)
        role = "index" if name == "GOPROXY" else "extra"
        urls = _URL.findall(value)
        # The database of checksums may be written as the name of its host alone.
        if not urls and name == "GOSUMDB" and "." in (first := value.split("+")[0].split()[0]):
            urls = [f"https://{first}"]
        for url in urls:
            found = place(url, where, role=role)
            if found is not None:
                yield found


def maven_user_files(machine: Machine) -> tuple[str, ...]:
    """The user's own settings of Maven."""
    return (os.path.join(machine.home, ".m2/settings.xml"),)


def maven_trees(machine: Machine, paths: Iterable[str]) -> Iterator[ElementTree.Element]:
    """Settings of Maven that can be read."""
    yield from (top for _, _, top in _maven_read(machine, paths))


def _maven_read(machine: Machine, paths: Iterable[str]) -> Iterator[tuple[str, str, ElementTree.Element]]:
    for path, text in machine.texts(paths):
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            continue
        with suppress(ElementTree.ParseError):
            yield path, text, ElementTree.fromstring(text)  # noqa: S314 - no document type, so no entities


def maven(machine: Machine) -> Iterator[Place]:
    """What Maven's settings name: mirrors, and repositories of profiles."""
    home = _maven_home(machine)
    paths = (
        *maven_user_files(machine),
        *machine.system("etc/maven/settings.xml"),
        *((os.path.join(home, "conf/settings.xml"),) if home else ()),
        os.path.join(machine.workspace, ".mvn/settings.xml"),
    )
    for path, text, top in _maven_read(machine, paths):
        for element in top.iter():
            kind = local(element.tag)
            if kind not in {"mirror", "repository", "pluginRepository"}:
                continue
            inner = {local(each.tag): (each.text or "").strip() for each in element}
            everything = kind == "mirror" and {"*", "central", "external:*"} & set(inner.get("mirrorOf", "").split(","))
            if inner.get("blocked") == "true":
                continue
            url = inner.get("url", "")
            role = "index" if everything else "extra"
            found = place(url, f"{path}:{_line(text, url)}", role=role, trusted=machine.is_trusted(path))
            if found is not None:
                yield found


def maven_default(machine: Machine) -> Iterator[Place]:
    """The repository that Maven itself names, in the model that every project inherits."""
    home = _maven_home(machine)
    for jar in sorted(glob(os.path.join(home, "lib", "maven-model-builder*.jar"))) if home else ():
        try:
            with zipfile.ZipFile(jar) as archive:
                text = archive.read(_SUPER_POM).decode("utf-8", "replace")
        except (OSError, KeyError, zipfile.BadZipFile):
            continue
        for url in dict.fromkeys(re.findall(r"<url>\s*(https?://[^<\s]+)\s*</url>", text)):
            found = place(url, jar)
            if found is not None:
                yield found


def apt(machine: Machine) -> Iterator[Place]:
    """What apt's lists name."""
    folder = os.path.join(machine.root, "etc/apt")
    names = sorted(glob(os.path.join(folder, "sources.list.d", "*")))
    for path, text in machine.texts((os.path.join(folder, "sources.list"), *names)):
        for number, line in enumerate(text.splitlines(), 1):
            match = _APT_LINE.match(line) if path.endswith(".list") else None
            uris = _APT_URIS.match(line) if path.endswith(".sources") else None
            for url in (match["url"],) if match else uris["urls"].split() if uris else ():
                found = place(url, f"{path}:{number}")
                if found is not None:
                    yield found


def _maven_home(machine: Machine) -> str:
    for name in ("MAVEN_HOME", "M2_HOME"):
        named = machine.variables.get(name, "")
        if named.startswith("/") and machine.is_trusted(named):
            return named
    program = machine.find("mvn")
    return os.path.dirname(os.path.dirname(os.path.realpath(program))) if program else ""


def _text(table: object, *keys: str) -> str:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, str) else ""


def local(tag: str) -> str:
    """The name of an XML element without its namespace."""
    return tag.rpartition("}")[2]


def _line(text: str, written: str) -> int:
    return next((at for at, line in enumerate(text.splitlines(), 1) if written and written in line), 1)
