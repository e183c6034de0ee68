"""Host names that carry something: a name is asked for, and connected to, before any request is seen. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from ringfence.egress.content.matching import Known

_SHORTEST = 16


class KnownInNames:
    """Looks for what is known in host names, whose letters have lost their case and whose labels have an end."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._known = tuple((one, spelled) for one in known for spelled in _spellings(one.value))

    def find(self, host: str) -> Known | None:
        """What a name carries, over as many labels as it takes."""
        if len(host) < _SHORTEST:
            return None
        plain = host.lower().replace(".", "").replace("-", "").replace("_", "")
        return next((one for one, spelled in self._known if spelled in plain), None)


def _spellings(value: str) -> Iterable[str]:
    """As it is, turned round, in hexadecimal digits and in base32, and large parts of each: a name has little room."""
    raw = value.encode()
    found = [_plain(value), _plain(value)[::-1], binascii.hexlify(raw).decode()]
    found += [one(raw).decode().lower().rstrip("=") for one in (base64.b32encode, base64.b32hexencode)]
    for spelled in found:
        if len(spelled) < _SHORTEST:
            continue
        yield spelled
        if len(spelled) > 2 * _SHORTEST:
            half = len(spelled) // 2
            # From the second half on, base32 of a part that is sent by itself begins anew.
            yield spelled[:half]
            yield spelled[half:]


def _plain(value: str) -> str:
    return "".join(one for one in value.lower() if one.isalnum())
