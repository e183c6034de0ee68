"""`ringfence workspace`: what a session changed in the files, and the way back."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.cli.screen import Palette, wants_colour
from ringfence.cli.workspace_diff import as_json, as_stat, as_text
from ringfence.model.display import visible
from ringfence.model.ids import new_id
from ringfence.model.situations import UsageInvalid
from ringfence.session.snapshots import Snapshots, Undone, workspace_of
from ringfence.session.sources import places, working_folder
from ringfence.session.workspaces import find_workspace

_LISTED = 20


def main(words: Sequence[str]) -> int:
    """Run the command."""
    arguments = Arguments(prog="ringfence workspace", description="What a session changed, and the way back.")
    commands = arguments.add_subparsers(dest="command", metavar="diff|undo", required=True)
    shown = commands.add_parser("diff", help="show what a session changed", description="Show what a session changed.")
    _shared(shown)
    shown.add_argument("--stat", action="store_true", help="a line for each path, without the contents")
    shown.add_argument("--json", action="store_true", help="one JSON object a line")
    undone = commands.add_parser(
        "undo",
        help="put files back to how they were before a session",
        description="Put files back to how they were before a session. What you changed since is left as it is.",
    )
    _shared(undone)
    undone.add_argument("paths", nargs="*", metavar="PATH", help="only these paths, relative to the workspace")
    undone.add_argument("--force", action="store_true", help="also what was changed since the session ended")
    undone.add_argument("--json", action="store_true", help="one JSON object")
    parsed = arguments.parse_args(words)
    where = places(os.environ)
    folder = find_workspace(parsed.workspace, working_folder(), where.home)
    snapshots = workspace_of(where, folder)
    return _diff(snapshots, parsed) if parsed.command == "diff" else _undo(snapshots, parsed)


def _shared(arguments: argparse.ArgumentParser) -> None:
    arguments.add_argument("session", metavar="SESSION", help="the session, or the beginning of its id")
    arguments.add_argument(
        "--workspace", metavar="DIR", help="the folder it ran in (default: the one around this folder)"
    )


def _diff(snapshots: Snapshots, parsed: argparse.Namespace) -> int:
    before, found, ended = snapshots.changes(parsed.session)
    if parsed.json:
        for one in found:
            print(as_json(one))
        return codes.OK
    paint = Palette(colour=wants_colour(sys.stdout))
    if not ended:
        print("ringfence: the session has no end on record; compared with the files as they are now", file=sys.stderr)
    if not found:
        print("ringfence: the session changed nothing that is kept", file=sys.stderr)
        return codes.OK
    lines = as_stat(found, paint) if parsed.stat else as_text(found, snapshots, paint)
    _page("\n".join(lines))
    for path, why in before.left_out[:_LISTED]:
        print(f"ringfence: not kept: {visible(os.fsdecode(path)) or '.'}: {why}", file=sys.stderr)
    return codes.OK


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
    done = snapshots.undo(parsed.session, paths, force=parsed.force, new_id=new_id, now_ns=time.time_ns())
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
