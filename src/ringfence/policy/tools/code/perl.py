"""Perl in a command."""

from __future__ import annotations

from ringfence.policy.tools.code.scan import Words, scan
from ringfence.policy.tools.reading import Reading

_WORDS = Words(
    shells=r"(?<![\w$@%&>:-])(?:system|exec)\b|(?<!\w)qx(?=\s*[\"'])",
    starts=r"`|(?<!\w)qx\s*[^\s\"'\w]|\bfork\b|\bsyscall\b|\bopen[23]?\b[^;]*?[\"']\s*(?:-\||\|)|\bopen[23]?\b[^;]*?\|\s*[\"']"
    r"|\bIPC::|(?:s|tr)([/|!,#{]).*?\1.*?\1[a-z]*ee",
    builds=r"\beval\b(?!\s*\{)|\bdo\s*[\"'$]|\brequire\s*[\"'$]|\bDynaLoader|\bXSLoader",
    urls=r"\b(?:LWP::Simple::)?getstore|\bgetprint|\bHTTP::Tiny->new->get|\bLWP::UserAgent->new->get",
    sockets=r"\bIO::Socket|\buse\s+Socket\b|(?<![\w$@%])socket\s*\(|-MSocket|-MIO::Socket",
    reads=r"\bopen\b[^;]*?,\s*[\"']<[^\"']*[\"']\s*,",
    writes=r"\bopen\b[^;]*?,\s*[\"']\+?>>?[^\"']*[\"']\s*,",
    deletes=r"(?<!\w)(?:unlink|rmdir|rmtree|remove_tree)\b",
    environment=r"%ENV\b",
)


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what Perl does."""
    scan(_WORDS, text, reading, home)
