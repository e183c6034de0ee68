"""The hosts behind `registries`: from each package manager's own settings, else from its own default.

SECURITY: what the workspace's files name is told and never opened: whoever wrote the repository wrote them. A password
in an address stays here; what goes inside is the address alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from ringfence.model.addresses import OWN_NETWORK, AddressKind, classify
from ringfence.model.decision import Verdict
from ringfence.model.host import HOST_LOOPBACK, parse_destination
from ringfence.policy.documents import Document
from ringfence.policy.effective import HostRule, Inactive, Origin
from ringfence.policy.sections.settings import EnvironmentSection
from ringfence.session.registries import node, others, python, said_inside
from ringfence.session.registries.looked import Looked, Place, place
from ringfence.session.registries.machine import Machine
from ringfence.session.registries.own_default import ASKS, own_default
from ringfence.session.registries.remembered import Remembered
from ringfence.session.sources import Places

_READERS: dict[str, Callable[[Machine], Iterator[Place]]] = {
    "pip": python.pip,
    "uv": python.uv,
    "npm": node.npm,
    "pnpm": node.npm,
    "yarn": node.yarn,
    "cargo": others.cargo,
    "go": others.go,
    "maven": others.maven,
    "apt": others.apt,
}
_PROGRAMS = {"maven": ("mvn",), "pip": ("pip3", "pip")}


def look(name: str, machine: Machine, remembered: Remembered) -> Looked:
    """Where one package manager fetches from."""
    if name == "gradle":
        return Looked(
            name=name,
            installed=machine.find("gradle") is not None,
            problem="gradle has no default; its repositories stand in build files, and are asked for",
        )
    places = list(_READERS[name](machine))
    if not any(one.role == "index" and one.trusted for one in places):
        places += _default(name, machine, remembered)
    places += [file for one in list(places) if one.trusted for file in _files(one, remembered)]
    distinct = tuple({(one.url, one.host, one.trusted): one for one in reversed(places)}.values())[::-1]
    if any(one.role == "index" and one.trusted for one in distinct):
        return Looked(name=name, places=distinct)
    installed = machine.find(*_PROGRAMS.get(name, (name,))) is not None
    if not installed:
        problem = f"{name} is not installed here, and no setting of it names an index"
    else:
        problem = f"no setting of {name} names an index, and its own default cannot be asked for"
    return Looked(name=name, places=distinct, installed=installed, problem=problem)


def with_registries(
    documents: Iterable[Document], places: Places, workspace: str
) -> tuple[tuple[Document, ...], tuple[Inactive, ...]]:
    """The documents with a rule for each host of the registries that they name, and what of it does not count."""
    documents = tuple(documents)
    names = dict.fromkeys(name for document in documents for name, _ in document.network.registries)
    if not names:
        return documents, ()
    remembered = Remembered(places.registries)
    machine = Machine(home=places.home, workspace=workspace, variables=places.package_settings)
    found = {name: look(name, machine, remembered) for name in names}
    notes = [note for document in documents for note in _notes(document, found)]
    return tuple(_opened(document, found, machine) for document in documents), tuple(dict.fromkeys(notes))


def _default(name: str, machine: Machine, remembered: Remembered) -> Iterator[Place]:
    if name == "maven":
        yield from others.maven_default(machine)
        return
    program = machine.find(*ASKS[name].programs) if name in ASKS else None
    for url in own_default(name, program, machine.home, remembered) if program else ():
        found = place(url, f"the default of {program}")
        if found is not None:
            yield found


def _files(index: Place, remembered: Remembered) -> Iterator[Place]:
    for url in remembered.files.get(index.url, ()):
        # SECURITY: a public index must not be able to send the agent into the network of whoever asks it.
        private = index.url in remembered.private
        found = place(url, f"linked from {index.url}", role="files", private=private)
        if found is not None and _may_link(found.host, private=private):
            yield found


def _may_link(destination: str, *, private: bool) -> bool:
    """Whether an index may name a host. A rule that names an address declares it, wherever it leads: an index names no
    address but a public one, or one of its own network where it lies in that itself."""
    host = parse_destination(destination).host
    if host.address is None:
        return host.name != HOST_LOOPBACK
    kind = classify(host.address).kind
    return kind is AddressKind.GLOBAL or (private and kind in OWN_NETWORK)


def _opened(document: Document, found: dict[str, Looked], machine: Machine) -> Document:
    rules: dict[str, HostRule] = {}
    placed = []
    variables = list(document.environment.set)
    known = {name for name, _, _ in variables}
    for name, origin in document.network.registries:
        trusted = [one for one in found[name].places if one.trusted]
        for one in trusted:
            rule = _rule(name, one, origin)
            rules.setdefault(rule.id, rule)
        for variable, value in said_inside.variables(name, trusted, machine):
            if variable not in known:
                variables.append((variable, value, origin))
        placed += [(file, origin) for file in said_inside.files(name, machine)]
    if not rules:
        return document
    network = msgspec.structs.replace(document.network, rules=(*document.network.rules, *rules.values()))
    environment: EnvironmentSection = msgspec.structs.replace(
        document.environment, set=tuple(variables), files=tuple(placed)
    )
    return msgspec.structs.replace(document, network=network, environment=environment)


def _rule(name: str, one: Place, origin: Origin) -> HostRule:
    return HostRule(
        id=f"registry:{name}:{one.host}",
        hosts=(one.host,),
        verdict=Verdict.ALLOW,
        private=one.private,
        reason=f"{name} fetches from it: {one.where}",
        origin=origin,
    )


def _notes(document: Document, found: dict[str, Looked]) -> Iterator[Inactive]:
    for name, origin in document.network.registries:
        looked = found[name]
        if looked.problem and looked.installed:
            yield Inactive(origin=origin, what=f"registry `{name}`", why=f"{looked.problem}; its hosts are asked for")
        opened = {one.host for one in looked.places if one.trusted}
        for one in looked.places:
            if not one.trusted and one.host not in opened:
                why = (
                    f"{one.where} in the workspace names it; for good: a `[[network.rule]]` of your own with this host"
                )
                yield Inactive(origin=origin, what=f"host `{one.host}` of {name}", why=why)
