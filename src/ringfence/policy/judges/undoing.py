"""Which commands lose only what a snapshot from before them holds.

Only Git's commands are known so well. Beside them stand only commands that change nothing: whatever runs first can take
away what made the snapshot hold a file (`rm .gitignore && git clean -fd`).
"""

from __future__ import annotations

from collections.abc import Callable

from ringfence.model.action import CommandAction
from ringfence.policy.shell.analysis import SHELLS, Analysis, Invocation, analyse

_ELSEWHERE = (
    "-C",
    "-c",
    "--git-dir",
    "--work-tree",
    "--namespace",
    "--exec-path",
    "--config-env",
    "--recurse",
    "..",
    "/",
    "~",
    "!",
)
"""How a word begins that leads a command out of the folder in which it runs, or takes from what Git ignores."""
_OTHERS = frozenset({"submodule", "worktree"})
"""Words for repositories and working trees beside the one that is kept."""
_CHANGE_NOTHING = frozenset({"cd", "echo", "printf", "true", "pwd", "ls", "cat", "head", "tail", "wc", "grep"})
_GIT_CHANGES_NOTHING = frozenset({"status", "log", "diff", "show", "rev-parse", "ls-files"})
_NOTHING = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr"})


def loses_kept_only(analysis: Analysis, losing: set[int], in_workspace: Callable[[str], bool]) -> bool:
    """Whether a script loses only what is kept before it. `losing`: its commands that are asked about."""
    if any(opened.redirect.write and opened.redirect.target.text not in _NOTHING for opened in analysis.opened):
        return False
    changed = False
    for number, invocation in enumerate(analysis.invocations):
        if number in losing:
            # SECURITY: what an earlier command changed may have taken a file from what Git ignores.
            if not _stays(invocation, in_workspace) or (changed and "clean" in _words(invocation)):
                return False
            changed = True
        elif not _changes_nothing(invocation):
            return False
    return True


def folders_of(action: CommandAction, *, home: str) -> tuple[str, ...]:
    """The folders in which the programs of a command may run."""
    analysis = analyse(action, home=home)
    places = [invocation.place for invocation in analysis.invocations]
    return tuple(dict.fromkeys(folder for place in places for folder in (*place.folders, *place.others)))


def _stays(invocation: Invocation, in_workspace: Callable[[str], bool]) -> bool:
    """Whether a command works on the repository of the workspace: it runs there, and nothing leads it elsewhere."""
    place = invocation.place
    if invocation.program != "git" or not place.folders or not all(map(in_workspace, (*place.folders, *place.others))):
        return False
    words = _words(invocation)
    return None not in words and not any(_leads_elsewhere(word) for word in words if word is not None)


def _leads_elsewhere(word: str) -> bool:
    excludes = word.startswith("-") and "!" in word
    return word.startswith(_ELSEWHERE) or word in _OTHERS or excludes


def _changes_nothing(invocation: Invocation) -> bool:
    if invocation.reading is None or invocation.function or invocation.side_door:
        return False
    if invocation.program == "git":
        words = _words(invocation)
        return (
            bool(words)
            and words[0] in _GIT_CHANGES_NOTHING
            and not any((word or "--o").startswith("--o") for word in words)
        )
    return invocation.program in _CHANGE_NOTHING or invocation.program in SHELLS


def _words(invocation: Invocation) -> list[str | None]:
    return [word.text for word in invocation.words[1:]]
