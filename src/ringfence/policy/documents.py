"""One policy file as a typed document, or every fault in it with its place. Nothing of a faulty file is ever applied.

It says what was written. What holds when several layers were written is decided in `merge`.
"""

from __future__ import annotations

import re

import msgspec

from ringfence.model.situations import Diagnostic, PolicyInvalid
from ringfence.policy.effective import CommandRule, Origin, PathRule, PolicyTest
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Faults, Table, escaped
from ringfence.policy.sections import commands, filesystem, network, settings, tests
from ringfence.policy.sections.network import NetworkSection
from ringfence.policy.sections.settings import EnvironmentSection

MAX_BYTES = 1024 * 1024

_PLACE = re.compile(r"(?s)(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says."""

    layer: Layer
    file: str
    """As people know it; for a preset its file name."""
    extends: tuple[str, Origin] | None = None
    filesystem: tuple[PathRule, ...] = ()
    network: NetworkSection = NetworkSection()
    command_rules: tuple[CommandRule, ...] = ()
    environment: EnvironmentSection = EnvironmentSection()
    timeout_seconds: tuple[int, Origin] | None = None
    min_tier: tuple[str, Origin] | None = None
    allowed_presets: tuple[tuple[str, ...], Origin] | None = None
    tests: tuple[PolicyTest, ...] = ()
    trusted: bool = True
    """False for a project's file that the user has not trusted by its content: it only tightens."""


def read_document(data: bytes, *, file: str, layer: Layer) -> Document:
    """The document in a file's bytes; `PolicyInvalid` with all faults."""
    values, faults = _parse(data, file=file, layer=layer)
    document = _document(Table(values, (), faults), layer)
    if any(rule.match or rule.not_match for rule in document.command_rules):
        from ringfence.policy.examples import check_examples

        check_examples(document.command_rules, faults)
    found = faults.all()
    if found:
        raise PolicyInvalid(found)
    return document


def label(layer: Layer, file: str) -> str:
    """The name of a layer as decisions carry it: a preset's says which one."""
    return f"preset:{file.removesuffix('.toml')}" if layer is Layer.PRESET else layer.value


def _parse(data: bytes, *, file: str, layer: Layer) -> tuple[dict[str, object], Faults]:
    if len(data) > MAX_BYTES:
        size = f"{len(data):,} bytes; the limit is {MAX_BYTES:,}"
        raise _single(file, 1, 1, f"the file has {size}")
    # Loaded here, because most starts read no file but a preset, which is kept as JSON.
    import tomllib

    from ringfence.policy.spans import spans

    text = _decode(data, file)
    try:
        values: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _located(str(error), text, file) from None
    except RecursionError:
        raise _single(file, 1, 1, "the file nests its values too deeply") from None
    return values, Faults(file=file, layer=label(layer, file), spans=spans(text))


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; a policy is written in UTF-8"
        raise _single(file, before.count(b"\n") + 1, column, message) from None


def _located(message: str, text: str, file: str) -> PolicyInvalid:
    match = _PLACE.fullmatch(message)
    if match is None:
        return _single(file, 1, 1, f"not valid TOML: {escaped(message)}")
    said, line, column = match.groups()
    if line is None:
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
    return _single(file, int(line), int(column), f"not valid TOML: {escaped(said[:1].lower() + said[1:])}")


def _single(file: str, line: int, column: int, message: str) -> PolicyInvalid:
    return PolicyInvalid((Diagnostic(file=file, line=line, column=column, message=message),))


def _document(top: Table, layer: Layer) -> Document:
    document = Document(
        layer=layer,
        file=top.faults.file,
        extends=settings.extends(top, layer),
        filesystem=filesystem.rules(top.take_table("filesystem"), layer),
        network=network.section(top.take_table("network"), layer),
        command_rules=commands.rules(top.take_table("commands"), layer),
        environment=settings.environment(top.take_table("environment"), layer),
        timeout_seconds=settings.timeout(top.take_table("approvals")),
        min_tier=settings.min_tier(top.take_table("sandbox")),
        allowed_presets=settings.allowed_presets(top, layer),
        tests=tests.tests(top),
    )
    top.finish()
    return document
