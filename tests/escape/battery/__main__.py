"""Prints what became of each attack: `python -m tests.escape.battery [--plainly] [ID...]`."""

from __future__ import annotations

import secrets
import sys

from tests.escape.battery.arena import Arena
from tests.escape.battery.catalogue import ATTACKS
from tests.escape.battery.inside import in_tier_b, plainly, ringfence
from tests.escape.battery.people import people
from tests.escape.battery.prove import carry_out


def main(words: list[str]) -> int:
    """Carry out the chosen attacks, with and without the sandbox, for every account."""
    chosen = [word for word in words if not word.startswith("-")]
    holes = 0
    with Arena() as arena:
        for attack in (attack for attack in ATTACKS if not chosen or attack.id in chosen):
            for person in people():
                secret = secrets.token_hex(16)
                possible, line = True, [attack.id.ljust(5), person.name.ljust(7)]
                for name, wrap, limit in (
                    ("plainly", plainly(attack), attack.plain_timeout),
                    ("inside", in_tier_b if "--tier-b" in words else ringfence, attack.timeout),
                ):
                    if name == "inside" and "--plainly" in words:
                        continue
                    result = carry_out(attack, wrap, person=person, secret=secret, arena=arena, timeout=limit)
                    if name == "plainly":
                        possible = result.evidence is not None
                    ends = (*attack.ends, *(attack.tier_b_ends if "--tier-b" in words else ()))
                    known = attack.tier_b_open if "--tier-b" in words else attack.open
                    surprise = name == "inside" and possible and not known and result.ran.ended not in ends
                    hole = name == "inside" and result.evidence is not None
                    holes += hole and not known
                    line.append(f"{name} {'GETS OUT' if result.evidence else 'fails'} ({result.ran.ended})")
                    if surprise or hole or (chosen and "-v" in words):
                        line.append(f"<-- {'known' if known else 'not as expected'}\n{result.told()}")
                print(" | ".join([*line, attack.title]), flush=True)
    return 1 if holes else 0


sys.exit(main(sys.argv[1:]))
