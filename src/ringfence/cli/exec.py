"""`ringfence exec`: one governed command."""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.cli.ahead import conduct_ahead
from ringfence.cli.options import command_of, options_of, parser


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parsed = parser("exec", "Decide about one command, run it in the sandbox, and put it on record.", "CMD").parse_args(
        arguments
    )
    return conduct_ahead(
        command_of(parsed, "ringfence exec -- make test"), options_of(parsed), parsed, whole_agent=False
    )
