"""`ringfence policy`: check, show, explain and test what is in force, judged by the code that enforces."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.model.display import visible
from ringfence.model.situations import Diagnostic, PolicyInvalid


def main(arguments: Sequence[str]) -> int:
    """Run `ringfence policy` with the words behind it."""
    words = list(arguments)
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    parsed = _parser().parse_args(words)
    parsed.words = command
    run: Callable[[argparse.Namespace], int] = parsed.run
    return run(parsed)


def _parser() -> Arguments:
    parser = Arguments(prog="ringfence policy", description="Check, show and explain the policy in force.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="validate policy files, by default all that apply here")
    check.add_argument("files", nargs="*", default=(), metavar="FILE", help="only these, without the layers below them")
    check.set_defaults(run=_check)
    show = actions.add_parser("show", help="the effective policy")
    show.add_argument("--origin", action="store_true", help="say for each value who wrote it, and what does not apply")
    show.set_defaults(run=_show)
    explain = actions.add_parser(
        "explain", help="the verdict for a command, file, connection or tool, with all reasons", usage=_EXPLAIN_USAGE
    )
    explain.add_argument("--shell", metavar="STRING", help="a shell string, as an agent would run it")
    explain.add_argument("--read", metavar="P", help="reading a file")
    explain.add_argument("--write", metavar="P", help="writing a file")
    explain.add_argument("--connect", metavar="HOST[:PORT]", help="a connection (port 443 if none is named)")
    explain.add_argument("--method", metavar="M", help="with `--connect`: the HTTP method")
    explain.add_argument("--path", metavar="P", help="with `--connect`: the path of the URL")
    explain.add_argument("--model", metavar="M", help="with `--connect`: asking that model there")
    explain.add_argument("--mcp", nargs="+", metavar=("SERVER TOOL", "JSON"), help="a tool of an MCP server")
    explain.add_argument("--stdin", action="store_true", help="questions as JSON Lines, answers line by line")
    explain.set_defaults(run=_explain)
    test = actions.add_parser("test", help="run the `[[test]]` entries and the examples of rules")
    test.add_argument(
        "--coverage", nargs="?", const="own", choices=("own", "all"), help="list every rule; `all`: presets too"
    )
    test.add_argument("--min-coverage", type=int, metavar="N", help="fail where fewer than N of 100 rules are reached")
    test.set_defaults(run=_test)
    diff = actions.add_parser("diff", help="what another policy newly lets pass, asks or stops")
    diff.set_defaults(run=_diff)
    prove = actions.add_parser("prove", help="whether another policy opens anything: 1 unless it is proved not to")
    prove.set_defaults(run=_prove)
    for action in (diff, prove):
        action.add_argument("policies", nargs="+", metavar="FILE|PRESET", help="one against what is in force, or two")
        action.add_argument("--workspace", metavar="DIR", help="instead of the Git top level, or this folder")
        action.add_argument("--json", action="store_true", help="machine-readable")
    replay = actions.add_parser("replay", help="which recorded actions would be decided otherwise")
    replay.add_argument(
        "file", nargs="?", metavar="POLICY", help="a file or preset in place of your own; default: as it is"
    )
    replay.add_argument("--since", metavar="WHEN", help="only what was recorded from then on: `30d`, `2026-01-31`")
    replay.add_argument("--session", metavar="ID", help="only this session, or the one whose id begins so")
    replay.add_argument("--verdict", choices=("allow", "ask", "deny"), help="show only what newly gets this verdict")
    replay.add_argument("--json", action="store_true", help="one JSON object a line")
    replay.set_defaults(run=_replay)
    learn = actions.add_parser("learn", help="the narrowest rules that a recorded session needed, as a diff")
    learn.add_argument("session", nargs="?", help="the session, or the beginning of its id (default: the newest)")
    learn.add_argument("--policy", metavar="FILE", help="a policy file instead of your own")
    learn.add_argument("--json", action="store_true", help="machine-readable")
    learn.set_defaults(run=_learn)
    schema = actions.add_parser("schema", help="the JSON Schema of policy files, for editors")
    schema.set_defaults(run=_schema)
    registries = actions.add_parser("registries", help="where package managers fetch from here, and who says so")
    registries.add_argument("names", nargs="*", metavar="NAME", help="only these package managers")
    registries.add_argument("--refresh", action="store_true", help="ask each index once where its files lie")
    registries.add_argument("--json", action="store_true", help="one JSON object a line")
    registries.set_defaults(run=_registries)
    for action in (show, explain, test):
        action.add_argument("--policy", metavar="FILE|PRESET", help="instead of your own policy")
        action.add_argument("--workspace", metavar="DIR", help="instead of the Git top level, or this folder")
        action.add_argument("--json", action="store_true", help="machine-readable")
    _exchange(actions)
    return parser


def _exchange(actions: argparse._SubParsersAction[Arguments]) -> None:
    brought = actions.add_parser(
        "import", help="a policy from the settings of another agent, with all that does not fit"
    )
    brought.add_argument(
        "--from", dest="agent", required=True, choices=("codex", "claude"), help="whose settings these are"
    )
    brought.add_argument("-o", "--output", metavar="FILE", help="write the policy to a new file instead of printing it")
    brought.add_argument("files", nargs="+", metavar="FILE", help="the settings files, and rules of Codex")
    brought.set_defaults(run=_import)
    native = actions.add_parser("native", help="the effective policy as an agent's own managed settings")
    native.add_argument(
        "--for",
        dest="agent",
        required=True,
        choices=("codex", "claude", "gemini", "opencode"),
        help="who reads the settings",
    )
    native.add_argument("--out", metavar="DIR", help="write the files into this folder instead of printing them")
    native.add_argument("--policy", metavar="FILE|PRESET", help="instead of your own policy")
    native.add_argument("--workspace", metavar="DIR", help="instead of the Git top level, or this folder")
    native.set_defaults(run=_native)
    for action in (brought, native):
        action.add_argument("--json", action="store_true", help="machine-readable")


_EXPLAIN_USAGE = (
    "ringfence policy explain [--json] [--policy FILE|PRESET] [--workspace DIR]\n"
    "       (-- CMD... | --shell STRING | --read P | --write P |\n"
    "        --connect HOST[:PORT] [--method M] [--path P] [--model M] | --mcp SERVER TOOL [JSON] | --stdin)"
)


def _check(parsed: argparse.Namespace) -> int:
    from ringfence.session.policy_files import PROJECT_FILE, check_file, layer_of, load_policy
    from ringfence.session.sources import places, situation, working_folder
    from ringfence.session.workspaces import find_workspace

    where = places(os.environ)
    if not parsed.files:
        workspace = find_workspace(None, working_folder(), where.home)
        policy = load_policy(where, workspace, situation=situation(workspace))
        print(f"valid: preset `{policy.preset}`")
        for layer in policy.layers:
            print(f"  {visible(layer)}")
        for notice in policy.notices:
            print(f"ringfence: note: {visible(notice)}", file=sys.stderr)
        if not os.path.exists(os.path.join(workspace, PROJECT_FILE)):
            print(f"  project: no `{PROJECT_FILE}` in {visible(workspace)}")
        return codes.OK
    faults: list[Diagnostic] = []
    for path in parsed.files:
        try:
            document = check_file(path, layer=layer_of(path, where), places=where)
        except PolicyInvalid as invalid:
            faults.extend(invalid.diagnostics)
        except FileNotFoundError:
            faults.append(Diagnostic(file=path, line=1, column=1, message="there is no such file"))
        else:
            print(f"valid: {visible(path)} (read as {document.layer.value})")
            cost = document.model.budget_cost
            if cost is not None and not document.model.prices:
                print(
                    f"ringfence: note: `model.budget_cost` ({visible(cost[1].source)}) has no `[[model.price]]` beside "
                    "it: where no other file that counts has one, every request to a model is denied",
                    file=sys.stderr,
                )
    if faults:
        raise PolicyInvalid(tuple(faults))
    return codes.OK


def _show(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_show import show
    from ringfence.session.loaded import load_here
    from ringfence.session.sources import working_folder

    here = load_here(os.environ, cwd=working_folder(), workspace=parsed.workspace, choice=parsed.policy)
    show(here.policy, as_json=parsed.json, origins=parsed.origin)
    return codes.OK


def _schema(parsed: argparse.Namespace) -> int:
    from ringfence.policy.json_schema import FILE

    with open(FILE, encoding="utf-8") as stream:
        sys.stdout.write(stream.read())
    return codes.OK


def _registries(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_registries import registries

    return registries(parsed, os.environ, sys.stdout)


def _explain(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_explain import explain

    return explain(parsed)


def _test(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_test import run_tests

    return run_tests(parsed, sys.stdout)


def _diff(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_diff import run_diff

    return run_diff(parsed, sys.stdout)


def _prove(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_diff import run_prove

    return run_prove(parsed, sys.stdout)


def _import(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_import import run_import

    return run_import(parsed)


def _native(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_native import run_native

    return run_native(parsed)


def _replay(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_replay import show_replay

    return show_replay(parsed)


def _learn(parsed: argparse.Namespace) -> int:
    from ringfence.cli.policy_learn import learn

    return learn(parsed)
