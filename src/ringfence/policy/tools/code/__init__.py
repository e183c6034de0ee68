"""Code that stands in a command: what it starts, opens and reaches, language by language.

Each reader looks at the text as the language reads it. What it does not understand it says; a text that does nothing
but compute passes without a question.
"""

from __future__ import annotations

from collections.abc import Callable

from ringfence.model.decision import Verdict
from ringfence.policy.tools.code import awk, gdb, node, perl, php, python, ruby, sed, sql
from ringfence.policy.tools.reading import Reading

MAX_CHARACTERS = 20_000

_READERS: dict[str, Callable[[str, Reading, str | None], None]] = {
    "python": python.read,
    "node": node.read,
    "perl": perl.read,
    "ruby": ruby.read,
    "php": php.read,
    "sed": sed.read,
    "awk": awk.read,
    "sql": sql.read,
    "gdb": gdb.read,
    "sqlite": sql.read_embedded,
    "duckdb": sql.read_embedded,
    "mongo": sql.read_mongo,
}
_ALIASES = {"javascript": "node", "js": "node", "typescript": "node", "python3": "python", "gawk": "awk"}
_QUIET = frozenset({"jq", "yq", "lua", "bc", "gnuplot", "r", "cmake"})


def read_code(language: str, text: str, *, home: str | None) -> Reading:
    """What a text in a language does."""
    reading = Reading(language)
    if len(text) > MAX_CHARACTERS:
        why = f"the {language} code has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}"
        reading.concerns.append(("code.size", Verdict.ASK, why))
        return reading
    reader = _READERS.get(_ALIASES.get(language, language))
    if reader is not None:
        reader(text, reading, home)
    elif language not in _QUIET or any(word in text for word in ("execute", "popen", "system", "load")):
        why = f"what {language} code does cannot be seen here"
        reading.concerns.append(("code.unseen", Verdict.ASK, why))
    return reading
