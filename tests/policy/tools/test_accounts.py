"""Values of cloud clients, package managers and other agents, as a reading of one word."""

from __future__ import annotations

import pytest

from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.accounts import VALUES
from ringfence.policy.tools.reading import Reading


def _read(kind: str, text: str | None, raw: str = "") -> list[str]:
    reading = Reading("tool")
    VALUES[kind](Word(text=text, raw=raw or text or ""), reading)
    return reading.shown()


@pytest.mark.parametrize(
    ("kind", "text", "effects"),
    [
        ("bucket-source", "s3://b/k", []),
        ("bucket-source", "dist", ["read dist"]),
        ("bucket-source", "-", []),
        ("bucket-target", "gs://b", ["publish gs://b"]),
        ("bucket-target", "out", ["write out"]),
        ("cloud-value", "text", []),
        ("cloud-value", "me@host.example", []),
        ("cloud-value", "fileb://a.zip", ["read a.zip"]),
        ("cloud-value", "Body=file://b.json,Other=@c", ["read b.json", "read c"]),
        ("apt-setting", "Debug::NoLocking=1", []),
        ("apt-setting", "DPkg::Post-Invoke::=id", ["shell id"]),
        ("apt-setting", "dir::bin::dpkg=/tmp/x", ["configure dir::bin::dpkg=/tmp/x"]),
        (
            "apt-setting",
            "Acquire::http::Proxy=http://evil.example",
            ["configure Acquire::http::Proxy=http://evil.example"],
        ),
        ("agent-mode", "workspace-write", []),
        ("agent-mode", "YOLO", ["privilege an agent without guard rails: YOLO"]),
        ("agent-setting", "model=x", []),
        ("agent-setting", "sandbox_mode='read-only'", []),
        ("agent-setting", "approval_policy=never", ["privilege an agent without guard rails: approval_policy=never"]),
        ("agent-setting", "notify=['id']", ["configure notify=['id']"]),
        ("agent-settings", '{"model": "x"}', []),
        ("agent-settings", "x.json", ["read x.json", "configure an agent by x.json"]),
        ("opened", "mailto:me@host.example", []),
        ("opened", "x.html", ["read x.html"]),
        ("opened", "https://host.example/x", ["connect host.example:443"]),
    ],
)
def test_a_value_is_read_by_its_own_grammar(kind: str, text: str, effects: list[str]) -> None:
    assert _read(kind, text) == effects


@pytest.mark.parametrize(
    ("kind", "effects"),
    [
        ("bucket-target", ["write $x"]),
        ("apt-setting", ["configure $x"]),
        ("agent-mode", ["privilege an agent without guard rails: $x"]),
        ("agent-setting", ["configure $x"]),
        ("agent-settings", ["read $x", "configure an agent by $x"]),
    ],
)
def test_a_value_that_only_running_tells_may_be_the_worst(kind: str, effects: list[str]) -> None:
    assert _read(kind, None, "$x") == effects
