"""Redaction at the ledger's door: known shapes of secrets are replaced by a keyed hash, and long texts are cut.

The hash lets two uses of one secret be recognised as the same without holding it. This catches careless spelling-out
of secrets, not somebody who hides one: it protects the record, and is no boundary.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable

import msgspec

TEXT_LIMIT = 16 * 1024
"""Characters of one text that are kept."""
ITEMS_LIMIT = 256
"""Words of one list that are kept."""

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
        return msgspec.json.encode(_cut(msgspec.json.decode(content)))

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


def _cut(value: object) -> object:
    match value:
        case str() if len(value) > TEXT_LIMIT:
            return f"{value[:TEXT_LIMIT]}… [cut: {len(value) - TEXT_LIMIT} more characters]"
        case dict():
            return {key: _cut(item) for key, item in value.items()}
        case list():
            kept = [_cut(item) for item in value[:ITEMS_LIMIT]] if _are_words(value) else [_cut(item) for item in value]
            missing = len(value) - len(kept)
            return [*kept, f"… [cut: {missing} more words]"] if missing else kept
        case _:
            return value


def _are_words(items: list[object]) -> bool:
    # Only lists of texts are shortened: a note in any other list would not be of its type.
    return len(items) > ITEMS_LIMIT and all(isinstance(item, str) for item in items)


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
