"""Control files: what a workspace holds that tools of the user's run or obey later. One row each, and no I/O.

Whoever can write them gets code run outside the sandbox by the next `git status`, editor or agent. Nested
repositories and files of deeper folders are reported, not prevented, in a `direct` workspace.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import lru_cache

import msgspec


class Direct(StrEnum):
    """What happens in a workspace that is bound directly."""

    PIN = "pin"
    """Its contents may change, but it can neither be renamed nor replaced; where it is missing, it cannot be made."""
    PROTECT = "protect"
    """Read-only; where it is missing, it cannot be made."""
    KEEP = "keep"
    """Read-only where it exists. It may be made where it is missing, and is then reported."""
    REPORT = "report"
    """May be changed, and is reported after the session."""


class Staged(StrEnum):
    """What the commit gate does with it in a staged workspace."""

    REFUSE = "refuse"
    """Never applied."""
    PARTS = "parts"
    """What of it cannot run code is applied, key by key and file by file; the rest never."""
    REVIEW = "review"
    """Applied when a person has seen it."""


class ControlFile(msgspec.Struct, frozen=True, kw_only=True):
    """One name and what it can do."""

    pattern: str
    """Relative to the workspace; `**/` at the beginning means any folder. Only patterns without it can be protected."""
    why: str
    direct: Direct
    staged: Staged = Staged.REVIEW
    stub: str | None = None
    """What keeps the place of a missing one. None: an empty folder, which Git does not show. Else a file's content, for
    names that break their program as a folder."""
    is_folder: bool = False


def _row(
    pattern: str, why: str, direct: Direct, staged: Staged = Staged.REVIEW, stub: str | None = None
) -> ControlFile:
    folder = pattern.endswith("/")
    return ControlFile(pattern=pattern.rstrip("/"), why=why, direct=direct, staged=staged, stub=stub, is_folder=folder)


_SETTINGS = "settings, hooks and commands that an agent obeys"
_SERVERS = "names programs that an agent starts"
_EDITOR = "tasks and settings that an editor runs when the folder is opened"
_INSTRUCTIONS = "instructions that the next agent follows"
_CI = "runs on the build server, with its secrets"
_ENTER = "runs when a shell enters the folder"
_UNFINISHED = "an operation of Git's that stopped half-way: its steps can run commands when it goes on"
_INSTALL = "names commands or sources that run on install or build"

CONTROL_FILES: tuple[ControlFile, ...] = (
    _row(".git/", "the repository's own settings and hooks lie in it", Direct.PIN),
    _row(".git/hooks/", "programs that Git runs", Direct.PROTECT, Staged.REFUSE),
    _row(".git/config", "names programs that Git runs on any command", Direct.PROTECT, Staged.PARTS, stub=""),
    # A folder in this place would stop Git; the file says "this folder", which is what its absence means.
    _row(".git/commondir", "leads Git to other settings", Direct.PROTECT, Staged.REFUSE, stub=".\n"),
    _row(".git/modules/", "settings and hooks of submodules", Direct.PROTECT, Staged.PARTS),
    _row(".git/worktrees/", "leads Git's other working trees to other settings", Direct.PROTECT, Staged.PARTS),
    _row(".git/config.worktree", "names programs that Git runs", Direct.PROTECT, Staged.PARTS, stub=""),
    _row(".git/info/attributes", "sends files through filters", Direct.REPORT),
    _row(".git/objects/info/alternates", "leads Git to other objects", Direct.REPORT),
    _row(".git/rebase-merge/**", _UNFINISHED, Direct.REPORT),
    _row(".git/rebase-apply/**", _UNFINISHED, Direct.REPORT),
    _row(".git/sequencer/**", _UNFINISHED, Direct.REPORT),
    _row(".git/refs/replace/**", "makes other content stand for a commit, in every working tree", Direct.REPORT),
    _row(".claude/", _SETTINGS, Direct.PROTECT),
    _row(".codex/", _SETTINGS, Direct.PROTECT),
    _row(".gemini/", _SETTINGS, Direct.PROTECT),
    _row(".cursor/", _SETTINGS, Direct.PROTECT),
    _row(".opencode/", _SETTINGS, Direct.PROTECT),
    _row(".agents/", _SETTINGS, Direct.PROTECT),
    _row(".mcp.json", _SERVERS, Direct.PROTECT),
    _row(".vscode/", _EDITOR, Direct.PROTECT),
    _row(".idea/", _EDITOR, Direct.PROTECT),
    _row("ringfence.toml", "the policy of the next session", Direct.KEEP),
    _row("opencode.json", _SETTINGS, Direct.KEEP),
    _row("opencode.jsonc", _SETTINGS, Direct.KEEP),
    _row(".devcontainer/", "commands that run when the container is opened", Direct.KEEP),
    _row(".windsurf/", _SETTINGS, Direct.KEEP),
    _row(".continue/", _SETTINGS, Direct.KEEP),
    _row(".kiro/", _SETTINGS, Direct.KEEP),
    _row(".roo/", _SETTINGS, Direct.KEEP),
    _row(".husky/", "hooks that Git runs", Direct.KEEP),
    _row(".githooks/", "hooks that Git runs, where its settings say so", Direct.KEEP),
    _row("**/.git/hooks/**", "hooks of a nested repository", Direct.REPORT),
    _row("**/.git/config", "settings of a nested repository", Direct.REPORT),
    _row("**/HEAD", "makes its folder a repository, whose settings Git obeys there", Direct.REPORT),
    _row("**/.claude/**", _SETTINGS, Direct.REPORT),
    _row("**/.codex/**", _SETTINGS, Direct.REPORT),
    _row("**/.gemini/**", _SETTINGS, Direct.REPORT),
    _row("**/.cursor/**", _SETTINGS, Direct.REPORT),
    _row("**/.mcp.json", _SERVERS, Direct.REPORT),
    _row("**/.vscode/**", _EDITOR, Direct.REPORT),
    _row("**/AGENTS.md", _INSTRUCTIONS, Direct.REPORT),
    _row("**/CLAUDE.md", _INSTRUCTIONS, Direct.REPORT),
    _row("**/GEMINI.md", _INSTRUCTIONS, Direct.REPORT),
    _row("**/.cursorrules", _INSTRUCTIONS, Direct.REPORT),
    _row(".github/copilot-instructions.md", _INSTRUCTIONS, Direct.REPORT),
    _row(".github/workflows/**", _CI, Direct.REPORT),
    _row(".github/actions/**", _CI, Direct.REPORT),
    _row(".gitlab-ci.yml", _CI, Direct.REPORT),
    _row(".circleci/**", _CI, Direct.REPORT),
    _row("Jenkinsfile", _CI, Direct.REPORT),
    _row("**/.gitattributes", "sends files through filters", Direct.REPORT),
    _row(".gitmodules", "names sources and commands of submodules", Direct.REPORT),
    _row("**/.envrc", _ENTER, Direct.REPORT),
    _row("**/.tool-versions", _ENTER, Direct.REPORT),
    _row("**/mise.toml", _ENTER, Direct.REPORT),
    _row("**/.mise.toml", _ENTER, Direct.REPORT),
    _row("**/.python-version", _ENTER, Direct.REPORT),
    _row(".pre-commit-config.yaml", "names programs that run on commit", Direct.REPORT),
    _row("**/package.json", _INSTALL, Direct.REPORT),
    _row("**/.npmrc", _INSTALL, Direct.REPORT),
    _row("**/.yarnrc.yml", _INSTALL, Direct.REPORT),
    _row("**/.cargo/config.toml", _INSTALL, Direct.REPORT),
    _row("**/.mvn/**", _INSTALL, Direct.REPORT),
    _row("**/gradle.properties", _INSTALL, Direct.REPORT),
    _row("**/.bazelrc", _INSTALL, Direct.REPORT),
    _row("**/setup.py", _INSTALL, Direct.REPORT),
    _row("**/conftest.py", "runs with the tests", Direct.REPORT),
    _row("**/sitecustomize.py", "runs with every Python", Direct.REPORT),
    _row("**/*.pth", "runs with every Python", Direct.REPORT),
    _row("**/.venv/bin/**", "programs that you start from the project's environment", Direct.REPORT),
    _row("**/venv/bin/**", "programs that you start from the project's environment", Direct.REPORT),
    _row("**/node_modules/.bin/**", "programs that the project's scripts start", Direct.REPORT),
    *(
        _row(f"**/{name}", "says where the next installation takes its packages from", Direct.REPORT)
        for name in (
            "package-lock.json",
            "npm-shrinkwrap.json",
            "yarn.lock",
            "pnpm-lock.yaml",
            "bun.lock",
            "uv.lock",
            "poetry.lock",
            "pdm.lock",
            "Pipfile.lock",
            "requirements*.txt",
            "Cargo.lock",
            "Gemfile.lock",
            "composer.lock",
            "go.sum",
            "flake.lock",
        )
    ),
    _row("**/Makefile", "runs on `make`", Direct.REPORT),
    _row("**/justfile", "runs on `just`", Direct.REPORT),
)
"""Every control file that is known. The first row that matches a path speaks for it."""


def control_file(path: str) -> ControlFile | None:
    """The row for a path relative to the workspace, if it is a control file or lies in a folder that is one."""
    for row in CONTROL_FILES:
        if _matcher(row.pattern).fullmatch(path):
            return row
    return None


def row_for(path: str, rows: Iterable[ControlFile]) -> ControlFile | None:
    """The row that speaks for a path, of those that hold under a policy."""
    return next((row for row in rows if _matcher(row.pattern).fullmatch(path)), None)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> re.Pattern[str]:
    body = pattern
    prefix, suffix = "", "(/.*)?"
    if body.startswith("**/"):
        body, prefix = body[3:], "(.*/)?"
    if body.endswith("/**"):
        body, suffix = body[:-3], "/.*"
    return re.compile(prefix + re.escape(body).replace(r"\*", "[^/]*") + suffix, re.DOTALL)


def is_reported(path: str, rows: Iterable[ControlFile] = CONTROL_FILES) -> bool:
    """Whether a change of this path is told after a session: what a pinned folder merely holds is not."""
    return any(row.direct is not Direct.PIN and _matcher(row.pattern).fullmatch(path) for row in rows)


def protected(path: str, rows: Iterable[ControlFile] = CONTROL_FILES) -> ControlFile | None:
    """The row that makes a path read-only in a `direct` workspace, whether it exists or not."""
    for row in rows:
        if row.direct is Direct.PROTECT and _matcher(row.pattern).fullmatch(path):
            return row
    return None


def rows_with(added: Iterable[ControlFile], exempt: Collection[str]) -> tuple[ControlFile, ...]:
    """The rows that hold where a policy adds some and takes some out. What it adds stays, whatever is taken out."""
    return (*(row for row in CONTROL_FILES if row.pattern not in exempt), *added)
