"""SQL and the own commands of its clients: what loses data, what runs a program, what reads or writes a file.

The words are looked for everywhere in the text, also in what looks like a string, because clients differ about where a
string ends. A database in a file of the workspace is a file like others: losing its rows needs no question.
"""

from __future__ import annotations

import re

from ringfence.model.action import EffectKind
from ringfence.policy.tools.code import saying
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.reading import Reading

_COMMENT = re.compile(r"--[^\n]*|/\*(?!!).*?\*/", re.DOTALL)
_LOSES = re.compile(
    r"\b(?:drop|truncate)\s+(?:table|database|schema|view|index|role|user|owned|column|keyspace|collection)?"
    r"|\balter\b.*\bdrop\b",
    re.I | re.S,
)
_CHANGES_ALL = re.compile(r"\b(?:delete\s+from|update\s+\S+\s+set)\b(?!.*\bwhere\b)", re.I | re.S)
_SHELL = re.compile(
    r"\\!\s*(?P<escaped>[^\n]+)|(?:^|[\n;])\s*(?:\.shell|\.system|\.sh|system|!!?)\s*(?P<command>[^\n;]+)", re.I
)
_PROGRAM = re.compile(
    r"\b(?:to|from)\s+program\s+'(?P<command>[^']*)'|\\(?:[owg]x?|lo_export)\s*\|(?P<piped>[^\n]+)"
    r"|\.(?:import|once|output|read|log|excel)\s+(?:-\S+\s+)*['\"]?\|(?P<other>[^\"'\n]+)"
    r"|(?:^|[\n;])\s*(?:\\P|pager)\s+(?P<pager>[^\n;]+)|\\set\s+\w+\s+`(?P<quoted>[^`]*)`",
    re.I,
)
_WRITES = re.compile(
    r"(?:^|[\n;])\s*(?:\\[owT]|\\out|tee|\.(?:output|once|log|backup|save|clone|trace|excel|open))"
    r"\s+(?:--?\w+\s+)*['\"]?(?P<file>[^|\s'\";-][^\s'\";]*)"
    r"|\binto\s+(?:out|dump)file\s+['\"](?P<into>[^'\"]*)['\"]|\battach\s+(?:database\s+)?(?:if\s+not\s+exists\s+)?['\"](?P<attached>[^'\"]*)['\"]"
    r"|\bcopy\b[^;]*?\bto\s+['\"]?(?P<copied>[\w./~-]*[./][\w./~-]*)['\"]?|\bwritefile\s*\(\s*'(?P<written>[^']*)'"
    r"|\bvacuum\s+(?:\w+\s+)?into\s+'(?P<vacuumed>[^']*)'|\b(?:export\s+database)\s+'(?P<exported>[^']*)'"
    r"|\\g\s+(?P<result>[^|\s]\S*)|\blo_export\s*\([^,]*,\s*'(?P<object>[^']*)'",
    re.I,
)
_READS = re.compile(
    r"\binfile\s+['\"](?P<infile>[^'\"]*)['\"]|\bcopy\b[^;]*?\bfrom\s+(?:'(?P<quoted>[^']*)'|(?P<copied>[\w./~-]*[./][\w./~-]*))"
    r"|\b(?:readfile|load_file|pg_read_file|pg_read_binary_file|lsdir|read_text|read_blob|read_csv(?:_auto)?|read_parquet"
    r"|read_json(?:_auto)?|parquet_scan|lo_import|file)\s*\(\s*['\"](?P<called>[^'\"]*)['\"]"
    r"|(?:^|[\n;])\s*\.(?:import|restore)\s+(?:--?\w+\s+)*['\"]?(?P<imported>[^|\s'\"-][^\s'\"]*)"
    r"|\b(?:from|join)\s+'(?P<table>[^']*[./][^']*)'|\bimport\s+database\s+'(?P<database>[^']*)'",
    re.I,
)
_SCRIPTS = re.compile(
    r"(?:^|[\n;])\s*(?:\\ir?|\\include|\\\.|source|\.read)\s+['\"]?(?P<script>[^|\s'\";][^\s'\";]*)", re.I
)
_REACHES = re.compile(r"(?:^|[\n;])\s*\\c(?:onnect)?\s+(?P<where>[^\n;]+)", re.I)
_CODE = re.compile(
    r"\bload_extension\s*\(|\.load\b|\binstall\s+\w+\s+from\b|(?:^|[\n;])\s*load\s+'[^']*[/.][^']*'|\bcreate\s+(?:or\s+replace\s+)?extension\b"
    r"|\blanguage\s+'?(?:pl\w*u|c)\b|\bcreate\s+(?:aggregate\s+)?function\b.*\bsoname\b|\bpg_ls_dir|\bxp_cmdshell|\bsys_(?:exec|eval)"
    r"|\bexecutable\s*\(|\bfts3_tokenizer\s*\(|\bedit\s*\(|\bdo\s+\$|\binstall\s+plugin\b|\bgexec\b",
    re.I | re.S,
)
_NAMES_PROGRAMS = re.compile(
    r"\b(?:archive_command|restore_command|ssl_passphrase_command|local_preload_libraries|session_preload_libraries|shared_preload_libraries|dynamic_library_path|secure_file_priv|general_log_file)\b",
    re.I,
)
_NO_FILE = frozenset({"off", "stdout", "stderr", "on", ":memory:", "-"})


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what SQL for a server does."""
    plain = _COMMENT.sub(" ", text)
    for statement in plain.split(";"):
        if _LOSES.search(statement) or _CHANGES_ALL.search(statement):
            reading.add(EffectKind.DESTROY, f"data: {' '.join(statement.split())[:60]}")
    if (named := _NAMES_PROGRAMS.search(plain)) is not None and re.search(r"\b(?:set|alter)\b", plain, re.I):
        reading.add(EffectKind.CONFIGURE, f"the server: {named[0]}")
    _client(text, reading, home)


def read_embedded(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what SQL on a database in a file does."""
    _client(text, reading, home)


def _client(text: str, reading: Reading, home: str | None) -> None:
    # SECURITY: what is a comment in SQL is an option in a client's own command (`.import --csv FILE`): both are read.
    for plain in dict.fromkeys((text, _COMMENT.sub(" ", text))):
        _commands(plain, reading, home)


def _commands(plain: str, reading: Reading, home: str | None) -> None:
    for match in (*_SHELL.finditer(plain), *_PROGRAM.finditer(plain)):
        saying.shell(reading, _value(match).strip())
    for match in _WRITES.finditer(plain):
        _file(_value(match), EffectKind.WRITE, reading, home)
    for match in _READS.finditer(plain):
        _file(_value(match), EffectKind.READ, reading, home)
    for match in _SCRIPTS.finditer(plain):
        saying.script(reading, _value(match))
    for match in _REACHES.finditer(plain):
        _connect(match["where"].split(), reading)
    if (code := _CODE.search(plain)) is not None:
        saying.builds_code(reading, f"`{' '.join(code[0].split())[:40]}`")


def _value(match: re.Match[str]) -> str:
    return next((value for value in match.groups() if value), "")


def _file(name: str, kind: EffectKind, reading: Reading, home: str | None) -> None:
    if scheme_of(name) in {"http", "https"}:
        saying.url(reading, name)
    elif name and name.lower() not in _NO_FILE and not scheme_of(name):
        saying.path(reading, kind, name.removeprefix("file:").partition("?")[0], home)


def _connect(words: list[str], reading: Reading) -> None:
    """`\\c DATABASE USER HOST PORT`, or an address."""
    host = words[2] if len(words) > 2 else ""
    if scheme_of(words[0]):
        saying.url(reading, words[0])
    elif host and host != "-" and not host.startswith("/"):
        saying.host(reading, host, int(words[3]) if len(words) > 3 and words[3].isdecimal() else 5432)


_MONGO_LOSES = re.compile(
    r"\.(?:drop\w*|deleteMany\s*\(\s*\{\s*\}|remove\s*\(\s*\{\s*\}|shutdownServer)\b|\bdropDatabase\b"
)
_MONGO_RUNS = re.compile(
    r"\b(?:require|child_process|run|runProgram|load|eval|Function|process|import|runMongoProgram)\s*\(|\$where|\$function"
)


def read_mongo(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what a line of `mongosh` does: JavaScript with the database in it."""
    if (loses := _MONGO_LOSES.search(text)) is not None:
        reading.add(EffectKind.DESTROY, f"data: {' '.join(text[loses.start() :].split())[:60]}")
    if (runs := _MONGO_RUNS.search(text)) is not None:
        saying.builds_code(reading, f"`{runs[0]}`")
