"""The description of a container is a pure function of the sandbox's layout; a reviewer reads the files' diff as
behaviour."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringfence.sandbox.backends import oci

GOLDEN = Path(__file__).parent / "golden"
LAYOUT: dict[str, object] = {
    "hostname": "box",
    "devices": ["null", "dri/renderD128"],
    "shared_memory": "512m",
    "limits": {"processes": 64, "open_files": 1024, "file_mb": 10, "processors": None},
}
FREE = {"processes": None, "open_files": None, "file_mb": None, "processors": None}


def _described(runtime: str, layout: dict[str, object], ceilings: dict[str, int]) -> str:
    described = {
        "command": oci.command(runtime, f"/usr/bin/{runtime}", "/run/bundle", "/run/state", descriptors=4, named="box"),
        "config.json": oci.config(
            {**layout, "runtime": (runtime, f"/usr/bin/{runtime}")},
            root="/tmp",
            argv=("/.ringfence/program/bin/python3", "-I"),
            ceilings=ceilings,
        ),
    }
    return json.dumps(described, indent=1) + "\n"


@pytest.mark.parametrize("runtime", oci.RUNTIMES)
def test_a_container_is_described_as_in_the_file(runtime: str) -> None:
    assert (
        _described(runtime, LAYOUT, {"RLIMIT_NOFILE": 4096, "RLIMIT_FSIZE": -1})
        == (GOLDEN / f"{runtime}.json").read_text()
    )


def test_no_limit_is_asked_for_that_the_starting_process_may_not_set() -> None:
    described = oci.config(
        {**LAYOUT, "runtime": ("crun", "")}, root="/", argv=("x",), ceilings={"RLIMIT_NOFILE": 256, "RLIMIT_FSIZE": 5}
    )
    free = oci.config({**LAYOUT, "limits": FREE, "runtime": ("crun", "")}, root="/", argv=("x",), ceilings={})

    assert described["process"]["rlimits"] == [  # type: ignore[index]
        {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
        {"type": "RLIMIT_NOFILE", "hard": 256, "soft": 256},
        {"type": "RLIMIT_FSIZE", "hard": 5, "soft": 5},
    ]
    assert free["process"]["rlimits"] == [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}]  # type: ignore[index]


def test_an_unknown_runtime_is_not_started() -> None:
    with pytest.raises(ValueError, match="`other` is not a known runtime"):
        oci.command("other", "/usr/bin/other", "/b", "/s", descriptors=1, named="box")
