"""SQL and the own commands of its shells: what loses data, and what runs a program or writes a file."""

from __future__ import annotations

import re

from ringfence.model.action import EffectKind
from ringfence.policy.tools.code import saying
from ringfence.policy.tools.reading import Reading

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LOSES = re.compile(
    r"\b(?:drop|truncate)\s+(?:table|database|schema|view|index|role|user|owned|column)?|\balter\b.*\bdrop\b",
    re.I | re.S,
)
_CHANGES_ALL = re.compile(r"\b(?:delete\s+from|update)\b(?!.*\bwhere\b)", re.I | re.S)
_SHELL = re.compile(r"(?:^|\n|;)\s*(?:\\!|\.shell|\.system|system|!)\s+(?P<command>[^\n]+)", re.I)
_PROGRAM = re.compile(
    r"\b(?:to|from)\s+program\s+'(?P<command>[^']*)'|\\[ogw]\s*\|(?P<piped>[^\n]+)|\.(?:import|once|output)\s+\"?\|(?P<other>[^\"\n]+)",
    re.I,
)
_FILE = re.compile(
    r"(?:^|\n)\s*(?:\\[ow]|\.(?:output|once|log|dump|backup|save|excel))\s+(?P<file>[^|\s][^\s]*)|\binto\s+(?:out|dump)file\s+'(?P<into>[^']*)'|\battach\s+(?:database\s+)?'(?P<attached>[^']*)'",
    re.I,
)
_CODE = re.compile(
    r"\bload_extension\s*\(|\.load\b|\bcreate\s+extension\b|\blanguage\s+'?pl\w*u\b|\bpg_read_file|\blo_export|\bxp_cmdshell|\bsys_exec",
    re.I,
)


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what SQL does."""
    plain = _COMMENT.sub(" ", text)
    for statement in plain.split(";"):
        if _LOSES.search(statement) or _CHANGES_ALL.search(statement):
            reading.add(EffectKind.DESTROY, f"data: {' '.join(statement.split())[:60]}")
    for match in (*_SHELL.finditer(plain), *_PROGRAM.finditer(plain)):
        saying.shell(reading, next(value for value in match.groups() if value))
    for match in _FILE.finditer(plain):
        saying.path(reading, EffectKind.WRITE, next(value for value in match.groups() if value), home)
    if (code := _CODE.search(plain)) is not None:
        saying.builds_code(reading, f"`{code[0].strip()}`")
