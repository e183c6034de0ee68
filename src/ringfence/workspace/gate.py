"""The commit gate of a staged workspace: what a change would do in the real tree, and whether a person has to look.

Pure. It flags and refuses; it never lets through by itself what it does not know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from ringfence.policy.control_files import CONTROL_FILES, ControlFile, Staged, row_for
from ringfence.workspace.difference import Difference
from ringfence.workspace.entries import Entry, Kind
from ringfence.workspace.git_state import Role, below_git, is_unfinished, odd_content, replaces_objects, role

LOCK_FILES = frozenset(
    b"package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb deno.lock poetry.lock uv.lock"
    b" pdm.lock pixi.lock Pipfile.lock requirements.txt constraints.txt Cargo.lock go.sum go.mod Gemfile.lock"
    b" composer.lock Podfile.lock Package.resolved pubspec.lock mix.lock rebar.lock flake.lock gradle.lockfile"
    b" packages.lock.json conan.lock Cartfile.resolved .terraform.lock.hcl MODULE.bazel.lock verification-metadata.xml"
    b" buf.lock elm.json stack.yaml.lock cabal.project.freeze conda-lock.yml renv.lock Manifest.toml".split()
)
"""Files that decide which code the next install brings."""
_CI = re.compile(
    rb"\.github/(?:workflows|actions)/.*|\.gitlab-ci.*|\.gitlab/.*|\.circleci/.*|Jenkinsfile[^/]*|\.travis\.yml"
    rb"|azure-pipelines[^/]*|\.azure-pipelines/.*|bitbucket-pipelines\.yml|\.drone\.yml|\.woodpecker(?:/.*|\.yml)"
    rb"|\.buildkite/.*|\.teamcity/.*|appveyor\.yml|\.appveyor\.yml|cloudbuild[^/]*\.ya?ml|buildspec[^/]*\.yml|\.forgejo/.*"
    rb"|\.gitea/.*|\.cirrus\.yml|\.semaphore/.*|codemagic\.yaml|\.tekton/.*|\.concourse/.*|\.github/dependabot\.yml",
    re.DOTALL,
)
_PROGRAM = (b"#!", b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")
_KEPT_BY_GIT = re.compile(rb"(?:^|/)\.git/(?:modules|worktrees)/(?!(?:.*/)?\.\.(?:/|$))[^\n]+$")
_ODD_NAME = re.compile("[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd\\\\]|^-|[. ]$")

Content = Callable[[Entry], bytes | None]
"""The content of a file, as far as it is looked at; None where it is too large."""


class Flag(StrEnum):
    """Why a person should look before a change is applied."""

    CONTROL_FILE = "control-file"
    CI_FILE = "ci-file"
    EXECUTABLE = "executable"
    LOCK_FILE = "lock-file"
    LINK = "link"
    SECRET = "secret"  # noqa: S105 - a word for a flag
    ODD_NAME = "odd-name"
    GIT_STATE = "git-state"
    """An unfinished operation, whose steps can run commands when it goes on; or other content for stored objects."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One change and what the gate says of it."""

    change: Difference
    flags: tuple[Flag, ...] = ()
    refused: str | None = None
    """Why it is never applied."""


def judged(
    changes: Iterable[Difference],
    content: Content,
    holds_secret: Callable[[bytes], bool],
    rows: Iterable[ControlFile] = CONTROL_FILES,
) -> tuple[Judged, ...]:
    """What the gate says of each change."""
    rows = tuple(rows)
    return tuple(_judged(one, content, holds_secret, rows) for one in changes)


def _judged(
    one: Difference, content: Content, holds_secret: Callable[[bytes], bool], rows: tuple[ControlFile, ...]
) -> Judged:
    rest = below_git(one.path)
    if rest is not None:
        return _git(one, rest, content)
    row = row_for(os.fsdecode(one.path), rows)
    after = one.after
    if row is not None and row.staged is Staged.REFUSE:
        return Judged(change=one, refused=row.why)
    if after is not None and after.kind is Kind.LINK and (why := leaves(one.path, after.target)) is not None:
        return Judged(change=one, refused=why)
    flags = dict[Flag, None]()
    if _CI.fullmatch(one.path):
        flags[Flag.CI_FILE] = None
    elif one.path.rpartition(b"/")[2] in LOCK_FILES:
        flags[Flag.LOCK_FILE] = None
    elif row is not None and not one.folder:
        flags[Flag.CONTROL_FILE] = None
    if after is not None:
        flags |= dict.fromkeys(_flags_of(one, after, content, holds_secret))
    return Judged(change=one, flags=tuple(flags))


def _flags_of(one: Difference, after: Entry, content: Content, holds_secret: Callable[[bytes], bool]) -> Iterable[Flag]:
    name = os.fsdecode(one.path.rpartition(b"/")[2])
    if _ODD_NAME.search(name) or any("\udc80" <= each <= "\udcff" for each in name):
        yield Flag.ODD_NAME
    if after.kind is Kind.LINK:
        yield Flag.LINK
    if after.kind is not Kind.FILE:
        return
    before = one.before if one.before is not None and one.before.kind is Kind.FILE else None
    body = content(after)
    ran_before = before is not None and bool(before.mode & 0o111)
    begins = before is None and body is not None and body.startswith(_PROGRAM)
    if begins or (after.mode & 0o111 and (body is None or not ran_before)):
        yield Flag.EXECUTABLE
    if body is not None and (before is None or before.chunks != after.chunks) and holds_secret(body):
        old = content(before) if before is not None else None
        # One that stood there before is nothing that the session brought.
        if old is None or not holds_secret(old):
            yield Flag.SECRET


def _git(one: Difference, rest: bytes, content: Content) -> Judged:
    what, after = role(rest), one.after
    if after is None:
        # Taking away runs nothing; what is refused could only be made worse by half of it.
        return Judged(change=one, refused=_WHY_NOT if what is Role.REFUSED else None)
    if not rest and after.kind is Kind.FILE:
        return _pointer(one, after, content)
    if after.kind is Kind.FOLDER:
        fine = what is Role.PLACE or (what is Role.STATE and _holds_folders(rest))
        return Judged(change=one, refused=None if fine else _WHY_NOT)
    if after.kind is Kind.LINK or what not in (Role.STATE, Role.SETTINGS, Role.OBJECT, Role.DERIVED):
        return Judged(change=one, refused=_WHY_NOT)
    if what is Role.STATE:
        body = content(after)
        why = odd_content(rest, body) if body is not None else None
        if why is not None or (body is None and not rest.endswith(b"index")):
            return Judged(change=one, refused=why or "it is larger than such a file is")
        if is_unfinished(rest) or replaces_objects(rest, body):
            return Judged(change=one, flags=(Flag.GIT_STATE,))
    return Judged(change=one)


_WHY_NOT = "it is not among the files of a repository that a session may change"


def _pointer(one: Difference, after: Entry, content: Content) -> Judged:
    """A `.git` that is a file leads to a repository's folder: only to one that Git itself keeps there."""
    body = content(after) or b""
    plain = re.fullmatch(rb"gitdir: ([^\n]+)\n?", body)
    inside = plain is not None and _KEPT_BY_GIT.search(plain[1]) is not None
    return Judged(change=one) if inside else Judged(change=one, flags=(Flag.CONTROL_FILE,))


def _holds_folders(rest: bytes) -> bool:
    return re.search(rb"(?:^|/)(?:refs|logs)/", rest) is not None


def leaves(path: bytes, target: bytes) -> str | None:
    """Why a link at a path would lead out of the tree; None where it stays inside, whatever other links there are."""
    if not target or target.startswith(b"/"):
        return "it is a link to an absolute path"
    depth, down = path.count(b"/"), False
    for part in target.split(b"/"):
        if part == b"..":
            if down:
                return "it is a link that goes up again after it went down, so nobody can tell where it leads"
            depth -= 1
        elif part not in (b"", b"."):
            down = True
            if below_git(part) is not None:
                return "it is a link into a repository's own folder"
        if depth < 0:
            return "it is a link that leaves the workspace"
    return None
