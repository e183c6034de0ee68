"""Commands of the debuggers GDB and LLDB: those that look and step pass, those that leave the debugger are followed."""

from __future__ import annotations

import re

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.code import saying
from ringfence.policy.tools.reading import Fact, Reading, Role, Started

_SHELL = re.compile(r"(?:shell|!|platform shell|make|pipe\s+[^|]*\||\|[^|]*\|)\s*(.*)", re.DOTALL)
_SOURCE = re.compile(r"(?:source|command source|script)\s+(?:-\S+\s+)*(\S+)")
_LOOKS = re.compile(
    r"(?:bt|backtrace|where|run|r|start|starti|continue|c|cont|quit|q|exit|kill|k|next|n|step|s|nexti|ni|stepi|si|finish|fin|until"
    r"|advance|up|down|frame|f|thread|info|i|help|list|l|disassemble|disas|x|print|p|po|ptype|whatis|output|display|undisplay"
    r"|break|b|br|tbreak|hbreak|rbreak|watch|rwatch|awatch|catch|delete|d|disable|enable|ignore|condition|clear|show|set"
    r"|signal|handle|maint|file|core|core-file|symbol-file|directory|tty|layout|register|memory|image|target|process|breakpoint"
    r"|settings|expression|expr|e|v|frame|inferior|generate-core-file|gcore|taas|tfaas|apply)\b"
)
_CALLS = re.compile(
    r"\b(?:system|popen|exec[lv]p?e?|posix_spawnp?|dlopen|fork|python|eval|remote|extended-remote|exec-wrapper)\b"
)


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what a command of a debugger does."""
    command = text.strip()
    if (found := _SHELL.fullmatch(command)) is not None:
        reading.started.append(Started((Word(text=found[1], raw=found[1]),), "sh", side_door=True))
    elif (found := _SOURCE.match(command)) is not None:
        reading.facts.append(Fact(EffectKind.EXECUTE, found[1], Role.PATH, Word(text=found[1], raw=found[1])))
    elif not _LOOKS.match(command) or _CALLS.search(command):
        saying.builds_code(reading, f"the command `{command}`")
