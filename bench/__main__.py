"""All benches, one after the other: `python -m bench [NAME...]`."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from bench import peers

NAMES = ("imports", "start", "session", "workspaces", "approvals", "gateway", "policy", "content", "tier_b")


def main(words: list[str]) -> int:
    """Run the named benches, or all of them."""
    unknown = [word for word in words if word not in NAMES]
    if unknown:
        print(f"no bench `{unknown[0]}`; there are {', '.join(NAMES)}", file=sys.stderr)
        return 64
    for problem in peers.fetch():
        print(f"  {problem}")
    for name in words or NAMES:
        if find_spec(f"bench.{name}") is None:
            print(f"  left out: {name}: not there yet")
            continue
        import_module(f"bench.{name}").main()
        print()
    return 0


sys.exit(main(sys.argv[1:]))
