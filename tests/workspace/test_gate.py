"""The commit gate: what it lets pass unseen, what it flags, and what it never applies."""

from __future__ import annotations

import pytest

from ringfence.workspace.difference import Difference
from ringfence.workspace.entries import Entry, Kind, Stamp
from ringfence.workspace.gate import Flag, Judged, judged, leaves

CONTENTS = {
    b"plain": b"text\n",
    b"script": b"#!/bin/sh\n",
    b"secret": b"key = sk-" + b"a" * 30,
    b"hash": b"1" * 40 + b"\n",
}


def file(path: bytes, content: bytes = b"plain", mode: int = 0o644) -> Entry:
    return Entry(path, Kind.FILE, mode, Stamp(10, 0, 0, 0), chunks=(content,))


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path, Kind.LINK, 0o777, Stamp(1, 0, 0, 0), target=target)


def gate(after: Entry | None, before: Entry | None = None) -> Judged:
    entry = after or before
    assert entry is not None
    change = Difference(path=entry.path, before=before, after=after)
    (found,) = judged(
        (change,), lambda each: b"".join(CONTENTS.get(key, key) for key in each.chunks), lambda body: b"sk-" in body
    )
    return found


@pytest.mark.parametrize(
    ("path", "flag"),
    [
        (b".github/workflows/ci.yml", Flag.CI_FILE),
        (b".gitlab-ci.yml", Flag.CI_FILE),
        (b"Jenkinsfile", Flag.CI_FILE),
        (b"azure-pipelines.yml", Flag.CI_FILE),
        (b".mcp.json", Flag.CONTROL_FILE),
        (b".vscode/tasks.json", Flag.CONTROL_FILE),
        (b".claude/a\nb", Flag.CONTROL_FILE),
        (b"deep/AGENTS.md", Flag.CONTROL_FILE),
        (b"deep/HEAD", Flag.CONTROL_FILE),
        (b"ringfence.toml", Flag.CONTROL_FILE),
        (b"package-lock.json", Flag.LOCK_FILE),
        (b"sub/uv.lock", Flag.LOCK_FILE),
        (b"go.sum", Flag.LOCK_FILE),
        (b"name\x1b[2J", Flag.ODD_NAME),
        (b"\xff", Flag.ODD_NAME),
        (b"-rf", Flag.ODD_NAME),
        (b"x\xe2\x80\xaegpj.exe", Flag.ODD_NAME),
    ],
)
def test_what_tools_obey_is_flagged(path: bytes, flag: Flag) -> None:
    assert flag in gate(file(path)).flags
    assert flag in gate(file(path, b"new"), file(path)).flags


def test_a_deleted_control_file_is_flagged() -> None:
    assert gate(None, file(b".github/workflows/ci.yml")).flags == (Flag.CI_FILE,)


def test_ordinary_files_pass() -> None:
    assert gate(file(b"src/a.py")) == Judged(change=Difference(path=b"src/a.py", before=None, after=file(b"src/a.py")))
    assert gate(file(b"run.sh", mode=0o755), file(b"run.sh", b"old", 0o755)).flags == ()


def test_what_becomes_a_program_is_flagged() -> None:
    assert gate(file(b"run.sh", mode=0o755), file(b"run.sh")).flags == (Flag.EXECUTABLE,)
    assert gate(file(b"new", b"script")).flags == (Flag.EXECUTABLE,)


def test_a_secret_is_flagged_where_the_session_brought_it() -> None:
    assert gate(file(b"a.py", b"secret")).flags == (Flag.SECRET,)
    assert gate(file(b"a.py", b"x sk-"), file(b"a.py", b"secret")).flags == ()


@pytest.mark.parametrize(
    ("path", "target", "leaving"),
    [
        (b"a", b"b/c", False),
        (b"a/b", b"../c", False),
        (b"a/b", b"./c/./d", False),
        (b"a", b"/etc/passwd", True),
        (b"a", b"..", True),
        (b"a/b", b"../../c", True),
        (b"a", b"b/../../c", True),
        (b"a/b", b"c/../d", True),
        (b"a", b".git/hooks", True),
        (b"a", b"", True),
    ],
)
def test_a_link_that_could_leave_is_refused(path: bytes, target: bytes, leaving: bool) -> None:
    assert (leaves(path, target) is not None) is leaving
    found = gate(link(path, target))
    assert (found.refused is not None) is leaving
    assert leaving or found.flags == (Flag.LINK,)


@pytest.mark.parametrize(
    "after",
    [
        file(b".git/hooks/pre-commit", b"script"),
        file(b".git/commondir"),
        file(b"nested/.git/hooks/pre-commit"),
        file(b".git/modules/lib/hooks/x"),
        file(b".git/info/attributes"),
        file(b".git/objects/info/alternates"),
        file(b".git/refs/evil/config"),
        file(b".git/HEAD"),
        link(b".git/config", b"../evil"),
        link(b".git/refs/heads/x", b"../../evil"),
        file(b".git/unheard-of"),
        file(b".GIT/hooks/x"),
        Entry(b".git/hooks2", Kind.FOLDER, 0o755, Stamp(0, 0, 0, 0)),
    ],
)
def test_what_git_could_run_or_obey_is_never_applied(after: Entry) -> None:
    assert gate(after).refused is not None


def test_branches_pass_and_a_rebase_that_runs_commands_is_flagged() -> None:
    assert gate(file(b".git/refs/heads/topic", b"hash")).refused is None
    assert gate(file(b".git/rebase-merge/git-rebase-todo")).flags == (Flag.GIT_STATE,)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (b".git/sequencer/todo", b"pick 1\n"),
        (b".git/sequencer/opts", b"[options]\n\tstrategy = ort\n\tsignoff = true\n"),
        (b".git/worktrees/w/rebase-merge/strategy", b"recursive\n"),
        (b".git/rebase-apply/apply-opt", b""),
        (b".git/refs/replace/" + b"1" * 40, b"2" * 40 + b"\n"),
        (b".git/packed-refs", b"2" * 40 + b" refs/replace/" + b"1" * 40 + b"\n"),
    ],
)
def test_what_goes_on_later_or_stands_for_other_commits_is_flagged(path: bytes, content: bytes) -> None:
    assert gate(file(path, content)) == Judged(change=gate(file(path, content)).change, flags=(Flag.GIT_STATE,))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (b".git/sequencer/opts", b"[options]\n\tstrategy = a/../scripts/run.sh\n"),
        (b".git/sequencer/opts", b"[options] strategy = a/../scripts/run.sh\n"),
        (b".git/sequencer/opts", b"[options]\n\tStrategy = x\n"),
        (b".git/sequencer/opts", b"[include]\n\tpath = x\n"),
        (b".git/rebase-merge/strategy", b"a/../scripts/run.sh\n"),
    ],
)
def test_a_merge_strategy_that_is_a_program_of_the_session_is_never_applied(path: bytes, content: bytes) -> None:
    assert gate(file(path, content)).refused is not None


def test_a_file_that_leads_to_a_repository_is_flagged_unless_git_keeps_that_one() -> None:
    assert gate(file(b"lib/.git", b"gitdir: ../.git/modules/lib\n")).flags == ()
    assert gate(file(b"lib/.git", b"gitdir: ../evil\n")).flags == (Flag.CONTROL_FILE,)
    assert gate(file(b"lib/.git", b"gitdir: ../.git/modules/../refs/evil\n")).flags == (Flag.CONTROL_FILE,)
