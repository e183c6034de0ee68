"""JavaScript in a command, as Node, Bun and Deno run it."""

from __future__ import annotations

from ringfence.policy.tools.code.scan import Words, scan
from ringfence.policy.tools.reading import Reading

_WORDS = Words(
    shells=r"\b(?:execSync|execFileSync|execFile|spawnSync|spawn|(?<=\.)exec(?=\(\s*[\"'`](?!\w+[\"'`]\s*\)\s*\[))"
    r"|fork|Bun\.spawn|Bun\.spawnSync|Deno\.run|Deno\.Command)\b(?=\s*\()",
    starts=r"child_process['\"]\s*\)\s*(?![.;,\n])(?!\s*$)|process\.binding|process\.dlopen|\bBun\.\$`",
    builds=r"\beval\s*\(|\bnew\s+Function\b|\bFunction\s*\(\s*[\"'`]|\bvm\.run|\brequire\s*\(\s*(?![\"'`\s])"
    r"|\bimport\s*\(\s*(?![\"'`\s])|\bprocess\.mainModule|\bglobal(?:This)?\s*\[",
    urls=r"\b(?:fetch|https?\.(?:get|request)|axios(?:\.\w+)?|got|undici\.\w+|new\s+WebSocket)\b(?=\s*\()",
    sockets=r"\bnet\.(?:connect|createConnection|Socket)|\brequire\s*\(\s*[\"'](?:node:)?(?:net|tls|dgram)[\"']",
    reads=r"\b(?:readFile|createReadStream|readdir)(?:Sync)?",
    writes=r"\b(?:writeFile|appendFile|createWriteStream|mkdir|chmod|symlink|truncate)(?:Sync)?",
    deletes=r"\b(?:unlink|rm|rmdir)(?:Sync)?(?=\s*\()",
    environment=r"\bprocess\.env\b(?!\s*[.\[])",
)


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what JavaScript does."""
    scan(_WORDS, text, reading, home)
