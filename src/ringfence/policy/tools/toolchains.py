"""Values of options and operands of compilers, interpreters and package managers that have a grammar of their own.
Each says what the value reads, writes, reaches or starts; all else of it is text."""

from __future__ import annotations

import re
from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.kinds import GIVES, is_pinned, outside_script, shown, split_words
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


def _required(word: Word, reading: Reading) -> None:
    """What an interpreter loads first: a module by its name, or a file."""
    text = word.text
    if text is None or text.startswith((".", "/", "~", "file:")):
        GIVES["script"](word, reading)
        outside_script(word, reading)
    elif scheme_of(text) in {"http", "https", "data"}:
        reading.add(EffectKind.EXECUTE, f"remote package {text}")
        GIVES["url"](word, reading)


def _listen(word: Word, reading: Reading) -> None:
    """`HOST:PORT` or a port to listen at: beyond this machine it is offered to others."""
    host = shown(word).rpartition(":")[0] or shown(word)
    if word.text is None or not (host.isdecimal() or host in {"localhost", "127.0.0.1", "[::1]", "::1"}):
        reading.add(EffectKind.PUBLISH, f"at {shown(word)}")


def _fetched_script(word: Word, reading: Reading) -> None:
    """A script: a file, or an address or package that is fetched."""
    text = word.text
    if text is not None and scheme_of(text) in {"http", "https"}:
        reading.add(EffectKind.EXECUTE, f"remote package {text}")
        GIVES["url"](word, reading)
    elif text is not None and text.startswith(("npm:", "jsr:")):
        reading.add(EffectKind.EXECUTE, f"remote package {text}")
    else:
        GIVES["script"](word, reading)


_PERL_MODULE = re.compile(r"-?[\w:]+(?:=[\w:,.$@%&-]*)?|-?[\w:]+ qw\([\w ]*\)")


def _perl_module(word: Word, reading: Reading) -> None:
    """`-MMODULE=ARGUMENTS`; anything behind a name is code."""
    if word.text is None or _PERL_MODULE.fullmatch(word.text) is None:
        reading.started.append(Started((word,), code="perl"))


_PHP_RUNS = {"auto_prepend_file", "auto_append_file", "extension", "zend_extension", "opcache.preload"}


def _php_setting(word: Word, reading: Reading) -> None:
    """`NAME=VALUE` of `php -d`: a few settings load files or start programs."""
    name, _, value = shown(word).partition("=")
    if name in _PHP_RUNS:
        _given("script", value, reading)
    elif name == "sendmail_path":
        reading.started.append(Started((Word(text=value, raw=value),), "sh", side_door=True))
    elif name == "error_log":
        _given("write", value, reading)


def _creator(word: Word, reading: Reading) -> None:
    """`npm init NAME` and its like fetch a package that makes projects, and run it."""
    if word.text is None or not word.text.startswith((".", "/")):
        reading.add(EffectKind.EXECUTE, f"remote package create-{shown(word)}")


def _package_run(word: Word, reading: Reading) -> None:
    """A package that is fetched so that a program of it can run."""
    GIVES["package"](word, reading)
    if word.text is None or is_pinned(word.text):
        reading.add(EffectKind.EXECUTE, f"remote package {shown(word)}")


def _node_options(word: Word, reading: Reading) -> None:
    reading.environment.append(("NODE_OPTIONS", word))


def _pip_arguments(word: Word, reading: Reading) -> None:
    """Arguments that are handed on to pip (`pipx install --pip-args`)."""
    reading.started.append(
        Started((Word(text="pip", raw="pip"), Word(text="install", raw="install"), *split_words(word)))
    )


def _conda_channel(word: Word, reading: Reading) -> None:
    """A channel by its name, address or folder."""
    text = shown(word)
    if word.text is None or scheme_of(text):
        GIVES["url"](word, reading)
    elif text.startswith((".", "/")):
        GIVES["read"](word, reading)


_SERVER = re.compile(r"(?:^|\s)host(?:addr)?\s*=\s*'?([^\s']+)")


_CARGO_RUNS = re.compile(
    r"build\.(?:rustc|rustc-wrapper|rustc-workspace-wrapper|rustdoc)|target\..*\.(?:runner|linker)|alias\..*|host\..*"
    r"|.*credential-provider|registr(?:y|ies)\..*|source\..*|http\..*|patch\..*|env\..*|credential-alias\..*"
)


def _plugin(word: Word, reading: Reading) -> None:
    """Code that a compiler or runtime loads."""
    text = shown(word).lstrip(":=").partition("=")[0]
    place = Word(text=None if word.text is None else text, raw=text)
    reading.started.append(Started((place,), side_door=True))


def _template(word: Word, reading: Reading) -> None:
    """A template of a project, whose hooks run: a folder, or a repository that is fetched."""
    text = shown(word)
    if not text.startswith((".", "/", "~")) and ("/" in text or ":" in text):
        reading.add(EffectKind.EXECUTE, f"remote package {text}")
    if not text.startswith(("gh:", "gl:", "bb:")):
        GIVES["remote"](word, reading)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "at-path": _at_path,
    "bound-command": _bound_command,
    "chart": _chart,
    "conda-channel": _conda_channel,
    "creator": _creator,
    "declared": _declared,
    "expanded": _expanded,
    "fetched-script": _fetched_script,
    "file-or-url": _file_or_url,
    "kernel-setting": _kernel_setting,
    "key-file": _key_file,
    "listen": _listen,
    "node-options": _node_options,
    "package-run": _package_run,
    "perl-module": _perl_module,
    "php-setting": _php_setting,
    "pip-arguments": _pip_arguments,
    "pipe-or-file": _pipe_or_file,
    "plugin": _plugin,
    "required": _required,
    "template": _template,
}
"""Kinds of value with a grammar of their own, by name."""
