"""PHP in a command."""

from __future__ import annotations

from ringfence.policy.tools.code.scan import Words, scan
from ringfence.policy.tools.reading import Reading

_WORDS = Words(
    shells=r"(?<![\w$>:])(?:system|exec|shell_exec|passthru|popen|proc_open|pcntl_exec)\b(?=\s*\()",
    starts=r"`|\bFFI::|\bdl\s*\(",
    builds=r"(?<![\w$>:])(?:eval|assert|create_function|unserialize|call_user_func(?:_array)?)\b\s*\(|\$\w+\s*\(\s*\$"
    r"|\b(?:include|require)(?:_once)?\s*\(?\s*(?:\$|[\"'](?:https?|php|data|phar):)",
    urls=r"\b(?:file_get_contents|fopen|file|copy|curl_init)\b(?=\s*\(\s*[\"']https?:)",
    sockets=r"\bp?fsockopen\b|\bsocket_create\b|\bstream_socket_client\b",
    reads=r"\b(?:file_get_contents|readfile|file|scandir)\b(?=\s*\(\s*[\"'](?!https?:))",
    writes=r"\b(?:file_put_contents|mkdir|chmod|touch)\b",
    deletes=r"\b(?:unlink|rmdir)\b",
    environment=r"\bgetenv\s*\(\s*\)|\$_ENV\b(?!\s*\[)|\bphpinfo\s*\(",
)


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what PHP does."""
    scan(_WORDS, text, reading, home)
