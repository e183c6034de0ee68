"""Redaction at the ledger's door: known shapes of secrets are replaced by a keyed hash, and long texts are cut.

The hash lets two uses of one secret be recognised as the same without holding it. This catches careless spelling-out
of secrets, not somebody who hides one: it protects the record, and is no boundary.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable
from hashlib import sha256

import msgspec

TEXT_LIMIT = 4 * 1024
"""Characters of one text that are kept."""
SCRIPT_LIMIT = 16 * 1024
"""Characters that are kept of what is run or called: a policy can be tried on it later."""
ITEMS_LIMIT = 256
"""Words of one list, and effects or reasons of one decision, that are kept."""
EVENT_LIMIT = 64 * 1024
"""Bytes that an event has room for. Where it is longer all the same, its texts are cut shorter."""

_SCRIPTS = frozenset(("argv", "arguments", "environment", "result", "shell", "text"))
_OF_DECISIONS = frozenset(("effects", "observed", "reasons"))
_WHOLE = frozenset(("approval.vote", "battery"))
"""What is signed, or is about no agent."""
_SHORTER = (1, 8, 64)

_PATTERNS = re.compile(
    rb"""
      # API_KEY=value in a command or a file, and ["API_KEY","value"] as our own events spell variables
      (?:API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|PRIVATE_?KEY|ACCESS_?KEY)[A-Z0-9_]*
        (?:=\\?["']?|",") (?P<variable>[^\s"'\\&;,]{6,})
      # ?api_key=value and --token value, as URLs and options spell them
    | (?:[?&]|(?<![\w-])--?(?=[a-z]))[a-z0-9_-]{0,32}
        (?:api[_-]?key|token|secret|password|passwd|credentials?|access[_-]?key|signature)
        (?:=\\?["']?|",") (?P<named>[^\s"'\\&;,]{6,})
    | [Aa](?:uthorization|UTHORIZATION)(?:\\?["'])?\s*[:=]\s*(?:\\?["'])?(?i:bearer|basic|token|bot)\s+
        (?P<header>[A-Za-z0-9._~+/=-]{8,})
    | \b(?P<shape>
        sk-[A-Za-z0-9_-]{20,} | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_\w{40,} | glpat-[\w-]{20,}
        | xox[abprs]-[\w-]{10,} | (?:AKIA|ASIA)[0-9A-Z]{16} | AIza[\w-]{35} | npm_[A-Za-z0-9]{36} | pypi-[\w-]{50,}
        | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})
    | (?P<block>-----BEGIN\ [A-Z ]{0,20}PRIVATE\ KEY-----[^"]{20,8192}?-----END\ [A-Z ]{0,20}PRIVATE\ KEY-----)
    | ://[^\s/:@"]{1,64}:(?P<password>[^\s/@"\\]{3,128})@
    """,
    re.VERBOSE,
)


MARKS = (
    *(b"key", b"token", b"secret", b"passw", b"credential", b"signature", b"uthorization"),
    *(b"xox", b"npm_", b"://", b"akia", b"asia", b"aiza", b"eyj", b"sk-", b"glpat-", b"pypi-"),
    *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
)
"""INVARIANT: whatever a pattern matches holds one of these, in whatever case. Most events hold none, and looking is far
cheaper."""
_RARE_FIRST = b"zjxkw/_gvb-phcuymfdlrsniotae:"
"""How seldom a letter is in an event."""


def _any_of(marks: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Finds any of them in one pass, which stops at the rarest letter of each and nowhere else."""
    around: dict[bytes, list[bytes]] = {}
    for mark in marks:
        at = min(range(len(mark)), key=lambda place: _RARE_FIRST.index(mark[place]))
        before, behind = re.escape(mark[: at + 1]), re.escape(mark[at + 1 :])
        around.setdefault(mark[at : at + 1], []).append(b"(?<=%b)%b" % (before, behind))
    return re.compile(b"|".join(b"%b(?:%b)" % (re.escape(one), b"|".join(all_)) for one, all_ in around.items()))


_MARKED = _any_of(MARKS)


class Redaction:
    """Cleans encoded events. The key is read, or made, when the first secret is met."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._load = key
        self._key: bytes | None = None

    def clean(self, content: bytes) -> bytes:
        """An encoded event without known secrets and without overlong texts; still JSON of the same shape."""
        if is_suspicious(content):
            content = _PATTERNS.sub(self._replace, content)
        if len(content) <= TEXT_LIMIT:
            return content
        value = msgspec.json.decode(content)
        if isinstance(value, dict) and value.get("event") in _WHOLE:
            return content
        # SECURITY: an agent chooses what it is denied, as often as it likes: none of its texts may fill a disk.
        for divisor in _SHORTER:
            cut = msgspec.json.encode(_cut(value, "", divisor))
            if len(cut) <= EVENT_LIMIT:
                break
        return cut

    def _replace(self, found: re.Match[bytes]) -> bytes:
        group = found.lastgroup
        assert group is not None
        secret, whole = found[group], found[0]
        start = found.start(group) - found.start()
        return whole[:start] + self._stand_in(secret) + whole[start + len(secret) :]

    def _stand_in(self, secret: bytes) -> bytes:
        if self._key is None:
            self._key = self._load()
        return b"secret:" + hmac.digest(self._key, secret, "sha256")[:8].hex().encode()


def holds_secret(content: bytes) -> bool:
    """Whether a text holds something of the shape of a secret."""
    return is_suspicious(content) and _PATTERNS.search(content) is not None


def is_suspicious(content: bytes) -> bool:
    """Whether there may be a secret in it, so that it is worth the while to look for one."""
    return _MARKED.search(content.lower()) is not None


def _cut(value: object, key: str, divisor: int) -> object:
    match value:
        case str():
            limit = (SCRIPT_LIMIT if key in _SCRIPTS else TEXT_LIMIT) // divisor
            return value if len(value) <= limit else f"{value[:limit]}{_note(len(value) - limit, 'characters', value)}"
        case dict():
            # A reason has a text as well, and that is none which is run.
            return {name: _cut(item, "" if key in _OF_DECISIONS else name, divisor) for name, item in value.items()}
        case list():
            kept = value[: ITEMS_LIMIT // divisor] if _is_shortened(value, key) else value
            cut = [_cut(item, key, divisor) for item in kept]
            return [*cut, *_instead(value[len(kept) :])]
        case _:
            return value


def _is_shortened(items: list[object], key: str) -> bool:
    # A note in any other list would not be of its type.
    return key in _OF_DECISIONS or all(isinstance(item, str) for item in items)


def _instead(missing: list[object]) -> list[object]:
    """What stands in the place of items that are left out: of the same type as they."""
    if not missing:
        return []
    first = missing[0]
    if not isinstance(first, dict):
        return [_note(len(missing), "words", "\0".join(map(str, missing)))]
    note = _note(len(missing), "like this", msgspec.json.encode(missing).decode())
    return [{name: note if name in ("object", "text") else item for name, item in first.items()}]


def _note(count: int, what: str, whole: str) -> str:
    """What says that something is missing. Who has all of it can show that it is what was recorded."""
    return f"… [cut: {count} more {what}, sha256 {sha256(whole.encode()).hexdigest()}]"


def load_key(path: str) -> bytes:
    """The key of the stand-ins, made on first use for its owner alone."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        pass
    key = os.urandom(32)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fresh = f"{path}.{os.getpid()}"
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb"
    ) as stream:
        stream.write(key)
    try:
        # A link, not a rename: of two sessions that start together, the first one's key stays.
        os.link(fresh, path)
    except FileExistsError:
        return load_key(path)
    finally:
        os.unlink(fresh)
    return key
