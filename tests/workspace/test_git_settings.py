"""Settings of Git pass from a session key by key; what can run code, or turn pushes elsewhere, never does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ringfence.workspace.git_settings import Merged, merge, read_settings, replace_settings

START = (
    b"[core]\n\tbare = false\n# mine\n"
    b'[remote "origin"]\n\turl = https://o.example/x\n[branch "main"]\n\tremote = origin\n'
)
BRANCHES = frozenset({"main", "old"})


def session(tmp_path: Path, *commands: str, start: bytes = START) -> bytes:
    """The settings after some `git config` and the like."""
    file = tmp_path / "config"
    file.write_bytes(start)
    for command in commands:
        subprocess.run(f"git config --file {file} {command}", shell=True, check=True)
    return file.read_bytes()


def merged(tmp_path: Path, *commands: str, start: bytes = START, real: bytes | None = None) -> Merged:
    return merge(start, session(tmp_path, *commands, start=start), start if real is None else real, branches=BRANCHES)


@pytest.mark.parametrize(
    "command",
    [
        "branch.topic.remote origin",
        "branch.topic.merge refs/heads/main",
        "branch.main.rebase true",
        "branch.old.remote origin",
        "remote.fork.url https://f.example/y",
        "remote.fork.url git@f.example:me/y.git",
        "remote.fork.url ssh://git@f.example:22/y",
        "remote.fork.fetch '+refs/heads/*:refs/remotes/fork/*'",
        "branch.topic.remote fork",
        "user.name 'Some Body'",
        "user.email a@b",
        "core.sparseCheckout true",
        "extensions.worktreeConfig true",
        "submodule.lib.active true",
        "submodule.lib.url https://l.example/lib",
        "submodule.lib.update rebase",
        "pull.rebase true",
        "push.autoSetupRemote true",
        "color.ui auto",
        "--unset branch.main.remote",
    ],
)
def test_keys_that_cannot_run_code_pass(tmp_path: Path, command: str) -> None:
    wanted = session(tmp_path, command)

    found = merged(tmp_path, command)

    assert (found.content.lower(), found.refused) == (wanted.lower(), ())


@pytest.mark.parametrize(
    "command",
    [
        "core.fsmonitor evil",
        "core.fsMonitor true",
        "core.hooksPath .evil",
        "core.sshCommand evil",
        "core.editor evil",
        "core.pager evil",
        "core.askPass evil",
        "core.gitProxy evil",
        "core.worktree /tmp",
        "core.attributesFile evil",
        "core.excludesFile evil",
        "core.alternateRefsCommand evil",
        "core.bare true",
        "core.repositoryFormatVersion 9",
        "filter.x.clean evil",
        "filter.x.smudge evil",
        "filter.x.process evil",
        "diff.x.command evil",
        "diff.x.textconv evil",
        "diff.external evil",
        "merge.x.driver evil",
        "merge.tool x",
        "mergetool.x.cmd evil",
        "difftool.x.cmd evil",
        "include.path evil",
        "includeIf.gitdir:/.path evil",
        "alias.st '!evil'",
        "alias.st status",
        "credential.helper '!evil'",
        "credential.https://o.example.helper evil",
        "gpg.program evil",
        "gpg.ssh.program evil",
        "pager.log evil",
        "sequence.editor evil",
        "interactive.diffFilter evil",
        "uploadpack.packObjectsHook evil",
        "remote.origin.uploadpack evil",
        "remote.origin.receivepack evil",
        "remote.fork.vcs evil",
        "remote.fork.proxy evil",
        "remote.fork.url 'ext::sh -c evil'",
        "remote.fork.url fd::7",
        "remote.fork.url /tmp/evil",
        "remote.fork.url ../evil",
        "remote.fork.url file:///tmp/evil",
        "remote.fork.url ' -oProxyCommand=evil:x'",
        "remote.fork.url ssh://-oProxyCommand=evil/x",
        "remote.fork.url 'host:-x'",
        "remote.origin.url https://evil.example/x",
        "--add remote.origin.url https://evil.example/x",
        "remote.origin.pushurl https://evil.example/x",
        "--unset remote.origin.url",
        "branch.main.remote fork",
        "branch.main.pushRemote fork",
        "branch.old.remote fork",
        "url.https://evil.example/.insteadOf https://o.example/",
        "http.proxy http://evil.example",
        "http.sslVerify false",
        "protocol.ext.allow always",
        "submodule.lib.update '!evil'",
        "submodule.lib.url ../evil",
        "trailer.x.command evil",
        "browser.x.cmd evil",
        "web.browser evil",
        "sendemail.smtpServer /tmp/evil",
        "lfs.customtransfer.x.path evil",
        "safe.directory '*'",
        "receive.denyCurrentBranch ignore",
        "--add remote.origin.fetch +refs/heads/evil:refs/heads/main",
        "remote.origin.fetch refs/heads/evil:main",
        "push.default upstream",
        "push.default matching",
        "remote.pushDefault fork",
        "core.unheardof x",
        "unheard.of x",
    ],
)
def test_keys_that_run_code_or_turn_pushes_never_pass(tmp_path: Path, command: str) -> None:
    assert session(tmp_path, command) != START, "the attack has to change the settings"

    found = merged(tmp_path, command)

    assert found.content == START
    assert len(found.refused) == 1


def test_an_address_that_was_taken_away_does_not_come_back_as_another(tmp_path: Path) -> None:
    first = merged(tmp_path, "--remove-section remote.origin")
    second = merged(tmp_path, "remote.origin.url https://evil.example/x", start=first.content)

    assert b"evil" not in second.content
    assert b"https://o.example/x" in second.content


def test_what_the_person_changed_meanwhile_stays(tmp_path: Path) -> None:
    real = START + b"[alias]\n\tst = status\n"

    found = merged(tmp_path, "user.name n", real=real)

    assert found.content.startswith(real)
    assert found.passed == ("user.name",)


def test_a_submodule_may_name_its_own_working_tree_and_no_other(tmp_path: Path) -> None:
    start = b"[core]\n\tbare = false\n"
    own = session(tmp_path, "core.worktree ../../../lib", start=start)
    other = session(tmp_path, "core.worktree /home/you", start=start)

    passed = merge(start, own, start, branches=None, of_module=True)
    kept_out = merge(start, other, start, branches=None, of_module=True)

    assert (passed.content, kept_out.content) == (own, start)


@pytest.mark.parametrize(
    "command",
    [
        "remote.origin.pushurl https://evil.example/r",
        "branch.main.pushremote evil",
        "submodule.lib.url https://evil.example/r",
        "extensions.worktreeconfig true",
    ],
)
def test_settings_of_one_working_tree_never_stand_over_what_the_repository_says(tmp_path: Path, command: str) -> None:
    found = merge(b"", session(tmp_path, command, start=b""), b"", branches=BRANCHES, of_worktree=True)

    assert found.passed == ()
    assert len(found.refused) == 1
    sparse = session(tmp_path, "core.sparsecheckout true", start=b"")
    assert merge(b"", sparse, b"", branches=BRANCHES, of_worktree=True).passed == ("core.sparsecheckout",)


@pytest.mark.parametrize("content", [b"[core\n", b"\x00\x01", b'[a]\nb = "unclosed\n'])
def test_settings_that_git_cannot_read_change_nothing(content: bytes) -> None:
    found = merge(START, content, START, branches=BRANCHES)

    assert found.content == START
    assert found.refused[0][0] == "the whole file"


def test_values_that_look_like_more_settings_stay_values(tmp_path: Path) -> None:
    evil = 'branch.topic.description "x\n[core]\n\tfsmonitor = evil"'

    found = merged(tmp_path, evil)

    (tmp_path / "written").write_bytes(found.content)
    listed = subprocess.run(
        ("git", "config", "--file", str(tmp_path / "written"), "--list", "--name-only"), capture_output=True, check=True
    )
    assert b"fsmonitor" not in listed.stdout
    assert b"branch.topic.description" in listed.stdout


def test_the_real_file_is_replaced_under_the_lock_of_git(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(START)
    (tmp_path / "config").chmod(0o640)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        replace_settings(folder, b"config", b"new")
        first = (read_settings(folder, b"config"), (tmp_path / "config").stat().st_mode & 0o777, os.listdir(tmp_path))
        (tmp_path / "config.lock").touch()
        with pytest.raises(FileExistsError):
            replace_settings(folder, b"config", b"newer")
    finally:
        os.close(folder)

    assert first == (b"new", 0o640, ["config"])
    assert (tmp_path / "config").read_bytes() == b"new"
    assert (tmp_path / "config.lock").exists(), "somebody else's lock stays"
