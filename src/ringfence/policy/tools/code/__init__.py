"""Code that stands in a command: what it starts, opens and reaches, language by language.

Each reader looks at the text as the language reads it. What it does not understand it says; a text that does nothing
but compute passes without a question.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Iterator

from ringfence.model.decision import Verdict
from ringfence.policy.tools.code import awk, gdb, jq, node, perl, php, python, ruby, sed, sql
from ringfence.policy.tools.reading import Reading

_QUOTED_PATH = re.compile(r"""["'`(](?=((?:~?/|\.)[^\s"'`()\\,;]*))""")
_ASKS_FOR_HOME = re.compile(r"home|expanduser|USERPROFILE", re.IGNORECASE)
MAX_CHARACTERS = 20_000

_READERS: dict[str, Callable[[str, Reading, str | None], None]] = {
    "python": python.read,
    "node": node.read,
    "perl": perl.read,
    "ruby": ruby.read,
    "php": php.read,
    "sed": sed.read,
    "awk": awk.read,
    "jq": jq.read,
    "yq": jq.read,
    "sql": sql.read,
    "gdb": gdb.read,
    "sqlite": sql.read_embedded,
    "duckdb": sql.read_embedded,
    "mongo": sql.read_mongo,
}
_MOST_MENTIONS = 64
_ALIASES = {"javascript": "node", "js": "node", "typescript": "node", "python3": "python", "gawk": "awk"}
_QUIET = frozenset({"lua", "bc", "gnuplot", "r", "cmake"})


def read_code(language: str, text: str, *, home: str | None) -> Reading:
    """What a text in a language does."""
    reading = Reading(language)
    if len(text) > MAX_CHARACTERS:
        why = f"the {language} code has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}"
        reading.concerns.append(("code.size", Verdict.ASK, why))
        return reading
    reading.mentions.extend(_mentions(text, home))
    reader = _READERS.get(_ALIASES.get(language, language))
    if reader is not None:
        reader(text, reading, home)
    elif language not in _QUIET or any(word in text for word in ("execute", "popen", "system", "load")):
        why = f"what {language} code does cannot be seen here"
        reading.concerns.append(("code.unseen", Verdict.ASK, why))
    return reading


def _mentions(text: str, home: str | None) -> Iterator[str]:
    """The paths in strings of the code. Those of code that asks where home is may lie there."""
    places = ("",) if home is None or _ASKS_FOR_HOME.search(text) is None else ("", home)
    for match in itertools.islice(_QUOTED_PATH.finditer(text), _MOST_MENTIONS):
        path = match[1]
        if path.startswith("~"):
            if home is not None:
                yield home + path[1:]
            continue
        for place in places:
            if place or path.startswith("/"):
                yield posixpath.join(f"{place}/", path.lstrip("/")) if place else path
