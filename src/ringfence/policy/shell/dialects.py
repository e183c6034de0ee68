"""Where other shells read a string differently from Bash, so that it must not be judged as if it were Bash's."""

from __future__ import annotations

import re

from ringfence.policy.shell.tree import Dialect

_NAMES = {
    "bash": Dialect.BASH,
    "rbash": Dialect.BASH,
    "sh": Dialect.SH,
    "dash": Dialect.SH,
    "ash": Dialect.SH,
    "ksh": Dialect.SH,
    "mksh": Dialect.SH,
    "zsh": Dialect.ZSH,
    "rzsh": Dialect.ZSH,
    "fish": Dialect.FISH,
}

# Quoted text is looked at as well: a false alarm is a question, and a miss would be a command that nobody saw.
_ZSH = re.compile(
    r"(?:^|[\s;&|(])=[A-Za-z]"  # `=ls` is the path of `ls`
    r"|\*\*|[^\s$<>=(]\(|<[0-9]*-[0-9]*>"  # recursive globs, glob qualifiers, numeric ranges
    r"|\$\{\(|\$\{?[\w@*#?]+[\[:]|\$\{[\^=~+]|\$[=~^+]"  # flags, bare subscripts and modifiers of variables
    r"|=\(|\(\)|&[!|]|>[>&]?!|>>\||;\|"  # process files, anonymous functions, other operators
    r"|(?:^|[\s;&|(])(?:repeat|foreach|nocorrect|noglob|autoload|zmodload|setopt|unsetopt|emulate|always|-)\s"
)
_FISH = re.compile(
    r"[\\(){}\[\]$`~^]|<<|&>|\|&|&\||%self"  # another grammar for all of these
    r"|(?:^|[\s;&|])(?:and|or|not|begin|end|set|if|else|for|while|switch|case|function|abbr|builtin|string|[\w]+=\S*)(?:\s|;|$)"
)


def dialect_of(program: str) -> Dialect | None:
    """The shell of this name, or nothing where it is none that is known."""
    return _NAMES.get(program)


def differs(text: str, dialect: Dialect) -> str | None:
    """Why a string is not certain to mean in this shell what it means in Bash."""
    if dialect is Dialect.ZSH and _ZSH.search(text):
        return "zsh may read it differently"
    if dialect is Dialect.FISH and _FISH.search(text):
        return "fish may read it differently"
    return None
