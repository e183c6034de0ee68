"""`ringfence policy diff` and `ringfence policy prove`, as one types them."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest

from ringfence.cli import policy
from ringfence.cli.failure import guarded


class Project:
    """Runs `ringfence policy` in a folder with a home of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.folder = folder / "home", folder / "project"
        for one in (self.home, self.folder):
            one.mkdir()
        monkeypatch.setenv("HOME", str(self.home))
        monkeypatch.chdir(self.folder)
        self._capsys = capsys

    def file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name

    def __call__(self, *words: str) -> tuple[int, list[str]]:
        code = guarded(lambda: policy.main(words))
        out, err = self._capsys.readouterr()
        return code, (out + err).splitlines()

    def rows(self, *words: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self(*words, "--json")[1]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, monkeypatch, capsys)


OPENED = "extends = 'workspace'\n[[network.rule]]\nid = 'api'\nhosts = ['api.test']\nverdict = 'allow'\n"


def test_the_same_policy_twice_does_not_differ_and_opens_nothing(project: Project) -> None:
    assert project("diff", "workspace", "workspace") == (
        0,
        ["nothing differs: every kind of action gets the same verdict"],
    )
    code, lines = project("prove", "workspace", "workspace")
    assert (code, [line.split(":")[0] for line in lines if not line.startswith(" ")]) == (0, ["no"] * 4)


def test_a_difference_is_told_with_both_rules_and_an_example(project: Project) -> None:
    project.file("open.toml", OPENED)

    code, lines = project("diff", "workspace", "open.toml")

    assert code == 0
    assert lines[:2] == ["newly passes", "  network  api.test, for example api.test:443"]
    assert "asked by network.default (workspace.toml:" in lines[2]
    assert lines[2].endswith("before, now allowed by api (open.toml:2)")


def test_one_policy_is_compared_with_what_is_in_force_here(project: Project) -> None:
    config = project.home / ".config" / "ringfence"
    config.mkdir(parents=True)
    (config / "policy.toml").write_text(OPENED)
    project.file("closed.toml", "extends = 'workspace'\n")

    rows = project.rows("diff", "closed.toml")

    assert [(row["what"], row["change"]) for row in rows if row["kind"] == "difference"] == [("api.test", "asks")]


def test_json_lines_carry_the_schema_and_end_with_a_summary(project: Project) -> None:
    project.file("open.toml", OPENED + "[approvals]\ntimeout_seconds = 60\n")

    rows = project.rows("diff", "workspace", "open.toml")

    assert {row["schema"] for row in rows} == {1}
    assert rows[0]["action"] == {"connect": "api.test:443"}
    assert rows[1:] == [
        {
            "schema": 1,
            "kind": "value",
            "key": "approvals.timeout_seconds",
            "before": "300",
            "after": "60",
            "loosens": False,
        },
        {"schema": 1, "kind": "summary", "passes": 1, "asks": 0, "stops": 0, "values": 1, "undecided": 0},
    ]


@pytest.mark.slow
def test_every_example_of_two_presets_is_confirmed_by_explain(project: Project) -> None:
    rows = [row for row in project.rows("diff", "read-only", "full-access") if row["kind"] == "difference"]

    assert len(rows) > 10
    for side, preset in (("before", "read-only"), ("after", "full-access")):
        questions = "\n".join(json.dumps(row["action"]) for row in rows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(questions.encode())))
            answers = project.rows("explain", "--stdin", "--policy", preset)
        told = [row[side] for row in rows]
        assert [answer["verdict"] for answer in answers] == [one["verdict"] for one in told if isinstance(one, dict)]


def test_prove_shows_a_witness_as_a_command_that_confirms_it(project: Project) -> None:
    project.file("open.toml", OPENED)

    code, lines = project("prove", "workspace", "open.toml")
    command = next(line.strip() for line in lines if "policy explain" in line)

    assert code == 1
    assert "  witness network: api.test: ask -> allow" in lines
    assert command == "ringfence policy explain --policy open.toml --connect api.test:443"
    assert project(*shlex.split(command)[2:])[1][0].startswith("allowed")


def test_prove_as_json_has_one_line_for_each_question(project: Project) -> None:
    project.file("open.toml", "extends = 'workspace'\n[network]\nhost_ports = [5432]\n")

    rows = project.rows("prove", "workspace", "open.toml")

    assert [(row["question"], row["answer"]) for row in rows] == [
        ("private-address", "yes"),
        ("inspection", "no"),
        ("credential", "no"),
        ("capability", "yes"),
    ]
    assert rows[0]["witnesses"] == [
        {
            "what": "loopback address: host.ringfence.internal, which may lead to 127.0.0.1",
            "before": "ask",
            "after": "allow",
            "action": {"connect": "host.ringfence.internal:5432"},
        }
    ]


def test_an_invalid_policy_is_no_comparison(project: Project) -> None:
    project.file("broken.toml", "[network]\ndefault = 'maybe'\n")

    code, lines = project("diff", "workspace", "broken.toml")

    assert (code, lines[0].startswith("broken.toml:2:")) == (78, True)


def test_more_than_two_policies_are_wrong_usage(project: Project) -> None:
    assert project("diff", "workspace", "read-only", "full-access")[0] == 64


@pytest.mark.slow
def test_what_a_file_name_hides_is_shown_escaped(project: Project) -> None:
    project.file("odd.toml", "extends = 'workspace'\n[filesystem]\nwrite = [\"/srv/\\u202Egpj\"]\n")

    _, lines = project("diff", "workspace", "odd.toml")

    assert any("\\u202egpj" in line for line in lines)
    assert not any("\u202e" in line for line in lines)


@pytest.mark.slow
def test_agents_that_a_section_treats_alike_are_told_together(project: Project) -> None:
    section = "[[when]]\nfor_agents = ['claude', 'codex']\n"
    rule = "[[when.network.rule]]\nid = 'api'\nhosts = ['api.test']\nverdict = 'allow'\n"
    project.file("by_agent.toml", f"extends = 'workspace'\n{section}{rule}")

    code, lines = project("prove", "workspace", "by_agent.toml")
    rows = project.rows("diff", "workspace", "by_agent.toml")

    assert (code, [line for line in lines if line.startswith("for ")]) == (
        1,
        ["for claude, codex", "for copilot, gemini, opencode, generic"],
    )
    assert [(row["agents"], row["what"]) for row in rows if row["kind"] == "difference"] == [
        (["claude", "codex"], "api.test")
    ]


BOUND = """
extends = "workspace"
[[network.rule]]
id = "api"
hosts = ["api.test", "files.test"]
verdict = "allow"
[[credentials]]
id = "forge"
source = { environment = "FORGE_TOKEN" }
form = "bearer"
hosts = ["api.test"]
methods = ["GET"]
paths = ["/repos/acme/**"]
"""


@pytest.mark.parametrize(
    ("written", "instead", "question", "witness", "shown_by"),
    [
        (
            '"api.test"]\nm',
            '"api.test", "files.test"]\nm',
            "credential",
            "forge",
            ("files.test:443", "GET", "/repos/acme"),
        ),
        ('["GET"]', '["GET", "POST"]', "credential", "forge", ("api.test:443", "POST", "/repos/acme")),
        ("/repos/acme/**", "/**", "credential", "forge", ("api.test:443", "GET", "/")),
        ("FORGE_TOKEN", "OTHER_TOKEN", "credential", "forge", ("api.test:443", "GET", "/repos/acme")),
        ("bearer", 'basic"\nuser = "me', None, "", ()),
        ('id = "forge"', 'id = "renamed"', None, "", ()),
        ("[[credentials]]", '[[no_credentials]]\nhosts = ["**.test"]\n[[credentials]]', None, "", ()),
        (
            "[[network.rule]]",
            '[network]\npass_through = ["**.test"]\n[[network.rule]]',
            "inspection",
            "forge",
            ("api.test:443", None, None),
        ),
    ],
)
def test_what_a_change_of_credentials_opens_is_shown_by_a_request(
    project: Project,
    written: str,
    instead: str,
    question: str | None,
    witness: str,
    shown_by: tuple[str | None, ...],
) -> None:
    assert written in BOUND
    project.file("old.toml", BOUND)
    project.file("new.toml", BOUND.replace(written, instead, 1))

    code, lines = project("prove", "old.toml", "new.toml", "--json")
    proofs = {str(row["question"]): row for row in map(json.loads, lines)}

    yes = [name for name, proof in proofs.items() if proof["answer"] == "yes"]
    # What is passed through is not seen, so that any other credential could be in it.
    expected = {None: [], "credential": ["credential"], "inspection": ["inspection", "credential"]}[question]
    assert (code, yes) == (1 if expected else 0, expected)
    if question is not None:
        shown = proofs[question]["witnesses"]
        assert isinstance(shown, list)
        action = shown[0]["action"]
        assert shown[0]["what"] == f"credential {witness}"
        assert tuple(action.get(key) for key in ("connect", "method", "path")) == shown_by


def test_a_host_that_took_only_our_credential_and_takes_any_is_a_yes(project: Project) -> None:
    project.file("old.toml", BOUND)
    project.file("new.toml", BOUND.partition("[[credentials]]")[0])

    code, lines = project("prove", "old.toml", "new.toml")

    assert code == 1
    assert "  witness credential that the policy does not bind: deny -> allow" in lines
