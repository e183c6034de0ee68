"""Values of container tools, as a reading of one word."""

from __future__ import annotations

import pytest

from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.containers import VALUES
from ringfence.policy.tools.kinds import GIVES
from ringfence.policy.tools.reading import Reading


def _read(kind: str, text: str | None, raw: str = "") -> list[str]:
    reading = Reading("tool")
    {**GIVES, **VALUES}[kind](Word(text=text, raw=raw or text or ""), reading)
    return reading.shown()


@pytest.mark.parametrize(
    ("kind", "text", "effects"),
    [
        ("container-file", "web:/etc/passwd", []),
        ("container-file", "./a:b", ["read ./a:b"]),
        ("container-host", "unix:///run/docker.sock", []),
        ("container-host", "tcp://host.example:2375", ["connect host.example:2375"]),
        ("container-image", "docker://host.example/x", ["connect host.example:443"]),
        ("container-image-target", "oci:out:tag", ["write out"]),
        ("container-image-target", "docker://host.example/x", ["publish docker://host.example/x"]),
        ("container-namespace", "bridge", []),
        ("container-namespace", "host", ["privilege namespace host"]),
        ("container-output", "out", ["write out"]),
        ("container-output", "type=registry,ref=host.example/x", ["publish host.example/x"]),
        ("container-secret", "id=x,src=key", ["read key"]),
        ("container-secret", "id=x", []),
        ("container-security", "no-new-privileges", []),
        ("container-security", "label=disable", ["privilege security option label=disable"]),
        ("container-target", "web:/x", []),
        ("container-target", "x", ["write x"]),
    ],
)
def test_a_value_is_read_for_what_leaves_the_container(kind: str, text: str, effects: list[str]) -> None:
    assert _read(kind, text) == effects


@pytest.mark.parametrize("raw", ['"$PWD":/w', "$(pwd):/w", "${PWD}:/w", "`pwd`:/w"])
def test_a_mount_of_the_working_folder_is_no_riddle(raw: str) -> None:
    assert _read("mount", None, raw) == ["write ."]


@pytest.mark.parametrize("raw", ["$x:/w", "$PWD$x:/w", "$(pwd && id):/w"])
def test_a_mount_that_is_only_known_when_it_runs_may_be_the_whole_host(raw: str) -> None:
    assert _read("mount", None, raw) == [f"privilege mount {raw}"]
