"""`ringfence credentials`: keep values outside the sandbox, list them, and try those that the policy binds.

No value is ever printed, and none is taken from the command line, which other programs of the machine can read.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence

import msgspec

from ringfence.cli import codes
from ringfence.cli.failure import POLICY_HELP, Arguments
from ringfence.cli.screen import Palette, wants_colour
from ringfence.egress.credentials.secret import Secret, usable
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid
from ringfence.policy.compare.values import bound_text
from ringfence.policy.effective import CredentialRule
from ringfence.policy.evaluate import Evaluator
from ringfence.session.credentials.governing import outside_of
from ringfence.session.credentials.loading import load_one
from ringfence.session.credentials.sources import Outside, Unavailable
from ringfence.session.credentials.store import Keeper, Store, machine_keyring
from ringfence.session.policy_files import load_policy
from ringfence.session.sources import places, situation, working_folder
from ringfence.session.workspaces import find_workspace

_LONGEST = 64 * 1024


def main(arguments: Sequence[str]) -> int:
    """Run `ringfence credentials` with the words behind it."""
    parsed = _parser().parse_args(list(arguments))
    run: Callable[[argparse.Namespace], int] = parsed.run
    return run(parsed)


def _parser() -> Arguments:
    parser = Arguments(
        prog="ringfence credentials", description="Keep credentials outside the sandbox, and try those that are bound."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser(
        "add", help="keep a value, typed or from standard input, for `source = { keyring = NAME }`"
    )
    add.add_argument("name", metavar="NAME", help="letters, digits, `.`, `_` and `-`")
    add.add_argument("--file", action="store_true", help="in a file that only you can read, instead of the keyring")
    add.set_defaults(run=_add)
    show = actions.add_parser("list", help="what is kept, and what the policy here binds; never a value")
    show.set_defaults(run=_list)
    remove = actions.add_parser("remove", help="forget a value that was added")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(run=_remove)
    test = actions.add_parser("test", help="read each credential that is bound here: 1 where one is not available")
    test.add_argument("names", nargs="*", metavar="ID", help="only these")
    test.set_defaults(run=_test)
    for action in (show, test):
        action.add_argument("--policy", metavar="FILE|PRESET", help=POLICY_HELP)
        action.add_argument("--workspace", metavar="DIR", help="instead of the Git top level, or this folder")
        action.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _add(parsed: argparse.Namespace) -> int:
    name = _checked(parsed.name)
    keyring = None if parsed.file else machine_keyring()
    keeper = Keeper.FILE if keyring is None else Keeper.KEYRING
    where = places(os.environ).credentials
    value = _value(name)
    if why := usable(value.reveal()) if "\n" not in value.reveal() else "":
        raise UsageInvalid(f"the value of `{name}` cannot be used: {why}", remedy="give the value alone")
    Store(where, machine_keyring).add(name, value, keeper)
    if keeper is Keeper.KEYRING:
        print(f"kept: {name}, in the keyring")
    else:
        print(f"kept: {name}, in {visible(where)}, which only you can read")
        if not parsed.file:
            print("  no keyring can be used here: install `ringfence[keyring]`, or unlock one, and add it again")
    print(f'  bind it with `source = {{ keyring = "{name}" }}` under `[[credentials]]`')
    return codes.OK


def _value(name: str) -> Secret:
    if sys.stdin.isatty():
        return Secret(getpass.getpass(f"value of {name} (not shown): "))
    text = sys.stdin.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise UsageInvalid(f"the value of `{name}` is longer than {_LONGEST:,} characters")
    return Secret(text.rstrip("\r\n"))


def _checked(name: str) -> str:
    if not name or not all(one.isalnum() or one in "._-" for one in name) or not name.isascii() or len(name) > 80:
        raise UsageInvalid(f"`{visible(name)}` is not letters, digits, `.`, `_` and `-`", remedy="choose another name")
    return name


def _list(parsed: argparse.Namespace) -> int:
    kept = _store().names()
    rules = _policy(parsed)[0]
    if parsed.json:
        for name, keeper in kept.items():
            print(json.dumps({"schema": 1, "kind": "kept", "name": name, "in": keeper.value}))
        for rule in rules:
            print(json.dumps({"schema": 1, "kind": "bound", **_plain(rule)}))
        return codes.OK
    palette = Palette(colour=wants_colour(sys.stdout))
    if kept:
        print(palette.bold("kept"))
    for name, keeper in kept.items():
        print(f"  {name}  in the {keeper.value}")
    if rules:
        print(palette.bold("bound here"))
    for rule in rules:
        print(f"  {rule.id}: {visible(bound_text(rule))}  {palette.dim(visible(f'({rule.origin.source})'))}")
    if not kept and not rules:
        print("no credential is kept or bound here; add one with `ringfence credentials add NAME`", file=sys.stderr)
    return codes.OK


def _remove(parsed: argparse.Namespace) -> int:
    name = _checked(parsed.name)
    if not _store().remove(name):
        raise UsageInvalid(f"nothing is kept as `{name}`", remedy="`ringfence credentials list` shows what is")
    print(f"forgotten: {name}")
    return codes.OK


def _test(parsed: argparse.Namespace) -> int:
    rules, outside = _policy(parsed)
    unknown = set(parsed.names) - {rule.id for rule in rules}
    if unknown:
        raise UsageInvalid(
            f"no credential `{visible(sorted(unknown)[0])}` is bound here", remedy="see `ringfence credentials list`"
        )
    failed = False
    for rule in rules:
        if parsed.names and rule.id not in parsed.names:
            continue
        try:
            load_one(rule, outside, os.urandom)
            why = ""
        except Unavailable as error:
            why, failed = str(error), True
        if parsed.json:
            print(json.dumps({"schema": 1, "credential": rule.id, "available": not why, "why": why}))
        else:
            print(f"{'no' if why else 'ok'}  {rule.id}  {visible(str(rule.source))}{': ' if why else ''}{visible(why)}")
    if not rules:
        print("no credential is bound here", file=sys.stderr)
    return codes.FAILED if failed else codes.OK


def _policy(parsed: argparse.Namespace) -> tuple[tuple[CredentialRule, ...], Outside]:
    where = places(os.environ)
    workspace = find_workspace(parsed.workspace, working_folder(), where.home)
    policy = load_policy(where, workspace, choice=parsed.policy, situation=situation(workspace))
    evaluator = Evaluator(policy, where.context(workspace))

    return policy.credentials.rules, outside_of(where, os.environ, workspace, evaluator)


def _store() -> Store:
    return Store(places(os.environ).credentials, machine_keyring)


def _plain(rule: CredentialRule) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(rule)
    return plain
