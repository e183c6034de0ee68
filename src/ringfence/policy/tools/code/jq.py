"""A filter of jq or yq: it only computes, but it may show every variable of the environment."""

from __future__ import annotations

import re

from ringfence.policy.tools.code import saying
from ringfence.policy.tools.reading import Reading

_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_ENVIRONMENT = re.compile(r"(?:\$ENV|(?<![\w.$@])env)\b(?!\s*(?:[.\[(:]))")


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what a filter does."""
    # What stands in a string by `\(...)` is code too.
    code = _STRING.sub(lambda found: found[0] if "\\(" in found[0] else '""', text)
    if _ENVIRONMENT.search(code):
        saying.whole_environment(reading)
