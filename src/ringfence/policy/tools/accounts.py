"""Values of cloud clients, system package managers and other agents that have a grammar of their own: buckets, file
references, settings that run commands, modes that take the guard rails off."""

from __future__ import annotations

import re
from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading, Role, Started


def _given(kind: str, text: str, reading: Reading) -> None:
    GIVES[kind](Word(text=text, raw=text), reading)


_BUCKETS = frozenset({"s3", "gs", "r2", "az", "azure", "oss", "b2", "oci", "cos", "dr", "efs"})


def _bucket_source(word: Word, reading: Reading) -> None:
    """A path here, or an object in a bucket, which only the account's owner may read."""
    scheme = "" if word.text is None else scheme_of(word.text)
    if scheme in {"http", "https"}:
        GIVES["url"](word, reading)
    elif scheme not in _BUCKETS:
        GIVES["read"](word, reading)


def _bucket_target(word: Word, reading: Reading) -> None:
    """A path here that is written, or an object in a bucket that is changed."""
    scheme = "" if word.text is None else scheme_of(word.text)
    if scheme in _BUCKETS or scheme in {"http", "https"}:
        reading.add(EffectKind.PUBLISH, shown(word))
    else:
        GIVES["write"](word, reading)


_FILE = re.compile(r"(?:^|[=,\[{\s\"'])(?:fileb?://|@)([^,\s\"'}\]]+)")


def _cloud_value(word: Word, reading: Reading) -> None:
    """A value of a cloud client: `file://PATH`, `fileb://PATH` and `@PATH` read a file; other text is the value."""
    text = word.text
    if text is None:
        return
    if scheme_of(text) in {"http", "https"}:
        return
    for name in _FILE.findall(text):
        _given("read", name, reading)


_APT_RUNS = re.compile(
    r"(?:apt::update::(?:pre|post)-invoke|dpkg::(?:pre|post|pre-install-pkgs)\S*|apt::\S*invoke\S*|dpkg::tools\S*"
    r"|acquire::\S*(?:methods|command)\S*|dir::(?:bin|etc)\S*|apt::(?:keep-fds|architectures)\S*|binary::\S*)",
    re.IGNORECASE,
)
_APT_COMMAND = re.compile(r"\S*(?:invoke|install-pkgs)\S*", re.IGNORECASE)
_APT_TRUSTS = re.compile(r"(?:acquire::(?:allow\S*|\S*proxy\S*)|apt::get::allowunauth\S*)", re.IGNORECASE)


def _apt_setting(word: Word, reading: Reading) -> None:
    """`NAME=VALUE` of `apt -o`: hooks are commands, other settings name programs and whom to trust."""
    text = shown(word)
    name, _, value = text.partition("=")
    if word.text is None or (_APT_RUNS.match(name) and not _APT_COMMAND.match(name)) or _APT_TRUSTS.match(name):
        reading.add(EffectKind.CONFIGURE, text)
    elif _APT_COMMAND.match(name):
        reading.started.append(Started((Word(text=value, raw=value),), "sh", side_door=True))


_UNGUARDED = frozenset(
    {"danger-full-access", "bypasspermissions", "bypass-permissions", "yolo", "full-access", "never-ask"}
)


def _agent_mode(word: Word, reading: Reading) -> None:
    """The sandbox or permission mode of another agent."""
    if word.text is None or word.text.lower() in _UNGUARDED:
        reading.add(EffectKind.PRIVILEGE, f"an agent without guard rails: {shown(word)}")


_AGENT_RUNS = re.compile(
    r"(?:mcp_?servers\..*|.*\.command|notify|hooks?\b.*|.*base_url|model_provider.*|.*api_?key.*helper)"
)
_AGENT_LOOSENS = re.compile(
    r"sandbox_?\w*|approval_?\w*|projects\..*trust\w*|shell_environment_policy.*|permissions.*|.*trust_level"
)


def _agent_setting(word: Word, reading: Reading) -> None:
    """`KEY=VALUE` of another agent: what starts programs, and what takes the guard rails off."""
    text = shown(word)
    key, _, value = text.partition("=")
    name = key.strip().lower()
    plain = value.strip().strip("\"'").lower()
    if word.text is None:
        reading.add(EffectKind.CONFIGURE, text)
    elif _AGENT_LOOSENS.fullmatch(name):
        if plain not in {"read-only", "untrusted", "on-request", "on-failure", "workspace-write", "false"}:
            reading.add(EffectKind.PRIVILEGE, f"an agent without guard rails: {text}")
    elif _AGENT_RUNS.fullmatch(name):
        reading.add(EffectKind.CONFIGURE, text)


def _agent_settings(word: Word, reading: Reading) -> None:
    """A file of settings, or JSON in its place."""
    text = word.text
    if text is None or not text.lstrip().startswith("{"):
        GIVES["read"](word, reading)
    if text is None or not text.lstrip().startswith("{") or re.search(r"hooks|[Hh]elper|command|bypass|allow", text):
        reading.add(EffectKind.CONFIGURE, f"an agent by {shown(word)[:60]}")


def _opened(word: Word, reading: Reading) -> None:
    """What a desktop opens: an address is reached by a browser, a file is read by whatever opens its kind."""
    text = word.text
    if text is not None and re.match(r"[a-z][a-z0-9+.-]*:", text, re.IGNORECASE) and not scheme_of(text):
        return  # mailto:, vscode: and their like
    GIVES["url" if text is not None and scheme_of(text) in {"http", "https", "file"} else "read"](word, reading)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "agent-mode": _agent_mode,
    "agent-setting": _agent_setting,
    "agent-settings": _agent_settings,
    "apt-setting": _apt_setting,
    "bucket-source": _bucket_source,
    "bucket-target": _bucket_target,
    "cloud-value": _cloud_value,
    "opened": _opened,
}
"""Kinds of value with a grammar of their own, by name."""

ACCOUNT = "the cloud account"
"""How tables name an account in a cloud."""


def _cloud(reading: Reading) -> None:
    """A command that no word of it makes a reading, a setting or local work changes the account."""
    reading.facts = list(dict.fromkeys(reading.facts))
    phrases = [fact for fact in reading.facts if fact.role is Role.PHRASE]
    changes = any(fact.kind in {EffectKind.PUBLISH, EffectKind.DESTROY} and fact.object != ACCOUNT for fact in phrases)
    said = any(fact.kind not in {EffectKind.PUBLISH, EffectKind.DESTROY} for fact in phrases)
    if said and not changes:
        reading.facts = [
            fact for fact in reading.facts if fact.kind is not EffectKind.PUBLISH or fact.object != ACCOUNT
        ]
    elif changes:
        reading.facts = [
            fact for fact in reading.facts if fact.kind is not EffectKind.CONNECT or fact.object != ACCOUNT
        ]


FINISH: dict[str, Callable[[Reading], None]] = {"cloud": _cloud}
"""What is done when all arguments are read, by the reader that a table names."""
