"""The entry point: finds the command and imports only what that command needs.

`ringfence --version` and a misspelt command cost an interpreter start and nothing more.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module

from ringfence.cli import codes

COMMANDS = {
    "run": ("ringfence.cli.run", "wrap an agent, or any program, in a governed session"),
    "exec": ("ringfence.cli.exec", "run one governed command"),
    "mcp": ("ringfence.cli.mcp", "run a server of tools in a sandbox, and judge what is asked of it"),
    "policy": ("ringfence.cli.policy", "check, show and explain the policy"),
    "trust": ("ringfence.cli.trust", "trust a project's own policy"),
    "credentials": ("ringfence.cli.credentials", "keep credentials outside the sandbox, and try those that are bound"),
    "approvals": ("ringfence.cli.approvals", "list and answer approval requests, and the grants they made"),
    "ui": ("ringfence.cli.ui", "answer requests on a page of your browser, with a passkey"),
    "sessions": ("ringfence.cli.sessions", "list recorded sessions, newest first"),
    "stats": ("ringfence.cli.stats", "say how often people were asked, and by which rules"),
    "log": ("ringfence.cli.log", "show what happened, and verify the record"),
    "workspace": ("ringfence.cli.workspace", "show what a session changed in the files, apply it, drop it, or undo it"),
    "verify": ("ringfence.cli.verify", "try the escape battery on this machine, and sign the result"),
    "doctor": ("ringfence.cli.doctor", "show what this machine can enforce, by trying it"),
}
"""Each command, the module whose `main(arguments)` runs it, and its line in the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
        return codes.OK if words else codes.USAGE
    if words[0] in {"-V", "--version"}:
        from ringfence.version import __version__

        print(f"ringfence {__version__}")
        return codes.OK
    name, *rest = words
    if name not in COMMANDS:
        print(f"ringfence: no command `{name}`{_suggestion(name)} See `ringfence --help`.", file=sys.stderr)
        return codes.USAGE
    # What is imported stays: looking through it for garbage, again and again, would cost a tenth of the start.
    gc.disable()
    from ringfence.cli.failure import guarded

    return guarded(lambda: int(import_module(COMMANDS[name][0]).main(rest)))


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ringfence COMMAND [options]",
            "",
            "Run any coding agent inside a bounded environment.",
            "",
            *lines,
            "",
            "Start with `ringfence run -- AGENT`. Each command explains itself with `--help`.",
        ]
    )


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, 1)
    return f"; did you mean `{close[0]}`?" if close else "."
