"""Ruby in a command."""

from __future__ import annotations

from ringfence.policy.tools.code.scan import Words, scan
from ringfence.policy.tools.reading import Reading

_WORDS = Words(
    shells=r"(?<![\w$@:])(?:Kernel\.)?(?:system|exec|spawn)\b(?!\s*=)|\bIO\.popen\b|\bOpen3\.\w+",
    starts=r"`|%x\s*[^\w\s]|\bfork\b|\bPTY\.|\bopen\s*\(?\s*[\"']\|",
    builds=r"(?<![\w.])eval\b|\b(?:instance|class|module)_eval\s*\(?\s*[\"'%]|\b(?:send|public_send|__send__)\b|\bMarshal\.load"
    r"|\bFiddle|\bload\s+[\"'/]|\bmethod\s*\(\s*:",
    urls=r"\bURI\.open|\bNet::HTTP\.\w+|\bURI\.parse|(?<!\w)open(?=\s*\(?\s*[\"']https?:)",
    sockets=r"\b(?:TCP|UDP|UNIX)Socket\b|\bSocket\.|\bTCPServer\b",
    reads=r"\b(?:File|IO)\.(?:read|readlines|foreach|open|new)",
    writes=r"\b(?:File|IO)\.(?:write|binwrite)|\bFileUtils\.(?:mkdir|mkdir_p|touch|chmod)|\bDir\.mkdir",
    deletes=r"\b(?:File|Dir)\.(?:delete|unlink|rmdir)|\bFileUtils\.rm\w*",
    environment=r"\bENV\b(?!\s*[\[.])|\bENV\.(?:to_h|each|inspect|map)",
)


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what Ruby does."""
    scan(_WORDS, text, reading, home)
