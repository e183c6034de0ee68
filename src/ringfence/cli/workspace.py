"""`ringfence workspace`: what a session changed in the files, and the way back."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence

from ringfence.cli import codes, workspace_apply
from ringfence.cli.failure import Arguments
from ringfence.cli.screen import Palette, wants_colour
from ringfence.cli.workspace_diff import as_json, as_stat, as_text
from ringfence.cli.workspace_record import Settling
from ringfence.model.display import visible
from ringfence.model.ids import new_id
from ringfence.model.situations import UsageInvalid
from ringfence.policy.control_files import rows_with
from ringfence.session.policy_files import load_policy
from ringfence.session.snapshots import Snapshots, Undone, is_named, trees_of
from ringfence.session.sources import places, situation, working_folder
from ringfence.session.staging import Staging, find
from ringfence.session.workspaces import find_workspace

_LISTED = 20


def main(words: Sequence[str]) -> int:
    """Run the command."""
    arguments = Arguments(prog="ringfence workspace", description="What a session changed, and the way back.")
    commands = arguments.add_subparsers(dest="command", metavar="diff|apply|discard|undo", required=True)
    shown = commands.add_parser("diff", help="show what a session changed", description="Show what a session changed.")
    _shared(shown)
    shown.add_argument("--stat", action="store_true", help="a line for each path, without the contents")
    shown.add_argument("--json", action="store_true", help="one JSON object a line")
    applied = commands.add_parser(
        "apply",
        help="take what a staged session wrote over into the workspace",
        description="Take what a staged session wrote over into the workspace, through the commit gate.",
    )
    _shared(applied)
    dropped = commands.add_parser(
        "discard", help="drop what a staged session wrote", description="Drop what a staged session wrote."
    )
    _shared(dropped)
    workspace_apply.add_arguments(applied, dropped)
    undone = commands.add_parser(
        "undo",
        help="put files back to how they were before a session",
        description="Put files back to how they were before a session. What you changed since is left as it is.",
    )
    _shared(undone)
    undone.add_argument(
        "paths", nargs="*", default=(), metavar="PATH", help="only these paths, relative to the workspace"
    )
    undone.add_argument("--force", action="store_true", help="also what was changed since the session ended")
    for each in (shown, undone):
        each.add_argument(
            "--turn", type=int, metavar="N", help="from the Nth prompt of the session on, where its agent tells of them"
        )
        each.add_argument(
            "--action",
            type=int,
            metavar="N",
            help="from the Nth action on that ran after a snapshot",
        )
    undone.add_argument("--json", action="store_true", help="one JSON object")
    parsed = arguments.parse_args(words)
    where = places(os.environ)
    folder = find_workspace(parsed.workspace, working_folder(), where.home)
    trees = trees_of(where, folder)
    if parsed.command == "diff":
        return _diff(trees, parsed)
    settle = Settling(where.ledger, folder)
    if parsed.command == "undo":
        return _undo(trees, parsed, settle)
    stagings = workspace_apply.staged(trees, parsed.session)
    if parsed.command == "discard":
        return workspace_apply.discard(parsed, stagings, settle)
    # What counts as a control file is for the policy of now to say.
    named = load_policy(where, folder, situation=situation(folder)).control_files
    return workspace_apply.apply(parsed, stagings, rows_with(named.rows, named.exempt), settle)


def _shared(arguments: argparse.ArgumentParser) -> None:
    arguments.add_argument("session", metavar="SESSION", help="the session, or the beginning of its id")
    arguments.add_argument(
        "--workspace", metavar="DIR", help="the folder it ran in (default: the one around this folder)"
    )


def _diff(trees: tuple[Snapshots, ...], parsed: argparse.Namespace) -> int:
    stagings = find(trees, parsed.session) if parsed.action is None else ()
    if stagings:
        pending = [each.pending(id=new_id(), now_ns=time.time_ns()) for each in stagings]
        found = [
            (each.snapshots, of.changes if parsed.turn is None else each.since(of, parsed.turn))
            for each, of in zip(stagings, pending, strict=True)
        ]
        left_out, ended = [one for of in pending for one in of.after.left_out], True
    else:
        before, changes, ended = trees[0].changes(parsed.session, parsed.turn, parsed.action)
        found, left_out = [(trees[0], changes)], list(before.left_out)
    if parsed.json:
        for _, changes in found:
            for one in changes:
                print(as_json(one))
        return codes.OK
    paint = Palette(colour=wants_colour(sys.stdout))
    if not ended:
        print("ringfence: the session has no end on record; compared with the files as they are now", file=sys.stderr)
    lines = [
        line
        for tree, changes in found
        if changes
        for line in (as_stat(changes, paint) if parsed.stat else as_text(changes, tree, paint))
    ]
    if lines:
        _page("\n".join(lines))
    else:
        what = "nothing is pending" if stagings else "the session changed nothing that is kept"
        print(f"ringfence: {what}", file=sys.stderr)
    _not_kept(left_out)
    return codes.OK


def _not_kept(left_out: Sequence[tuple[bytes, str]]) -> None:
    for path, why in left_out[:_LISTED]:
        name = visible(os.fsdecode(path))
        print(f"ringfence: not kept: {f'{name}: ' if name else ''}{why}", file=sys.stderr)


def _page(text: str) -> None:
    if sys.stdout.isatty() and text.count("\n") > 40:
        import pydoc

        pydoc.pager(text)
    else:
        print(text)


def _undo(trees: tuple[Snapshots, ...], parsed: argparse.Namespace, settle: Settling) -> int:
    paths = tuple(parsed.paths)
    if any(path.startswith("/") or ".." in path.split("/") for path in paths):
        raise UsageInvalid("paths are relative to the workspace, without `..`")
    if parsed.turn is not None and (stagings := find(trees, parsed.session)):
        return _take_back(stagings, parsed, settle)
    way_back, failures, parts = f"undo-{new_id()}", list[UsageInvalid](), list[Undone]()
    known = [trees[0], *(each for each in trees[1:] if each.knows(parsed.session))]
    session = trees[0].full_name(parsed.session)
    meant, able = list[bytes](), list[Snapshots]()
    for each in known:
        try:
            meant += [
                one.path
                for one in each.changes(parsed.session, parsed.turn, parsed.action)[1]
                if is_named(one.path, paths)
            ]
            able.append(each)
        except UsageInvalid as failure:
            # Of a workspace and the repository that it shares, one may have nothing to be undone.
            failures.append(failure)
    if not able:
        raise failures[0]
    settle.record("undo", session, paths=meant, forced=parsed.force, way_back=way_back)
    for each in able:
        try:
            parts.append(
                each.undo(
                    parsed.session,
                    paths,
                    force=parsed.force,
                    new_id=new_id,
                    now_ns=time.time_ns(),
                    turn=parsed.turn,
                    action=parsed.action,
                    way_back=way_back,
                )
            )
        except UsageInvalid as failure:
            failures.append(failure)
    if not parts:
        raise failures[0]
    done = Undone(
        restored=tuple(path for each in parts for path in each.restored),
        changed_since=tuple(path for each in parts for path in each.changed_since),
        failed=tuple(one for each in parts for one in each.failed),
        way_back=way_back,
    )
    if parsed.json:
        _print_json(done)
    else:
        _print(done, trees[0].workspace)
    return codes.OK if not done.failed and not done.changed_since else 1


def _take_back(stagings: tuple[Staging, ...], parsed: argparse.Namespace, settle: Settling) -> int:
    """Of a staged session a turn is undone in what is pending; the workspace was never touched by it."""
    if parsed.paths:
        raise UsageInvalid("a turn of a staged session is undone as a whole", remedy="leave the paths out")
    session = stagings[0].session
    with contextlib.ExitStack() as held:
        for each in stagings:
            held.enter_context(each.held())
        pending = [each.pending(id=new_id(), now_ns=time.time_ns()) for each in stagings]
        taken = [one.path for each, of in zip(stagings, pending, strict=True) for one in each.since(of, parsed.turn)]
        settle.record("undo", session, paths=taken)
        # The turns of all are kept together, so that their numbers agree.
        number, *_ = [each.back_to(parsed.turn, of, new_id=new_id) for each, of in zip(stagings, pending, strict=True)]
    way_back = f"{session} --turn {number}"
    if parsed.json:
        _print_json(Undone(restored=tuple(taken), changed_since=(), failed=(), way_back=way_back))
        return codes.OK
    count = len(taken)
    if not taken:
        print("ringfence: nothing is left to undo in what is pending")
        return codes.OK
    print(
        f"ringfence: {count} path{'' if count == 1 else 's'} of what is pending put back to before turn {parsed.turn}"
    )
    print(f"  undo it  `ringfence workspace undo {way_back}`")
    return codes.OK


def _print_json(done: Undone) -> None:
    import json

    plain = {
        "schema": 1,
        "restored": [os.fsdecode(path) for path in done.restored],
        "changed_since": [os.fsdecode(path) for path in done.changed_since],
        "failed": [{"path": os.fsdecode(path), "why": why} for path, why in done.failed],
        "way_back": done.way_back,
    }
    sys.stdout.write(json.dumps(plain, ensure_ascii=True) + "\n")


def _print(done: Undone, workspace: str) -> None:
    count = len(done.restored)
    if not (done.restored or done.changed_since or done.failed):
        print(f"ringfence: nothing is left to undo in {visible(workspace)}")
        return
    print(f"ringfence: {count} path{'' if count == 1 else 's'} put back in {visible(workspace)}")
    _list("changed since, and left as they are (`--force` puts them back too)", done.changed_since)
    for path, why in done.failed[:_LISTED]:
        print(f"  failed   {visible(os.fsdecode(path))}: {why}")
    if done.restored or done.failed:
        print(f"  undo it  `ringfence workspace undo {done.way_back}`")


def _list(title: str, paths: Sequence[bytes]) -> None:
    if paths:
        print(f"  {title}:")
        for path in paths[:_LISTED]:
            print(f"           {visible(os.fsdecode(path))}")
        if len(paths) > _LISTED:
            print(f"           and {len(paths) - _LISTED} more")
