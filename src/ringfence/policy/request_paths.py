"""What servers may take the path of a request for, and the keys of its query: as they stand, without escapes, detours,
parameters and capitals.

Pure, and it decides nothing. A rule that allows goes by the path as it stands; one that denies or asks, and what a
request does, by all readings.
"""

from __future__ import annotations

import re
from itertools import chain
from unicodedata import category, normalize
from urllib.parse import unquote

from ringfence.policy.globs import components

_DETOUR = re.compile(r"[%;\\ ]|//|/\.|\.(?:/|$)|/$")
_SLASH = re.compile(r"[/\\]")
_MOST_DECODED = 4
# SECURITY: `. .` and `.. ` are names to us, and ways up to file systems that drop dots and blanks behind a name.
_AMBIGUOUS = re.compile(r"(?:^|/)[. ]+(?:/|;|$)|//|[\\;\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
# SECURITY: `%u0061` is an `a` to some servers, and nothing to the standard.
_STILL_ESCAPED = re.compile(r"%(?:[0-9A-Fa-f]{2}|[uU][0-9A-Fa-f]{4})")
_WAY_UP = re.compile(r"(?:^|/)[. ]+(?:/|;|$)|^//|[\x00-\x1f\x7f]")
_PARAMETERS = re.compile(r";[^/]*")
_TAKEN_FOR_SLASHES = frozenset("\u2044\u2215\u2216\u29f5\u29f8\u29f9\u00a5\u20a9")
"""Fractions, set minus and the currencies that stand where other code pages have a backslash."""
_ODD = re.compile(r"\.[a-z]{2,6}$|[. ](?:/|$)|/ |[:?#]")
_BEHIND = re.compile(r"[?#].*", re.DOTALL)
_STREAM = re.compile(r":+\$.*")
_FORMAT = re.compile(r"(?<=[^.])\.(?:jsonp?|xml|html?|js|txt|csv|ya?ml|atom|rss|pdf|action|do)$")
"""What frameworks take for the format of an answer, and not for a part of its name."""

_LIST = re.compile(r"\[.*", re.DOTALL)
_STROKES = str.maketrans("øØłŁđĐħĦŧŦðÐ", "oOlLdDhHtTdD")
"""Letters without a mark to take off, which databases hold for those without the stroke."""


def plainly(path: str) -> str | None:
    """The path without query and escapes; None where servers could take it for more than one."""
    plain = path.partition("?")[0]
    decoded = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain) if "%" in plain else plain
    if not plain.startswith("/") or not decoded.isascii() or _AMBIGUOUS.search(decoded):
        return None
    return None if "%" in decoded and _STILL_ESCAPED.search(decoded) else decoded


def leniently(plain: str) -> tuple[tuple[str, ...], ...]:
    """What the most lenient servers take a plain path for, component by component: without capitals; without what they
    drop behind a name; without the format of the answer."""
    folded = plain.lower()
    if not _ODD.search(folded):
        return (components(folded),)
    found = [components(folded)]
    # SECURITY: what one server cuts off is a name to another, which drops something else.
    cut = _BEHIND.sub("", folded)
    streams = ("/".join(_STREAM.sub("", one) for one in text.split("/")) for text in (folded, cut))
    for text in dict.fromkeys((folded, cut, *streams)):
        trimmed = tuple(filter(None, (one.lstrip().rstrip(". ") for one in components(text))))
        bare = (*trimmed[:-1], _FORMAT.sub("", trimmed[-1])) if trimmed else trimmed
        found += [trimmed, bare]
    return tuple(dict.fromkeys(found))


def every_meaning(path: str) -> tuple[str, ...] | None:
    """What servers may take a path for that is not plain; None where no list of that ends: it may lead up, is escaped
    without end, or has bytes that are no text."""
    text = path.partition("?")[0]
    if not text.startswith("/"):
        return None
    found: dict[str, None] = {}
    left: tuple[str, ...] = (text,)
    for _ in range(_MOST_DECODED):
        # SECURITY: who cuts parameters off before he decodes cuts off the slashes that are escaped in them, too.
        before = chain.from_iterable((each, _PARAMETERS.sub("", each)) for each in left)
        try:
            decoded = tuple(dict.fromkeys(unquote(each, errors="strict") for each in before))
        except UnicodeDecodeError:
            return None
        for spelled in chain.from_iterable(_separated(one) for each in decoded for one in _spelled(each)):
            if _WAY_UP.search(spelled) or any(map(_is_invisible, spelled)):
                return None
            found[spelled] = None
        left = tuple(each for each in decoded if _STILL_ESCAPED.search(each))
        if not left:
            return tuple(found)
    return None


def query_key(key: str) -> str:
    """What the most lenient servers take a key of a query for: without capitals, blanks and what makes a list of it."""
    return _LIST.sub("", key.partition("\0")[0].strip().casefold()).replace(".", "_").replace(" ", "_")


def every_name(path: str) -> tuple[tuple[str, ...], ...]:
    """The names in a path: without empty ones, and with them."""
    names = components(path)
    return (names, tuple(path.split("/")[1:])) if "//" in path else (names,)


def _spelled(text: str) -> tuple[str, ...]:
    """How file systems and databases write a text that they hold for the same: `\uff41`, `\u00e1` and `\u0131` too."""
    if text.isascii():
        return (text,)
    bare = "".join(one for one in normalize("NFKD", text) if category(one)[0] != "M").translate(_STROKES)
    return tuple(dict.fromkeys((text, normalize("NFKC", text), bare, text.upper().lower(), bare.upper().lower())))


def _separated(text: str) -> tuple[str, ...]:
    """With a backslash as it stands and as a slash; with parameters, without, and without all that follows them."""
    slashed = dict.fromkeys((text, text.replace("\\", "/")))
    return tuple(
        dict.fromkeys(one for each in slashed for one in (each, _PARAMETERS.sub("", each), each.partition(";")[0]))
    )


def _is_invisible(character: str) -> bool:
    return not character.isascii() and (category(character)[0] in "CZ" or character in _TAKEN_FOR_SLASHES)


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
