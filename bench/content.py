"""What it costs to look into what leaves: MB/s by what a body is, and microseconds for a request without one.

`python -m bench content`; of processor time, the best of some rounds.
"""

from __future__ import annotations

import base64
import json
import os
import random
import string
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ringfence.egress.content.known_texts import KnownTexts
from ringfence.egress.content.matching import Forms, Kind, Known
from ringfence.egress.content.patterns import patterns
from ringfence.egress.content.scanning import Scan, Scanner
from ringfence.egress.content.views import Limits

_ROUNDS = 7
_SOURCE = Path(__file__).parent.parent / "src"


def main(words: list[str] | None = None) -> int:
    """Print the figures."""
    lot = random.Random(5)
    letters = string.ascii_letters + string.digits
    credentials = [Known(Kind.CREDENTIAL, str(at), "".join(lot.choices(letters, k=40))) for at in range(20)]
    scanner, knowing = _scanner(()), _scanner(credentials)
    code = b"".join(one.read_bytes() for one in sorted(_SOURCE.rglob("*.py")))[:1_000_000]
    bodies = {
        "prose": b"the quick brown fox jumps over the lazy dog, and again. " * 18_000,
        "code": code,
        "code in a prompt (JSON)": json.dumps({"messages": [{"content": code.decode()}]}).encode(),
        "an image in a prompt (base64)": base64.b64encode(lot.randbytes(750_000)),
        "random bytes": os.urandom(1_000_000),
    }
    print("looking into what leaves")
    for name, body in bodies.items():
        seconds = _best(lambda body=body: Scan(scanner).text("the body", body))  # type: ignore[misc]
        known = _best(lambda body=body: Scan(knowing).text("the body", body))  # type: ignore[misc]
        print(f"  {name:<32}{len(body) / seconds / 1e6:8.1f} MB/s, {len(body) / known / 1e6:6.1f} with 20 credentials")
    head = b"\r\n".join(b"header-%d: some value; q=0.5, text/html" % number for number in range(15))

    def request(scanner: Scanner) -> None:
        scan = Scan(scanner)
        for place, text in (("the path", b"/api/v1/things/7"), ("the query", b"?page=2"), ("the headers", head)):
            scan.text(place, text)

    small = json.dumps({f"key-{at}": {"name": "abc", "text": "some longer text " * 3} for at in range(60)}).encode()
    for name, of in (
        ("a request without a body", request),
        ("a small one in JSON (6 KB)", lambda one: Scan(one).text("the body", small)),
    ):
        without, known = (_best(partial(of, one)) * 1e6 for one in (scanner, knowing))
        print(f"  {name:<32}{without:8.1f} us,   {known:6.1f} with 20 credentials")
    return 0


def _scanner(known: Sequence[Known]) -> Scanner:
    return Scanner(
        forms=Forms(patterns()),
        known=KnownTexts(known),
        limits=Limits(seconds=60),
        clock=time.thread_time,
        digest=lambda _: "",
    )


def _best(what: Callable[[], object]) -> float:
    found = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        what()
        found.append(time.thread_time() - began)
    return min(found)
