"""`ringfence workspace apply` and `discard`: the commit gate of a staged session, for a person or a script.

What is refused is never applied. What is flagged is applied when somebody says so: at the question, or by its flag.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable

import msgspec

from ringfence.cli import codes
from ringfence.cli.screen import Palette, wants_colour
from ringfence.cli.workspace_diff import as_text, note, printable, text_of
from ringfence.cli.workspace_record import Settling
from ringfence.model.display import visible
from ringfence.model.ids import new_id
from ringfence.model.situations import UsageInvalid
from ringfence.policy.control_files import ControlFile
from ringfence.session.applying import Applied, Applying, together
from ringfence.session.snapshots import Snapshots
from ringfence.session.staging import Staging, find
from ringfence.workspace.difference import Difference
from ringfence.workspace.entries import Kind
from ringfence.workspace.gate import Flag, Judged
from ringfence.workspace.hunks import hunks, shown, with_hunks

_LISTED = 20
_LETTERS = {"added": "A", "changed": "M", "deleted": "D"}
_HELP = "y: apply it; n: leave it; a: this and all that follow in the file; d: none that follow in it; q: stop here"


def add_arguments(apply: argparse.ArgumentParser, discard: argparse.ArgumentParser) -> None:
    """What the two commands understand, beside what all share."""
    apply.add_argument(
        "paths", nargs="*", default=(), metavar="PATH", help="only these paths, relative to the workspace"
    )
    apply.add_argument("-i", "--interactive", action="store_true", help="choose part by part, as with `git add -p`")
    apply.add_argument("-y", "--yes", action="store_true", help="do not ask about changes that are not flagged")
    apply.add_argument(
        "--accept", action="append", default=[], choices=[flag.value for flag in Flag], help="apply what has this flag"
    )
    apply.add_argument("--force", action="store_true", help="also over what was changed since the session began")
    apply.add_argument("--json", action="store_true", help="one JSON object")
    discard.add_argument("-y", "--yes", action="store_true", help="do not ask")


class _Tree:
    """The changes to one tree, and what the gate says of them."""

    def __init__(self, staging: Staging, rows: tuple[ControlFile, ...], paths: list[str]) -> None:
        self.snapshots = staging.snapshots
        self.applying = Applying(staging.snapshots, staging, rows)
        self.pending = staging.pending(id=new_id(), now_ns=time.time_ns())
        judged = self.applying.judged(self.pending)
        self.judged = tuple(one for one in judged if _named(one.change.path, paths))


def apply(
    parsed: argparse.Namespace, stagings: tuple[Staging, ...], rows: tuple[ControlFile, ...], settle: Settling
) -> int:
    """Apply what is chosen."""
    session = stagings[0].session
    with contextlib.ExitStack() as held:
        for staging in stagings:
            held.enter_context(staging.held())
        # First the repository that a working tree shares: what its files belong to.
        trees = [_Tree(staging, rows, parsed.paths) for staging in reversed(stagings)]
        judged = tuple(one for tree in trees for one in tree.judged)
        if parsed.paths and not judged:
            raise UsageInvalid(
                "the session changed none of these paths", remedy=f"see `ringfence workspace diff {session}`"
            )
        choosing = _Choosing(parsed)
        chosen = [(tree, part) for tree in trees if (part := choosing.choose(tree))]
        paths = [one.path for _, part in chosen for one in part]
        left = [one for one in judged if one.refused is None and one.change.path not in paths]
        refused = [one for one in judged if one.refused is not None]
        done = None
        if paths:
            way_back = f"undo-{new_id()}"
            flags = [flag for one in judged if one.change.path in paths for flag in one.flags]
            settle.record("apply", session, paths=paths, flags=flags, forced=parsed.force, way_back=way_back)
            done = together(
                tree.applying.apply(
                    tree.pending, part, force=parsed.force, new_id=new_id, now_ns=time.time_ns(), way_back=way_back
                )
                for tree, part in chosen
            )
    if parsed.json:
        print(json.dumps(_plain(done, left, refused), ensure_ascii=True))
    else:
        _report(done, left, refused, trees)
    whole = done is not None and not done.failed and not done.changed_since and not done.settings
    return codes.OK if (whole or not judged) and not refused and not left else 1


def discard(parsed: argparse.Namespace, stagings: tuple[Staging, ...], settle: Settling) -> int:
    """Drop what a session wrote."""
    if not parsed.yes:
        if not sys.stdin.isatty():
            raise UsageInvalid("nobody can be asked whether to drop the changes", remedy="say so with `--yes`")
        if _ask(f"Drop everything that session {stagings[0].session} wrote and was not applied?", "yn") != "y":
            return 1
    settle.record("discard", stagings[0].session)
    # The workspace's own layer last: by it the session is found, should this be cut short.
    for staging in reversed(stagings):
        staging.discard(id=new_id())
    print(f"ringfence: what session {stagings[0].session} wrote and was not applied is gone")
    return codes.OK


def staged(trees: tuple[Snapshots, ...], session: str) -> tuple[Staging, ...]:
    """The staged session that is meant."""
    found = find(trees, session)
    if not found:
        raise UsageInvalid(
            f"there is no staged session `{visible(session)}` in this workspace",
            remedy="a session is staged with `ringfence run --staged`; name its folder with `--workspace`",
        )
    return found


class _Choosing:
    """Asks, or takes the flags of the command line for answers."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        self._accepted = frozenset(map(Flag, parsed.accept))
        self._interactive: bool = parsed.interactive
        self._yes: bool = parsed.yes
        self._quiet: bool = parsed.json
        self._paint = Palette(colour=wants_colour(sys.stdout))
        self._stopped = False

    def choose(self, tree: _Tree) -> tuple[Difference, ...]:
        """The changes to apply; a part of a file stands for itself."""
        self._snapshots, self._applying = tree.snapshots, tree.applying
        possible = [one for one in tree.judged if one.refused is None]
        asks = sys.stdin.isatty() and not self._quiet
        if self._interactive:
            if not asks:
                raise UsageInvalid("`--interactive` asks, and nobody can be asked here", remedy="use `--yes`")
            return tuple(part for one in possible for part in self._parts(one))
        plain = [one for one in possible if self._accepted.issuperset(one.flags)]
        flagged = [one for one in possible if one not in plain]
        if not asks:
            if plain and not self._yes:
                raise UsageInvalid(
                    f"{len(plain)} change{'' if len(plain) == 1 else 's'} would be applied, and nobody can be asked",
                    remedy="say so with `--yes`; what is flagged needs `--accept FLAG` as well",
                )
            return tuple(one.change for one in plain)
        chosen = [one.change for one in plain] if plain and self._all(plain) else []
        for one in flagged:
            if self._whole(one):
                chosen.append(one.change)
        return tuple(chosen)

    def _all(self, plain: list[Judged]) -> bool:
        for one in plain[:_LISTED]:
            print(f"  {self._title(one)}")
        if len(plain) > _LISTED:
            print(f"  and {len(plain) - _LISTED} more")
        return self._yes or _ask(f"Apply these {len(plain)}?", "yn") == "y"

    def _whole(self, one: Judged) -> bool:
        while not self._stopped:
            answer = _ask(f"{self._title(one)}  Apply?", "ynvq")
            if answer == "v":
                print("\n".join(as_text((one.change,), self._snapshots, self._paint)))
                continue
            self._stopped = answer == "q"
            return answer == "y"
        return False

    def _parts(self, one: Judged) -> Iterable[Difference]:
        before, after = one.change.before, one.change.after
        texts = None
        if before is not None and after is not None and before.kind is after.kind is Kind.FILE:
            texts = text_of(before, self._snapshots), text_of(after, self._snapshots)
        if texts is None or texts[0] is None or texts[1] is None or b".git/" in one.change.path:
            if self._whole(one):
                yield one.change
            return
        old, new = texts[0], texts[1]
        found = hunks(old, new)
        chosen = self._hunks(one, old, new)
        if found and len(chosen) == len(found):
            yield one.change
        elif chosen:
            assert after is not None
            part = self._applying.with_content(after, with_hunks(old, new, found, chosen))
            yield msgspec.structs.replace(one.change, after=part)
        elif not found and self._whole(one):
            yield one.change

    def _hunks(self, one: Judged, old: bytes, new: bytes) -> set[int]:
        found = hunks(old, new)
        chosen: set[int] = set()
        rest = ""
        for hunk in found:
            if self._stopped:
                break
            if not rest:
                print(self._title(one))
                print("\n".join(self._line(line) for line in shown(old, new, hunk)))
                answer = _ask(f"({hunk.number + 1}/{len(found)}) Apply this part?", "ynadq?")
                self._stopped = answer == "q"
                rest = answer if answer in "ad" else ""
            if rest == "a" or (not rest and answer == "y"):
                chosen.add(hunk.number)
        return chosen

    def _line(self, line: bytes) -> str:
        text = printable(line.decode("utf-8", "replace"))
        colour = {"+": self._paint.green, "-": self._paint.red, "@": self._paint.dim}.get(text[:1])
        return colour(text) if colour is not None else text

    def _title(self, one: Judged) -> str:
        letter, name = _LETTERS[one.change.change.value], visible(os.fsdecode(one.change.path))
        flags = self._paint.yellow(f"  [{', '.join(one.flags)}]") if one.flags else ""
        return f"{letter} {name}{note(one.change)}{flags}"


def _ask(question: str, letters: str) -> str:
    while True:
        print(f"{question} [{','.join(letters)}] ", end="", flush=True)
        answer = sys.stdin.readline()
        if not answer:
            return "q" if "q" in letters else "n"
        word = answer.strip().lower()[:1]
        if word and word in letters and word != "?":
            return word
        print(_HELP if "?" in letters else f"answer with one of {', '.join(letters)}; v shows the change")


def _named(path: bytes, paths: list[str]) -> bool:
    if any(name.startswith("/") or ".." in name.split("/") for name in paths):
        raise UsageInvalid("paths are relative to the workspace, without `..`")
    wanted = [os.fsencode(name).strip(b"/") for name in paths]
    return not wanted or any(path == name or path.startswith(name + b"/") for name in wanted)


def _plain(done: Applied | None, left: list[Judged], refused: list[Judged]) -> dict[str, object]:
    return {
        "schema": 1,
        "applied": [os.fsdecode(path) for path in done.applied] if done else [],
        "changed_since": [os.fsdecode(path) for path in done.changed_since] if done else [],
        "failed": [{"path": os.fsdecode(path), "why": why} for path, why in done.failed] if done else [],
        "settings": [{"path": os.fsdecode(path), "key": key, "why": why} for path, key, why in done.settings]
        if done
        else [],
        "left": [{"path": os.fsdecode(one.change.path), "flags": list(one.flags)} for one in left],
        "refused": [{"path": os.fsdecode(one.change.path), "why": one.refused} for one in refused],
        "way_back": done.way_back if done else None,
    }


def _report(done: Applied | None, left: list[Judged], refused: list[Judged], trees: list[_Tree]) -> None:
    snapshots, pending = trees[-1].snapshots, trees[-1].pending
    count = len(done.applied) if done else 0
    print(f"ringfence: {count} path{'' if count == 1 else 's'} applied to {visible(snapshots.workspace)}")
    if done is not None:
        _list("changed since the session began, and left as they are (`--force` replaces them)", done.changed_since)
        for path, why in done.failed[:_LISTED]:
            print(f"  failed   {visible(os.fsdecode(path))}: {why}")
        for path, key, why in done.settings[:_LISTED]:
            print(f"  not set  {visible(key)} in {visible(os.fsdecode(path))}: {why}")
    for one in refused[:_LISTED]:
        print(f"  refused  {visible(os.fsdecode(one.change.path))}: {one.refused}")
    for one in left[:_LISTED]:
        flags = f" (flagged: {', '.join(one.flags)}; `--accept {one.flags[0]}` applies it)" if one.flags else ""
        print(f"  left     {visible(os.fsdecode(one.change.path))}{flags}")
    if len(left) > _LISTED or len(refused) > _LISTED:
        print(f"           all of them: `ringfence workspace diff {pending.session}`")
    for path, why in [one for tree in trees for one in tree.pending.after.left_out][:_LISTED]:
        name = visible(os.fsdecode(path))
        print(f"  not kept {name}: {why}" if name else f"  not kept {why}")
    if done is not None:
        print(f"  undo it  `ringfence workspace undo {done.way_back}`")


def _list(title: str, paths: tuple[bytes, ...]) -> None:
    if paths:
        print(f"  {title}:")
        for path in paths[:_LISTED]:
            print(f"           {visible(os.fsdecode(path))}")
        if len(paths) > _LISTED:
            print(f"           and {len(paths) - _LISTED} more")
