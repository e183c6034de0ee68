"""`ringfence credentials`, as one types it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from ringfence.cli import credentials
from ringfence.cli.failure import guarded

POLICY = """
[[credentials]]
id = "forge"
source = { keyring = "forge" }
form = "bearer"
hosts = ["api.test"]
"""


class Typing:
    """Types the command in a folder with a home of its own, where no keyring is."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        (folder / "project").mkdir()
        monkeypatch.chdir(folder / "project")
        Path("bound.toml").write_text(POLICY)

    def __call__(self, *words: str, given: str = "") -> tuple[int, str]:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(given))
        code = guarded(lambda: credentials.main(words))
        out, err = self._capsys.readouterr()
        return code, out + err


@pytest.fixture
def typing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typing:
    return Typing(tmp_path, monkeypatch, capsys)


def test_a_value_is_kept_listed_by_name_tried_and_forgotten(typing: Typing) -> None:
    assert typing("test", "--policy", "bound.toml") == (
        1,
        "no  forge  keyring forge: nothing is stored as `forge`: `ringfence credentials add forge`\n",
    )
    code, said = typing("add", "forge", "--file", given="value-of-forge\n")
    assert (code, said.splitlines()[0].startswith("kept: forge, in "), "value-of" in said) == (0, True, False)
    assert typing("test", "--policy", "bound.toml") == (0, "ok  forge  keyring forge\n")
    code, said = typing("list", "--policy", "bound.toml")
    assert (code, said) == (
        0,
        "kept\n  forge  in the file\nbound here\n  forge: api.test:443; bearer; from keyring forge  (bound.toml:2)\n",
    )
    assert typing("remove", "forge") == (0, "forgotten: forge\n")
    assert typing("remove", "forge")[0] == 64


def test_what_cannot_be_kept_is_said_without_repeating_it(typing: Typing) -> None:
    for name, given in (("forge", "short"), ("forge", ""), ("forge", "hunter2hunter2\x07"), ("a b", "hunter2hunter2")):
        code, said = typing("add", name, "--file", given=given)
        assert (code, "hunter2" in said, "Traceback" in said) == (64, False, False)


def test_programs_read_json(typing: Typing) -> None:
    typing("add", "forge", "--file", given="value-of-forge\n")

    listed = [json.loads(line) for line in typing("list", "--json", "--policy", "bound.toml")[1].splitlines()]
    tried = [json.loads(line) for line in typing("test", "--json", "--policy", "bound.toml")[1].splitlines()]

    assert [(one["kind"], one.get("name", one.get("id"))) for one in listed] == [("kept", "forge"), ("bound", "forge")]
    assert tried == [{"schema": 1, "credential": "forge", "available": True, "why": ""}]


def test_a_credential_that_is_not_bound_here_cannot_be_tried(typing: Typing) -> None:
    assert typing("test", "other", "--policy", "bound.toml")[0] == 64
