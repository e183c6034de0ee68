"""`ringfence run`: wrap a whole agent, or any program, in a governed session."""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.cli.ahead import conduct_ahead
from ringfence.cli.options import command_of, options_of, parser


def main(arguments: Sequence[str]) -> int:
    """Run the agent and return its exit code."""
    parsed = parser(
        "run", "Run an agent, or any program, inside a bounded environment, and put what happens on record.", "AGENT"
    ).parse_args(arguments)
    return conduct_ahead(command_of(parsed, "ringfence run -- claude"), options_of(parsed), parsed, whole_agent=True)
