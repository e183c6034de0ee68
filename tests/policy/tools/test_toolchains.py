"""Values of compilers, interpreters and package managers, as a reading of one word."""

from __future__ import annotations

import pytest

from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.reading import Reading
from ringfence.policy.tools.toolchains import VALUES


def _read(kind: str, text: str | None, raw: str = "") -> list[str]:
    reading = Reading("tool")
    VALUES[kind](Word(text=text, raw=raw or text or ""), reading)
    return reading.shown()


@pytest.mark.parametrize(
    ("kind", "text", "effects"),
    [
        ("at-path", "a=b", []),
        ("at-path", "@vars.yml", ["read vars.yml"]),
        ("bound-command", '"\\C-a": git push', ["shell git push"]),
        ("chart", "repo/chart", []),
        ("chart", "./chart", ["read ./chart"]),
        ("chart", "https://host.example/c.tgz", ["connect host.example:443"]),
        ("creator", "vite@latest", ["execute remote package create-vite@latest"]),
        ("creator", "./template", []),
        ("declared", "A=b", ["environment A=b"]),
        ("declared", "A", []),
        ("expanded", "a b", []),
        ("expanded", "a[`id`]", ['shell : "a[`id`]"']),
        ("fetched-script", "npm:cowsay", ["execute remote package npm:cowsay"]),
        ("fetched-script", "x.ts", ["execute x.ts"]),
        ("kernel-setting", "vm.swappiness", []),
        ("kernel-setting", "vm.swappiness=1", ["privilege host kernel setting vm.swappiness"]),
        ("key-file", "a=b.txt", ["read b.txt"]),
        ("key-file", "b.txt", ["read b.txt"]),
        ("listen", "localhost:9229", []),
        ("listen", "9229", []),
        ("listen", "0.0.0.0:9229", ["publish at 0.0.0.0:9229"]),
        ("perl-module", "List::Util=sum,max", []),
        ("perl-module", "x;system 1", ["code:perl x;system 1"]),
        ("php-setting", "memory_limit=1", []),
        ("php-setting", "extension=./evil.so", ["execute ./evil.so"]),
        ("pip-arguments", "-i https://host.example", ["execute pip"]),
        ("pipe-or-file", "|sh", ["shell sh"]),
        ("pipe-or-file", "out", ["write out"]),
        ("plugin", ":/x/agent.jar=a=b", ["execute /x/agent.jar"]),
        ("required", "ts-node/register", []),
        ("required", "./setup.js", ["execute ./setup.js"]),
        ("required", "/tmp/evil.js", ["execute /tmp/evil.js"]),
        ("template", "./template", ["read ./template"]),
        ("template", "gh:user/x", ["execute remote package gh:user/x"]),
    ],
)
def test_a_value_is_read_for_what_it_starts_loads_writes_or_reaches(kind: str, text: str, effects: list[str]) -> None:
    assert _read(kind, text) == effects


@pytest.mark.parametrize(
    ("kind", "effects"),
    [
        ("conda-channel", ["connect $x"]),
        ("creator", ["execute remote package create-$x"]),
        ("kernel-setting", ["privilege host kernel setting $x"]),
        ("package-run", ["execute package $x", "execute remote package $x"]),
        ("perl-module", ["code:perl $x"]),
        ("required", ["execute $x"]),
    ],
)
def test_a_value_that_is_only_known_when_it_runs_is_the_worst_that_it_can_be(kind: str, effects: list[str]) -> None:
    assert _read(kind, None, "$x") == effects
