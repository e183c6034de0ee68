"""One policy file as a typed document, or every fault in it with its place. Nothing of a faulty file is ever applied.

It says what was written. What holds when several layers were written is decided in `merge`.
"""

from __future__ import annotations

import re

import msgspec

from ringfence.model.situations import Diagnostic, PolicyInvalid
from ringfence.policy.conditions import Condition
from ringfence.policy.effective import CommandProfile, CommandRule, Origin, PathRule, PolicyTest, WorkspaceMode
from ringfence.policy.layers import Enforcement, Layer
from ringfence.policy.schema import Faults, Table, escaped
from ringfence.policy.sections import (
    commands,
    content,
    control_files,
    credentials,
    filesystem,
    mcp,
    models,
    network,
    profiles,
    settings,
    tests,
    ways,
    when,
)
from ringfence.policy.sections.content import ContentSection
from ringfence.policy.sections.control_files import ControlFileSection
from ringfence.policy.sections.credentials import CredentialSection
from ringfence.policy.sections.mcp import McpSection
from ringfence.policy.sections.models import ModelSection
from ringfence.policy.sections.names import take_enforcement
from ringfence.policy.sections.network import NetworkSection
from ringfence.policy.sections.settings import (
    ApprovalSection,
    EnvironmentSection,
    Extension,
    LimitSection,
    TelemetrySection,
)
from ringfence.policy.sections.ways import SandboxSection

MAX_BYTES = 16 * 1024 * 1024
MAX_PROJECT_BYTES = 1024 * 1024
"""SECURITY: a repository's file is read at every start by whoever cloned it; a large one must not cost them minutes."""
MAX_SECTIONS = 1_000

_PLACE = re.compile(r"(?s)(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says."""

    layer: Layer
    file: str
    """As people know it; for a preset its file name."""
    enforcement: Enforcement = Enforcement.HARD
    """How strictly what is written here is meant, where a rule does not say otherwise."""
    extends: tuple[Extension, ...] = ()
    filesystem: tuple[PathRule, ...] = ()
    workspace_mode: tuple[WorkspaceMode, Origin] | None = None
    network: NetworkSection = NetworkSection()
    command_rules: tuple[CommandRule, ...] = ()
    profiles: tuple[CommandProfile, ...] = ()
    control_files: ControlFileSection = ControlFileSection()
    mcp: McpSection = McpSection()
    credentials: CredentialSection = CredentialSection()
    content: ContentSection = ContentSection()
    environment: EnvironmentSection = EnvironmentSection()
    approvals: ApprovalSection = ApprovalSection()
    limits: LimitSection = LimitSection()
    agents: tuple[tuple[str, ...], Origin] | None = None
    telemetry: TelemetrySection = TelemetrySection()
    model: ModelSection = ModelSection()
    sandbox: SandboxSection = SandboxSection()
    allowed_presets: tuple[tuple[str, ...], Origin] | None = None
    tests: tuple[PolicyTest, ...] = ()
    condition: Condition | None = None
    """For a section of a file: where it applies."""
    place: str = ""
    """For a section: `file:line`."""
    sections: tuple[Document, ...] = ()
    """The sections that apply in some places only."""
    trusted: bool = True
    """False where it only tightens: a project's file that the user has not trusted by its content, or a section that
    applies because of what a repository says about itself."""
    distrust: str = ""
    """Why it only tightens, where it does."""


class DocumentInvalid(PolicyInvalid):
    """A document with faults, and what could be read of it: only for finding what else is wrong, never applied."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], remains: Document) -> None:
        super().__init__(diagnostics)
        self.remains = remains


def read_document(data: bytes, *, file: str, layer: Layer) -> Document:
    """The document in a file's bytes; `PolicyInvalid` with all faults."""
    values, faults = _parse(data, file=file, layer=layer)
    document = read_table(Table(values, (), faults), layer)
    for part in (document, *document.sections):
        if any(rule.match or rule.not_match for rule in part.command_rules):
            from ringfence.policy.examples import check_examples

            check_examples(part.command_rules, faults)
    found = faults.all()
    if found:
        raise DocumentInvalid(found, document)
    return document


def label(layer: Layer, file: str) -> str:
    """The name of a layer as decisions carry it: a preset's says which one."""
    return f"preset:{file.removesuffix('.toml')}" if layer is Layer.PRESET else layer.value


def _parse(data: bytes, *, file: str, layer: Layer) -> tuple[dict[str, object], Faults]:
    most = MAX_PROJECT_BYTES if layer is Layer.PROJECT else MAX_BYTES
    if len(data) > most:
        size = f"more than the {most:,} bytes that {'a project' if layer is Layer.PROJECT else 'a policy'} may have"
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


def read_table(top: Table, layer: Layer) -> Document:
    """The document in a table: the one place that knows every key. The JSON Schema comes from running it too."""
    body = _body(top, layer)
    entries = top.take_tables("when", most=MAX_SECTIONS, about=when.ABOUT)
    sections = tuple(_section(entry, layer, body.enforcement) for entry in entries)
    allowed = settings.allowed_presets(top, layer)
    top.finish()
    return msgspec.structs.replace(body, sections=sections, allowed_presets=allowed)


def _section(table: Table, layer: Layer, enforcement: Enforcement) -> Document:
    """One `[[when]]`: a condition, and what a document may hold beside it."""
    condition = when.condition(table)
    body = _body(table, layer, enforcement)
    table.finish()
    return msgspec.structs.replace(body, condition=condition, place=table.faults.origin(table.path).source)


def _commands(top: Table) -> Table:
    return top.take_table("commands", about="Which commands stop, or never run, or have a plan of their own.")


def _body(top: Table, layer: Layer, otherwise: Enforcement = Enforcement.HARD) -> Document:
    enforcement = take_enforcement(top)
    paths = top.take_table("filesystem", about="Which paths can be read or written, and where changes go.")
    mode = filesystem.workspace_mode(paths)
    return Document(
        layer=layer,
        file=top.faults.file,
        enforcement=enforcement or otherwise,
        extends=settings.extends(top, layer),
        filesystem=filesystem.rules(paths, layer),
        workspace_mode=mode,
        control_files=control_files.section(
            top.take_table("control_files", about="Files of the workspace that tools obey later."), layer
        ),
        network=network.section(top.take_table("network", about="Where data can go."), layer),
        profiles=profiles.profiles(commanded := _commands(top), layer),
        command_rules=commands.rules(commanded, layer),
        mcp=mcp.section(top.take_table("mcp", about="What may be asked of MCP servers."), layer),
        credentials=credentials.section(top, layer),
        content=content.section(top.take_table("content", about="What may leave in requests, and how much."), layer),
        environment=settings.environment(
            top.take_table("environment", about="Which variables reach the sandbox."), layer
        ),
        approvals=settings.approvals(top.take_table("approvals", about="Questions and their answers."), layer),
        limits=settings.limits(top.take_table("limits", about="What a session may use up.")),
        agents=settings.agents(top.take_table("agents", about="Which agents may run.")),
        telemetry=settings.telemetry(top.take_table("telemetry", about="What the record holds.")),
        model=models.section(top.take_table("model", about="Which models may be asked, and how much."), layer),
        sandbox=ways.section(
            top.take_table(
                "sandbox", about="How strong the sandbox has to be, and what is opened between it and the host."
            ),
            layer,
        ),
        tests=tests.tests(top),
    )
