"""Values of options and operands of compilers, interpreters and package managers that have a grammar of their own.
Each says what the value reads, writes, reaches or starts; all else of it is text."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading, Started


def _given(kind: str, text: str, reading: Reading) -> None:
    GIVES[kind](Word(text=text, raw=text), reading)


def _pipe_or_file(word: Word, reading: Reading) -> None:
    """A file to write; behind `|` or `!` a shell string that takes the output (`strace -o`)."""
    text = shown(word)
    if text.startswith(("|", "!")):
        command = Word(text=text[1:], raw=text[1:])
        reading.started.append(Started((command,), "sh", side_door=True))
    else:
        GIVES["write"](word, reading)


def _kernel_setting(word: Word, reading: Reading) -> None:
    """`NAME=VALUE` of `sysctl` sets; a name alone is shown."""
    name, equals, _ = shown(word).partition("=")
    if equals or word.text is None:
        reading.add(EffectKind.PRIVILEGE, f"host kernel setting {name}")


def _expanded(word: Word, reading: Reading) -> None:
    """Text that the shell expands once more (`let`, `read`, `compgen -W`): a substitution in it runs."""
    text = shown(word)
    if word.text is not None and ("$(" in text or "`" in text or "@P}" in text):
        command = f': "{text}"'
        reading.started.append(Started((Word(text=command, raw=command),), "sh", side_door=True))


def _bound_command(word: Word, reading: Reading) -> None:
    """`bind -x '"KEYS": COMMAND'`."""
    command = shown(word).partition(":")[2].strip() or shown(word)
    reading.started.append(Started((Word(text=None if word.text is None else command, raw=command),), "sh", True))


def _declared(word: Word, reading: Reading) -> None:
    """`NAME=VALUE` of `export` and `declare`; the subscript of a name is expanded once more."""
    name, equals, _ = shown(word).partition("=")
    _expanded(Word(text=name, raw=name), reading)
    if equals:
        GIVES["environment"](word, reading)


def _file_or_url(word: Word, reading: Reading) -> None:
    """What a program reads from a file or fetches from an address."""
    GIVES["url" if word.text is not None and scheme_of(word.text) else "read"](word, reading)


def _key_file(word: Word, reading: Reading) -> None:
    """`KEY=PATH` or a path (`kubectl create secret --from-file`)."""
    text = shown(word)
    _given("read", text.partition("=")[2] or text, reading)


def _at_path(word: Word, reading: Reading) -> None:
    """`@PATH` reads; all else is the value itself."""
    text = shown(word)
    if text.startswith("@"):
        _given("read", text[1:], reading)


def _chart(word: Word, reading: Reading) -> None:
    """A chart: a folder or archive, an address, or `REPOSITORY/NAME`."""
    text = shown(word)
    if scheme_of(text):
        GIVES["url"](word, reading)
    elif text.startswith((".", "/", "~")) or text.endswith((".tgz", ".tar.gz")):
        GIVES["read"](word, reading)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "at-path": _at_path,
    "bound-command": _bound_command,
    "chart": _chart,
    "declared": _declared,
    "expanded": _expanded,
    "file-or-url": _file_or_url,
    "kernel-setting": _kernel_setting,
    "key-file": _key_file,
    "pipe-or-file": _pipe_or_file,
}
"""Kinds of value with a grammar of their own, by name."""
