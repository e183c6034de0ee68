"""Makes all attempts at once, in one run with or without a sandbox, and says what arrived where."""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
from functools import cache
from pathlib import Path

import msgspec
from tests.egress.battery.rows import Row, rows
from tests.egress.battery.world import ADDRESSES, EVERYTHING, PERMITTED, POLICY

from ringfence.verify import source
from ringfence.verify.arena import Arena
from ringfence.verify.ear import Ear
from ringfence.verify.run import Streams, Wrap, start
from ringfence.verify.stage import Person, Ran, Stage

SECONDS = 100.0
_LABEL, _PAD = 63, 20_000
_LINE = re.compile(r"^attempt (\S+) (.*)$", re.MULTILINE)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row."""

    ended: str
    evidence: str
    """Where its mark arrived that it should not; empty where it did not work."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all rows."""

    outcomes: dict[str, Outcome]
    strangers: tuple[str, ...]
    """Where a connection arrived, with or without data, that the policy does not allow."""
    ran: Ran


def carry_out(wrap: Wrap, person: Person, chosen: tuple[Row, ...]) -> Told:
    """Make these attempts in a world of their own."""
    with Arena(ADDRESSES, EVERYTHING) as arena, Stage(person, secrets.token_hex(4)) as stage:
        stage.file(f"{stage.home}/.config/ringfence/policy.toml", POLICY)
        stage.arena_prefix, stage.network = arena.prefix(person), arena.pid
        theirs, ours = socket.socketpair()
        stage.inherited = (theirs.fileno(),)
        stage.words["socket"] = str(theirs.fileno())
        ear = Ear({**arena.listeners(), "inherited": ours})
        ran = start(stage, wrap(stage, _argv(stage, chosen)), Streams(timeout=SECONDS))
        ear.close()
        theirs.close()
        return _told(stage, chosen, ran, ear)


def mark(stage: Stage, row: Row) -> str:
    """What is looked for."""
    return f"{row.id}-{stage.secret}"


def _argv(stage: Stage, chosen: tuple[Row, ...]) -> tuple[str, ...]:
    spelt = {row.id: tuple(_filled(stage, row, word) for word in row.words) for row in chosen}
    hidden = base64.b64encode(json.dumps(spelt).encode()).decode()
    program = Path(__file__).with_name("attempts.py").read_text("utf-8")
    return (source.interpreter(), "-I", "-c", program, hidden)


def _filled(stage: Stage, row: Row, word: str) -> str:
    own = mark(stage, row)
    known = {"mark": own, "long": own.ljust(_LABEL, "x"), "socket": stage.words["socket"], "pad": "a" * _PAD}
    return re.sub(r"\{(mark|long|socket|pad)\}", lambda found: known[found[1]], word)


def _told(stage: Stage, chosen: tuple[Row, ...], ran: Ran, ear: Ear) -> Told:
    ended = dict(_LINE.findall(ran.output))
    outcomes = {}
    for row in chosen:
        word = ended.get(row.id, "nothing was said")
        outcomes[row.id] = Outcome(ended=word, evidence=_evidence(stage, row, word, ear))
    # A name server of the machine's own may be asked for what is allowed, and for nothing else: the marks show that.
    strangers = {each.name for each in ear.heard if each.name not in PERMITTED and not each.name.startswith("resolver")}
    return Told(outcomes=outcomes, strangers=tuple(sorted(strangers)), ran=ran)


def _evidence(stage: Stage, row: Row, ended: str, ear: Ear) -> str:
    if row.shows == "succeeds":
        return ended if ended.startswith("succeeded") else ""
    own = mark(stage, row).encode()
    places = {each.name for each in ear.heard if own in each.data}
    return ", ".join(sorted(places if row.shows == "anywhere" else places - PERMITTED))


@cache
def without_gateway(person: Person) -> Told:
    """All attempts as they come out where nothing stops them."""
    return carry_out(lambda stage, argv: argv, person, rows())
