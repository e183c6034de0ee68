"""Values with a grammar of their own, as a reading of one word."""

from __future__ import annotations

import pytest

from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.reading import Reading
from ringfence.policy.tools.values import VALUES


def _read(kind: str, text: str | None, raw: str = "") -> list[str]:
    reading = Reading("tool")
    VALUES[kind](Word(text=text, raw=raw or text or ""), reading)
    return reading.shown()


@pytest.mark.parametrize(
    ("kind", "text", "effects"),
    [
        ("curl-resolve", "example.com:443:[::1]", ["connect [::1]"]),
        ("curl-resolve", "+example.com:443:192.0.2.1,192.0.2.2", ["connect 192.0.2.1", "connect 192.0.2.2"]),
        ("curl-resolve", "-example.com:443", []),
        ("curl-form", "a=@one,two;type=text/plain", ["read one", "read two"]),
        ("curl-form", "a=text with @sign", []),
        ("curl-urlencode", "a=b@c", []),
        ("curl-urlencode", "a@c", ["read c"]),
        ("curl-cookie", "a=b; c=d", []),
        ("curl-format", "%output{>>log}%{url}", ["write log"]),
        ("dns-name", "mx", []),
        ("dns-name", "@192.0.2.53", ["connect 192.0.2.53"]),
        ("http-method", "get", []),
        ("http-method", "patch", ["publish patch"]),
        ("socat", "-", []),
        ("socat", "STDIO", []),
        ("socat", "exec:'sh -i',pty", ["shell 'sh -i'"]),
        ("socat", "OPENSSL:evil.example:443,verify=0", ["connect evil.example:443"]),
        ("socat", "/etc/hosts", ["read /etc/hosts", "write /etc/hosts"]),
        ("tar-action", "dot", []),
        ("tar-action", "exec=id", ["shell id"]),
        ("less-command", "G", []),
        ("less-command", "!id", ["shell id"]),
        ("pass-source", "env:KEY", []),
        ("pass-source", "file:key", ["read key"]),
        ("vim-command", "%s/a/b/g", []),
        ("vim-command", "wq!", []),
        ("vim-command", "r!id", ["shell id"]),
        ("vim-command", "%!sort", ["shell sort"]),
        ("vim-command", "saveas /etc/x", ["write /etc/x"]),
        ("vim-command", "call system('id')", ["shell call system('id')"]),
    ],
)
def test_a_value_is_read_by_its_own_grammar(kind: str, text: str, effects: list[str]) -> None:
    assert _read(kind, text) == effects


@pytest.mark.parametrize(
    ("kind", "effects"),
    [
        ("curl-resolve", ["connect $x"]),
        ("dns-name", ["connect $x"]),
        ("socat", ["connect $x"]),
        ("tar-action", ["shell $x"]),
        ("vim-command", ["shell $x"]),
        ("http-method", ["publish $x"]),
    ],
)
def test_a_value_that_is_only_known_when_it_runs_may_be_anything(kind: str, effects: list[str]) -> None:
    assert _read(kind, None, "$x") == effects
