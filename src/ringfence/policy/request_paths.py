"""What servers may take the path of a request for: as it stands, without escapes, detours, parameters and capitals.

Pure, and it decides nothing. A rule that allows goes by the path as it stands; one that denies or asks, and what a
request does, by all readings.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from ringfence.policy.globs import components

_DETOUR = re.compile(r"[%;\\ ]|//|/\.|\.(?:/|$)|/$")
_SLASH = re.compile(r"[/\\]")
_MOST_DECODED = 4
# SECURITY: `. .` and `.. ` are names to us, and ways up to file systems that drop dots and blanks behind a name.
_AMBIGUOUS = re.compile(r"(?:^|/)[. ]+(?:/|;|$)|//|[\\;\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ODD = re.compile(r"\.[a-z]{2,6}$|[. ](?:/|$)|/ |[:?#]")
_BEHIND = re.compile(r"[?#].*", re.DOTALL)
_STREAM = re.compile(r":+\$.*")
_FORMAT = re.compile(r"(?<=[^.])\.(?:jsonp?|xml|html?|js|txt|csv|ya?ml|atom|rss|pdf|action|do)$")
"""What frameworks take for the format of an answer, and not for a part of its name."""


def plainly(path: str) -> str | None:
    """The path without query and escapes; None where servers could take it for more than one."""
    plain = path.partition("?")[0]
    decoded = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain) if "%" in plain else plain
    if not plain.startswith("/") or not decoded.isascii() or _AMBIGUOUS.search(decoded) or _ESCAPE.search(decoded):
        return None
    return decoded


def leniently(plain: str) -> tuple[tuple[str, ...], ...]:
    """What the most lenient servers take a plain path for, component by component: without capitals; without what they
    drop behind a name; without the format of the answer."""
    folded = plain.lower()
    if not _ODD.search(folded):
        return (components(folded),)
    names = components(_BEHIND.sub("", folded))
    trimmed = tuple(filter(None, (_STREAM.sub("", one).lstrip().rstrip(". ") for one in names)))
    bare = (*trimmed[:-1], _FORMAT.sub("", trimmed[-1])) if trimmed else trimmed
    return tuple(dict.fromkeys((components(folded), trimmed, bare)))


def readings(path: str) -> tuple[str, ...]:
    """The path as it came and, where some servers read it as another one, that one."""
    if not _DETOUR.search(path):
        return (path,)
    plain = path
    for _ in range(_MOST_DECODED):
        plain, before = unquote(plain, "latin-1"), plain
        if plain == before:
            break
    names: list[str] = []
    for part in _SLASH.split(_BEHIND.sub("", plain)):
        name = part.partition(";")[0].rstrip()
        if name == "..":
            del names[-1:]
        elif name.strip(". "):
            names.append(name.rstrip(". "))
    return (path, "/" + "/".join(names))
