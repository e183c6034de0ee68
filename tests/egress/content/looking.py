"""A scanner as a session has it, and secrets drawn by lot."""

from __future__ import annotations

import hashlib
import random
import string
import time

from ringfence.egress.content.known_texts import KnownTexts
from ringfence.egress.content.matching import Forms, Kind, Known
from ringfence.egress.content.patterns import patterns
from ringfence.egress.content.scanning import Scanner
from ringfence.egress.content.views import Limits

_LOT = random.Random(5)


def letters(length: int) -> str:
    """Letters and digits."""
    return "".join(_LOT.choice(string.ascii_letters + string.digits) for _ in range(length))


TOKEN = "gh" + "p_" + letters(36)
CANARY = letters(40)
CREDENTIAL = letters(48)
KNOWN = (Known(Kind.CANARY, "variable X", CANARY), Known(Kind.CREDENTIAL, "deploy", CREDENTIAL))


def digest(value: bytes) -> str:
    """As a session's, without its key."""
    return hashlib.sha256(value).hexdigest()[:12]


def scanner(*, forms: bool = True, **limits: float) -> Scanner:
    """One that knows a canary and a credential."""
    return Scanner(
        forms=Forms(patterns()) if forms else None,
        known=KnownTexts(KNOWN),
        limits=Limits(**limits),  # type: ignore[arg-type]
        clock=time.perf_counter,
        digest=digest,
    )
