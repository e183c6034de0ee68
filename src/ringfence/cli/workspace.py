"""`ringfence workspace`: what a session changed in the files, and the way back."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from ringfence.cli import codes, workspace_apply
from ringfence.cli.failure import Arguments
from ringfence.cli.screen import Palette, wants_colour
from ringfence.cli.workspace_diff import as_json, as_stat, as_text
from ringfence.model.display import visible
from ringfence.model.ids import new_id
from ringfence.model.situations import UsageInvalid
from ringfence.policy.control_files import rows_with
from ringfence.session.applying import Applying
from ringfence.session.policy_files import load_policy
from ringfence.session.snapshots import Snapshots, Undone, workspace_of
from ringfence.session.sources import places, situation, working_folder
from ringfence.session.staging import find
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
    undone.add_argument("paths", nargs="*", metavar="PATH", help="only these paths, relative to the workspace")
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
    snapshots = workspace_of(where, folder)
    if parsed.command == "diff":
        return _diff(snapshots, parsed)
    if parsed.command == "undo":
        return _undo(snapshots, parsed)
    staging = workspace_apply.staged(snapshots, parsed.session)
    if parsed.command == "discard":
        return workspace_apply.discard(parsed, staging)
    # What counts as a control file is for the policy of now to say.
    named = load_policy(where, folder, situation=situation(folder)).control_files
    applying = Applying(snapshots, staging, rows_with(named.rows, named.exempt))
    return workspace_apply.apply(snapshots, parsed, applying, staging)


def _shared(arguments: argparse.ArgumentParser) -> None:
    arguments.add_argument("session", metavar="SESSION", help="the session, or the beginning of its id")
    arguments.add_argument(
        "--workspace", metavar="DIR", help="the folder it ran in (default: the one around this folder)"
    )


def _diff(snapshots: Snapshots, parsed: argparse.Namespace) -> int:
    staging = find(snapshots, parsed.session)
    if staging is not None and parsed.turn is None and parsed.action is None:
        pending = staging.pending(id=new_id(), now_ns=time.time_ns())
        before, found, ended = pending.after, pending.changes, True
    else:
        before, found, ended = snapshots.changes(parsed.session, parsed.turn, parsed.action)
    if parsed.json:
        for one in found:
            print(as_json(one))
        return codes.OK
    paint = Palette(colour=wants_colour(sys.stdout))
    if not ended:
        print("ringfence: the session has no end on record; compared with the files as they are now", file=sys.stderr)
    if not found:
        what = "nothing is pending" if staging is not None else "the session changed nothing that is kept"
        print(f"ringfence: {what}", file=sys.stderr)
        _not_kept(before.left_out)
        return codes.OK
    lines = as_stat(found, paint) if parsed.stat else as_text(found, snapshots, paint)
    _page("\n".join(lines))
    _not_kept(before.left_out)
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


def _undo(snapshots: Snapshots, parsed: argparse.Namespace) -> int:
    paths = tuple(parsed.paths)
    if any(path.startswith("/") or ".." in path.split("/") for path in paths):
        raise UsageInvalid("paths are relative to the workspace, without `..`")
    done = snapshots.undo(
        parsed.session,
        paths,
        force=parsed.force,
        new_id=new_id,
        now_ns=time.time_ns(),
        turn=parsed.turn,
        action=parsed.action,
    )
    if parsed.json:
        _print_json(done)
    else:
        _print(done, snapshots.workspace)
    return codes.OK if not done.failed and not done.changed_since else 1


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
    print(f"ringfence: {count} path{'' if count == 1 else 's'} put back in {visible(workspace)}")
    _list("changed since, and left as they are (`--force` puts them back too)", done.changed_since)
    for path, why in done.failed[:_LISTED]:
        print(f"  failed   {visible(os.fsdecode(path))}: {why}")
    print(f"  undo it  `ringfence workspace undo {done.way_back}`")


def _list(title: str, paths: Sequence[bytes]) -> None:
    if paths:
        print(f"  {title}:")
        for path in paths[:_LISTED]:
            print(f"           {visible(os.fsdecode(path))}")
        if len(paths) > _LISTED:
            print(f"           and {len(paths) - _LISTED} more")
