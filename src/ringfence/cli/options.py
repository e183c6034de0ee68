"""The options that `run` and `exec` share, as the command line writes them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ringfence.cli.failure import Arguments
from ringfence.model.situations import UsageInvalid
from ringfence.policy.effective import WorkspaceMode
from ringfence.session.options import Ask, Options


def parser(program: str, description: str, what: str) -> Arguments:
    """A parser that ends at the command: what follows belongs to it, untouched."""
    usage = f"ringfence {program} [options] [--] {what} [ARGS]"
    arguments = Arguments(prog=f"ringfence {program}", usage=usage, description=description, allow_abbrev=False)
    add = arguments.add_argument
    add("--policy", metavar="FILE|PRESET", help="use this policy file or preset instead of your own policy")
    add("--workspace", metavar="DIR", help="the folder to work in (default: the Git top level, else this folder)")
    add(
        "--direct",
        action="store_true",
        help="changes go straight to the workspace (default, where the policy does not say `staged`)",
    )
    add("--staged", action="store_true", help="changes wait in a layer until you apply them")
    add("--min-tier", choices=("A", "B", "C"), help="refuse to run with less containment than this")
    add("--image", metavar="IMAGE|DIR", help="take programs from this container image instead of this machine")
    add("--oci-runtime", metavar="NAME", help="make the sandbox a container of this runtime: runsc, crun or runc")
    add(
        "--allow-host",
        metavar="H",
        action="append",
        default=[],
        help="allow this destination in this session: `HOST` or `HOST:PORT`",
    )
    add("--read", metavar="P", action="append", default=[], help="make this path readable in this session")
    add("--write", metavar="P", action="append", default=[], help="make this path writable in this session")
    add("--publish", metavar="PORT", action="append", default=[], help="show this port of the sandbox on 127.0.0.1")
    add(
        "--ask",
        choices=tuple(each.value for each in Ask),
        default="terminal",
        help="who answers questions: you here, the page of `ringfence ui`, `ringfence approvals` elsewhere (it waits), "
        "nobody, or the agent's own prompt",
    )
    add("--env", metavar="NAME", action="append", default=[], help="pass this variable of your environment on")
    add("--json", action="store_true", help="write the result as one JSON line to descriptor 3, or to --result")
    add("--result", metavar="FILE", help="write the result as one JSON line to this file")
    add("-q", "--quiet", action="store_true", help="no summary and no notices")
    add("command", metavar=what, nargs=argparse.REMAINDER, help="and all that follows: its own words, untouched")
    return arguments


def command_of(parsed: argparse.Namespace, example: str) -> tuple[str, ...]:
    """The command that was named, without the `--` before it."""
    words: Sequence[str] = parsed.command
    if words and words[0] == "--":
        words = words[1:]
    if not words:
        raise UsageInvalid("no command was named", remedy=f"put it behind the options: `{example}`")
    return tuple(words)


def options_of(parsed: argparse.Namespace) -> Options:
    """The session's options; what this version cannot do is refused, never ignored."""
    if parsed.staged and parsed.direct:
        raise UsageInvalid("`--staged` and `--direct` are opposites", remedy="leave one out")
    return Options(
        workspace=parsed.workspace,
        policy=parsed.policy,
        min_tier=parsed.min_tier,
        image=parsed.image,
        oci_runtime=parsed.oci_runtime,
        allow_hosts=tuple(parsed.allow_host),
        read=tuple(parsed.read),
        write=tuple(parsed.write),
        environment=tuple(parsed.env),
        publish=tuple(parsed.publish),
        workspace_mode=_mode(parsed),
        ask=Ask(parsed.ask),
    )


def _mode(parsed: argparse.Namespace) -> WorkspaceMode | None:
    if parsed.staged:
        return WorkspaceMode.STAGED
    return WorkspaceMode.DIRECT if parsed.direct else None
