"""The OCI runtime that was asked for is found, or the session is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.model.situations import SandboxUnavailable, UsageInvalid
from ringfence.sandbox.plan import Runtime
from ringfence.session import runtimes


def _program(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


def test_the_first_on_path_is_taken_but_none_of_the_workspace(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    _program(workspace / "bin", "runsc")
    outside = _program(tmp_path / "bin", "runsc")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "runsc").symlink_to(workspace / "bin" / "runsc")
    path = f"{workspace}/bin:{tmp_path}/links:bin:{tmp_path}/bin"

    found = runtimes.runtime("runsc", environ={"PATH": path}, workspace=str(workspace))

    assert found == Runtime(name="runsc", program=outside)


def test_a_missing_runtime_is_refused_and_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_ALSO", ())
    _program(tmp_path, "crun")

    with pytest.raises(SandboxUnavailable, match="the OCI runtime `runsc` is not on PATH"):
        runtimes.runtime("runsc", environ={"PATH": str(tmp_path)}, workspace="/w")


def test_an_unknown_runtime_is_a_mistake_in_the_words() -> None:
    with pytest.raises(UsageInvalid, match="`docker` is not a known OCI runtime"):
        runtimes.runtime("docker", environ={}, workspace="/w")
