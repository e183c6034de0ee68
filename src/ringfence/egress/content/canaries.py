"""Credentials that open nothing, put where somebody who collects credentials looks, so that their leaving is seen.

They are made anew for each session. Pure: randomness comes in as an argument.
"""

from __future__ import annotations

from base64 import b64encode

import msgspec

from ringfence.egress.content.matching import Kind, Known
from ringfence.egress.credentials.secret import ALPHABET, UPPER, Token, letters
from ringfence.model.shown import PlacedFile

VARIABLE = "BACKUP_ACCESS_TOKEN"
"""No program reads a variable of this name."""
_AWS = "~/.aws/credentials"
_SSH = "~/.ssh/id_backup"
_PLACES = (_AWS, _SSH)
_LINE = 70


class Canaries(msgspec.Struct, frozen=True, kw_only=True):
    """What is put inside for one session."""

    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[PlacedFile, ...] = ()
    known: tuple[Known, ...] = ()
    """What to look for."""


def canaries(home: str, token: Token, *, is_free: bool) -> Canaries:
    """New ones. `is_free`: whether files may be put into the home folder inside.

    Nothing uses them by itself: the variable has a name of its own, the keys of AWS stand under a profile that has to
    be asked for, and `ssh` tries no key of that name.
    """
    said = letters(40, token)
    found = [Known(Kind.CANARY, f"variable {VARIABLE}", said)]
    if not is_free:
        return Canaries(variables=((VARIABLE, said),), known=tuple(found))
    key, secret = "AKIA" + letters(16, token, UPPER), letters(40, token, ALPHABET + "+/")
    aws = f"[backup]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\nregion = eu-central-1\n"
    block = _openssh(token)
    found += [Known(Kind.CANARY, _AWS, key), Known(Kind.CANARY, _AWS, secret)]
    # Any whole line of it is enough, but the first, which all keys of that kind have.
    found += [Known(Kind.CANARY, _SSH, line) for line in block.splitlines()[2:-2] if len(line) == _LINE]
    files = (
        PlacedFile(path=_AWS.replace("~", home), content=aws.encode(), mode=0o600, made=True),
        PlacedFile(path=_SSH.replace("~", home), content=block.encode(), mode=0o600, made=True),
    )
    return Canaries(variables=((VARIABLE, said),), files=files, known=tuple(found))


def places(home: str) -> tuple[str, ...]:
    """Where files would be put."""
    return tuple(place.replace("~", home) for place in _PLACES)


def _openssh(token: Token) -> str:
    """What looks like a key of OpenSSH, and is none: behind its head nothing is right."""
    head = b"openssh-key-v1\0\0\0\0\4none\0\0\0\4none\0\0\0\0\0\0\0\1\0\0\0\x33\0\0\0\x0bssh-ed25519\0\0\0\x20"
    coded = b64encode(head + token(240)).decode()
    lines = [coded[at : at + _LINE] for at in range(0, len(coded), _LINE)]
    words = ("BEGIN", "END")
    begin, end = (f"-----{word} OPENSSH PRIVATE KEY-----" for word in words)
    return "\n".join((begin, *lines, end, ""))
