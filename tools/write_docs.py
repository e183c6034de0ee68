"""Writes the generated parts of the documentation: the command line, control files, presets and events.

Each page is made from what the program itself reads, so that it cannot say anything else. Nothing of the machine that
writes it gets in: no path, no width of a terminal, no version of Python.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import typing
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import msgspec

from ringfence.cli.entry import COMMANDS
from ringfence.model import event
from ringfence.policy.control_files import CONTROL_FILES, Direct, Staged
from ringfence.policy.described import Schema
from ringfence.policy.documents import Document
from ringfence.policy.effective import Access, CommandRule
from ringfence.policy.json_schema import json_schema
from ringfence.policy.json_schema import text as schema_text
from ringfence.policy.presets import FOLDER, bundle, preset
from ringfence.policy.sections.settings import BUNDLES, PRESETS
from ringfence.verify import battery
from ringfence.verify.attack import Attack

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- written by `make docs`; edit the code instead -->\n\n"

_LOG_PARTS = ("verify", "prove", "export")
_DIRECT = {
    Direct.PIN: "its contents may change; it cannot be renamed, replaced, or made where it is missing",
    Direct.PROTECT: "read-only; where it is missing, it cannot be made",
    Direct.KEEP: "read-only where it exists; where it is missing it may be made, and is then reported",
    Direct.REPORT: "may be changed, and is reported when the session ends",
}
_STAGED = {
    Staged.REFUSE: "never applied to the real tree",
    Staged.PARTS: "what of it cannot run code is applied, key by key and file by file; the rest never",
    Staged.REVIEW: "applied when a person has seen it",
}


def generated() -> dict[str, str]:
    """Each generated page and its text."""
    return {
        "docs/reference/cli.md": _command_line(),
        "docs/reference/control-files.md": _control_files(),
        "docs/reference/events.md": _events(),
        "docs/reference/presets.md": _presets(),
        "docs/reference/settings.md": _settings(),
        "docs/verification.md": _between("docs/verification.md", "attempts", _attempts()),
        "src/ringfence/policy/policy.schema.json": schema_text(),
    }


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that has a help of its own, with what reads its words."""
    for name in COMMANDS:
        yield from _with_parts(f"ringfence {name}", _parser_of(name))
        if name == "log":
            for part in _LOG_PARTS:
                yield f"ringfence log {part}", _parser_of(name, part)


def _parser_of(name: str, *words: str) -> argparse.ArgumentParser:
    """The parser behind a command: the one that is asked for its help."""
    asked: list[argparse.ArgumentParser] = []
    original = argparse.ArgumentParser.print_help

    def note(self: argparse.ArgumentParser, file: object = None) -> None:
        asked.append(self)

    argparse.ArgumentParser.print_help = note  # type: ignore[method-assign]
    try:
        with contextlib.suppress(SystemExit):
            import_module(COMMANDS[name][0]).main([*words, "--help"])
    finally:
        argparse.ArgumentParser.print_help = original  # type: ignore[method-assign]
    return asked[0]


def _with_parts(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action._choices_actions:
                inner = action.choices[part.dest]
                inner.description = inner.description or part.help
                yield from _with_parts(f"{name} {part.dest}", inner)


def _command_line() -> str:
    lines = [
        NOTE + "# The command line",
        "",
        "`ringfence COMMAND --help` says the same. Exit codes: [troubleshooting](../troubleshooting.md#exit-codes).",
        "",
        "| command | what it does |",
        "|---|---|",
        *(f"| [`ringfence {name}`](#ringfence-{name}) | {_cell(text)} |" for name, (_, text) in COMMANDS.items()),
    ]
    for name, parser in parsers():
        lines += ["", f"## `{name}`", "", _sentence(parser.description or ""), "", "```text"]
        lines += [parser.usage or _usage(name, parser), "```"]
        rows = [(_spelling(action), _meaning(action)) for action in parser._actions if _is_shown(action)]
        if rows:
            lines += ["", "| word | meaning |", "|---|---|", *(f"| {word} | {text} |" for word, text in rows)]
    return "\n".join(lines) + "\n"


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    words = [name]
    if any(action.option_strings and _is_shown(action) for action in parser._actions):
        words.append("[options]")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words.append(str(action.metavar) if action.required else f"[{action.metavar}]")
        elif not action.option_strings:
            words.append(_positional(action))
    return " ".join(words)


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return {argparse.REMAINDER: f"[--] {name} ...", "?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}.get(
        str(action.nargs), name
    )


def _is_shown(action: argparse.Action) -> bool:
    if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
        return False
    return bool(action.option_strings or action.help)


def _spelling(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest.upper()}`"
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return ", ".join(f"`{_cell(name + value)}`" for name in sorted(action.option_strings, key=len, reverse=True))


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar[:-1]) + f" [{action.metavar[-1]}]"
    return action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())


def _meaning(action: argparse.Action) -> str:
    parts = [action.help] if action.help else []
    if action.choices and action.default and "default" not in (action.help or ""):
        parts.append(f"default: `{action.default}`")
    if isinstance(action, argparse._AppendAction):
        parts.append("may be given several times")
    return _cell("; ".join(parts))


def _control_files() -> str:
    lines = [
        NOTE + "# Control files",
        "",
        "What a workspace holds that tools of yours run or obey by themselves. Why this matters and what it feels like",
        "from inside: [sandbox](../sandbox.md#control-files). The first row that matches a path speaks for it.",
        "",
        *_words("In a direct workspace", _DIRECT),
        *_words("At the commit gate of a staged workspace, in which it is protected all the same", _STAGED),
        "| path in the workspace | why | direct | staged | place holder where it is missing |",
        "|---|---|---|---|---|",
    ]
    for row in CONTROL_FILES:
        name = row.pattern + ("/" if row.is_folder else "")
        holds = row.direct in {Direct.PIN, Direct.PROTECT}
        stub = "" if not holds else "an empty folder" if row.stub is None else "a file"
        lines.append(f"| `{name}` | {_cell(row.why)} | {row.direct.value} | {row.staged.value} | {stub} |")
    return "\n".join(lines) + "\n"


def _words(title: str, meanings: typing.Mapping[typing.Any, str]) -> list[str]:
    return [f"{title}:", "", *(f"- **{word.value}**: {text}" for word, text in meanings.items()), ""]


def _presets() -> str:
    documents = {name: preset(name) for name in PRESETS}
    lines = [
        NOTE + "# Presets",
        "",
        'The policies that are shipped, strictest first. Choose one with `--policy NAME` or `extends = "NAME"`; a rule',
        "of your own with the same id takes the place of one here. How rules are written: [policy](../policy.md).",
    ]
    for name, document in documents.items():
        lines += ["", f"## `{name}`", "", _opening(name), "", *_facts(document)]
    lines += ["", "## Command rules", "", f"| rule | {' | '.join(PRESETS)} | commands | why |", f"|{'---|' * 6}"]
    lines += _rule_rows(documents)
    lines += ["", "## Bundles", "", _BUNDLES]
    for name in BUNDLES:
        lines += ["", f"### `{name}`", "", _opening(name), "", *_bundle_facts(bundle(name))]
    lines += ["", "## What neither can be read nor written", ""]
    denied = {name: _paths(document, Access.DENY) for name, document in documents.items()}
    for path in dict.fromkeys(path for paths in denied.values() for path in paths):
        missing = [name for name in PRESETS if path not in denied[name]]
        lines.append(f"- `{path}`" + (f" (not in {', '.join(f'`{name}`' for name in missing)})" if missing else ""))
    return "\n".join(lines) + "\n"


_BUNDLES = """\
What is added to a preset: `extends = ["workspace", "python"]`. A bundle for packages names no host: the session takes
them from the package manager's own settings on this machine, and `ringfence policy registries` shows what it found."""


def _bundle_facts(document: Document) -> list[str]:
    lines = []
    if document.network.registries:
        lines.append(f"Registries of {', '.join(f'`{name}`' for name, _ in document.network.registries)}.")
    if document.network.rules:
        lines += ["| rule | verdict | hosts | methods and paths | why |", "|---|---|---|---|---|"]
    for rule in document.network.rules:
        limits = " ".join(f"`{part}`" for part in (*rule.methods, *rule.paths)) or "any"
        hosts = " ".join(f"`{host}`" for host in rule.hosts)
        lines.append(f"| `{rule.id}` | {rule.verdict.value} | {hosts} | {limits} | {rule.reason} |")
    return lines


def _settings() -> str:
    lines = [
        NOTE + "# Settings",
        "",
        "Every key of a policy document, from the code that reads it. As JSON Schema: `ringfence policy schema`.",
        "What the sections mean: [policy](../policy.md).",
        "",
        "| key | holds | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{key}` | {_cell(kind)} | {_cell(about)} |" for key, kind, about in _keys(json_schema(), "")]
    return "\n".join(lines) + "\n"


def _keys(schema: Schema, prefix: str) -> Iterator[tuple[str, str, str]]:
    properties = schema.get("properties")
    required = schema.get("required", ())
    assert isinstance(properties, dict)
    assert isinstance(required, list | tuple)
    for key, inner in properties.items():
        name = f"{prefix}.{key}" if prefix else key
        if prefix == "when" and key in json_schema()["properties"]:  # type: ignore[operator]
            continue
        table = inner.get("items", inner)
        text = str(inner.get("description", ""))
        if "properties" in table:
            more = " A section may hold every other key of a document too." if name == "when" else ""
            kind = f"tables, each `[[{name}]]`" if "items" in inner else f"a table, `[{name}]`"
            yield name, kind if table["properties"] else "a table of texts", text + more
            yield from _keys(table, name)
        else:
            yield name, _holds(inner) + (", required" if key in required else ""), text


def _holds(schema: Schema) -> str:
    match schema:
        case {"enum": list(words)}:
            return ", ".join(f"`{word}`" for word in words)
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"{least} to {most}"
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"type": "string"}:
            return "a text"
        case {"type": "array", "items": {"type": "string"}}:
            return "a list of texts"
        case {"type": "array", "items": {"type": "integer"}}:
            return "a list of ports"
        case {"anyOf": _}:
            return "a text, or a list of texts"
        case _:
            return "a list"


def _opening(name: str) -> str:
    comment = []
    for line in Path(FOLDER, f"{name}.toml").read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return "\n".join(comment)


def _facts(document: Document) -> list[str]:
    waits = document.approvals.timeout_seconds
    default = document.network.default[0].value if document.network.default else "deny"
    ports = ", ".join(str(port) for port, _ in document.network.host_ports) or "none"
    keep = " ".join(f"`{name}`" for name, _ in document.environment.keep)
    facts = [
        ("can be written", _listed(_paths(document, Access.WRITE))),
        ("can be read", _listed(_paths(document, Access.READ))),
        ("a host that no rule names", default),
        ("ports of the host's loopback", ports),
        ("variables that are passed on", keep or "none"),
        ("a question waits for", f"{waits[0] if waits else 300} seconds"),
        ("weakest sandbox", f"tier {document.sandbox.min_tier[0] if document.sandbox.min_tier else 'A'}"),
    ]
    rules = [f"{rule.verdict.value} {' '.join(rule.hosts)}" for rule in document.network.rules]
    facts += [("host rules", _listed(tuple(rules)))] if rules else []
    return ["| what | value |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts)]


def _paths(document: Document, access: Access) -> tuple[str, ...]:
    return tuple(rule.pattern for rule in document.filesystem if rule.access is access)


def _listed(names: Sequence[str]) -> str:
    return " ".join(f"`{name}`" for name in names) or "nothing more"


def _rule_rows(documents: dict[str, Document]) -> Iterator[str]:
    by_id: dict[str, dict[str, CommandRule]] = {}
    for name, document in documents.items():
        for rule in document.command_rules:
            by_id.setdefault(rule.id, {})[name] = rule
    for rule_id, found in by_id.items():
        verdicts = " | ".join(found[name].verdict.value if name in found else "" for name in PRESETS)
        rule = next(iter(found.values()))
        prefix = " ".join("|".join(words) for words in rule.prefix)
        yield f"| `{rule_id}` | {verdicts} | `{_cell(prefix)}` | {_cell(rule.reason)} |"


def _events() -> str:
    lines = [
        NOTE + "# Events",
        "",
        f"Schema {event.SCHEMA}. Every event carries `id`, `session`, `schema` and a body:",
        "",
    ]
    for body in typing.get_args(event.Body):
        lines += [f"## `{body.__struct_config__.tag}`", "", inspect.cleandoc(body.__doc__ or ""), ""]
        lines += ["| field | type |", "|---|---|"]
        for field in msgspec.structs.fields(body):
            lines.append(f"| `{field.name}` | {_type(field.type)} |")
        lines.append("")
    return "\n".join(lines)


def _attempts() -> str:
    lines = ["| attempt | tried by | held by, left open |", "|---|---|---|"]
    for attempt in battery.attempts():
        rows = battery.rows_of(attempt)
        tried = ", ".join(row.id + _marks(row) for row in rows) or "-"
        said = [f"`{name.replace('::', '` `')}`" for name in attempt.tests]
        said += [_cell(attempt.why)] if attempt.why else []
        said += [f"{row.id} in tier B: {_cell(row.tier_b_open)}" for row in rows if row.tier_b_open]
        lines.append(f"| {attempt.id} {_cell(attempt.title)} | {tried} | {'; '.join(said)} |")
    own = [row for row in battery.attacks() if battery.number(row.id)[1] >= 100]
    lines += ["", "Of our own:", "", "| attack | what it tries |", "|---|---|"]
    lines += [f"| {row.id}{_marks(row)} | {_cell(row.title)} |" for row in own]
    return "\n".join(lines)


def _marks(row: Attack) -> str:
    return "*" if row.known("B") else ""


def _between(path: str, name: str, text: str) -> str:
    """A page with one part of it written anew."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    page = (ROOT / path).read_text()
    head, _, rest = page.partition(begin)
    return head + begin + text + end + rest.partition(end)[2]


def _type(annotation: object) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return f"`{annotation.__name__}`"
    return "`" + str(annotation).replace("typing.", "").replace("NoneType", "None").replace("|", "or") + "`"


def _cell(text: str) -> str:
    """A text as it can stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def main() -> None:
    """Write every page."""
    for path, text in generated().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
