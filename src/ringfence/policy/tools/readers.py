"""What tables cannot say as data: arguments with a grammar of their own. Keep these few."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools import builds, compilers, converters
from ringfence.policy.tools.accounts import FINISH as ACCOUNT_FINISH
from ringfence.policy.tools.accounts import VALUES as ACCOUNT_VALUES
from ringfence.policy.tools.containers import VALUES as CONTAINER_VALUES
from ringfence.policy.tools.datastores import FINISH as DATASTORE_FINISH
from ringfence.policy.tools.datastores import VALUES as DATASTORE_VALUES
from ringfence.policy.tools.destinations import scp_form
from ringfence.policy.tools.kinds import GIVES, path, shown
from ringfence.policy.tools.reading import Fact, Reading, Role, Started
from ringfence.policy.tools.toolchains import VALUES as TOOLCHAIN_VALUES
from ringfence.policy.tools.values import VALUES as OTHER_VALUES

PATH_PHRASES = {kind: path(kind) for kind in (EffectKind.READ, EffectKind.WRITE, EffectKind.DELETE)}
"""Effects of a table whose object is a path."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_assignment(word: Word) -> bool:
    """Whether a word is `NAME=value`."""
    name, equals, _ = shown(word).partition("=")
    return bool(equals and _NAME.fullmatch(name))


def joined(words: Sequence[Word]) -> Word:
    """Words as the one string that some programs make of them."""
    texts = [word.text for word in words if word.text is not None]
    raw = " ".join(word.raw for word in words)
    return Word(text=" ".join(texts) if len(texts) == len(words) else None, raw=raw)


def below(folder: Word, word: Word) -> Word:
    """A path as it stands in a folder that the program goes to for its operands only (`tar -C`)."""
    if word.text is not None and word.text.startswith(("/", "~")):
        return word
    if word.text is None or folder.text is None:
        return Word(text=None, raw=f"{folder.raw}/{word.raw}")
    text = folder.text if word.text == "." else f"{folder.text.rstrip('/')}/{word.text}"
    return Word(text=text, raw=text, glob=word.glob or folder.glob)


def anything(kind: EffectKind, reading: Reading) -> None:
    """An effect on something that the command line does not tell."""
    role = Role.PATH if kind in PATH_PHRASES else Role.HOST if kind is EffectKind.CONNECT else Role.PHRASE
    reading.facts.append(Fact(kind, "?", role, Word(text=None, raw="?")))


def prepared(reader: str, words: Sequence[Word]) -> Sequence[Word]:
    """The arguments as the general reading expects them."""
    prepare = _PREPARE.get(reader)
    return words if prepare is None else prepare(words)


def found_files(words: Sequence[Word], starts: Sequence[Word]) -> tuple[Word, ...]:
    """The command of `find -exec`, where `{}` is any file below the first starting point."""
    place = starts[0] if starts else Word(text=".", raw=".")
    return tuple(_found(word, place) for word in words)


def _found(word: Word, place: Word) -> Word:
    if word.text is None or "{}" not in word.text:
        return word
    if place.text is None:
        return Word(text=None, raw=word.raw)
    if word.text != "{}":
        text = word.text.replace("{}", f"{place.text.rstrip('/')}/file")
        return Word(text=text, raw=word.raw)
    return Word(text=f"{place.text.rstrip('/')}/*", raw=word.raw, glob=True)


def _tar(words: Sequence[Word]) -> Sequence[Word]:
    """The old style: `tar xzf a.tar` is `tar -xzf a.tar`, where each letter takes the next word for its value."""
    if not words or words[0].text is None or words[0].text.startswith("-") or not words[0].text.isalpha():
        return words
    letters, rest = words[0].text, list(words[1:])
    found: list[Word] = []
    for letter in letters:
        found.append(Word(text=f"-{letter}", raw=f"-{letter}"))
        if letter in "fCbTXgVKNLHI" and rest:
            found.append(rest.pop(0))
    return [*found, *rest]


def _dd(words: Sequence[Word]) -> Sequence[Word]:
    """`if=x` and `of=y` as options."""
    return [_as_option(word) if "=" in shown(word) else word for word in words]


def _as_option(word: Word) -> Word:
    return Word(text=None if word.text is None else f"--{word.text}", raw=f"--{word.raw}")


def _find(words: Sequence[Word]) -> Sequence[Word]:
    """Without the brackets and operators of the expression."""
    kept: list[Word] = []
    inside = False
    for word in words:
        if word.text in {"-exec", "-execdir", "-ok", "-okdir"}:
            inside = True
        elif word.text == ";" or (word.text == "+" and kept and kept[-1].text == "{}"):
            inside = False
        elif not inside and word.text in {"(", ")", "!", ","}:
            continue
        kept.append(word)
    return kept


def _kill(words: Sequence[Word]) -> Sequence[Word]:
    """Behind the signal, `-1` is no option but all processes."""
    first = words[0].text if words else None
    if first is None or not first.startswith("-") or first == "--":
        return words
    taken = 2 if first in {"-s", "-n", "-q", "--signal", "--queue"} else 1
    return [*words[:taken], Word(text="--", raw="--"), *(word for word in words[taken:] if word.text != "--")]


_PYTHON_FLAGS = re.compile(r"(-[bBdEhiIOPqRsSuvVx?]*)([mc])(.*)", re.DOTALL)


def _python(words: Sequence[Word]) -> Sequence[Word]:
    """`-m MODULE` and `-c CODE` end the options, with the value glued or not."""
    for at, word in enumerate(words):
        text = word.text
        if text is None or not text.startswith("-") or text in {"-", "--"}:
            return words
        found = _PYTHON_FLAGS.fullmatch(text)
        if found is not None:
            return [*words[:at], *_ending(found, words[at + 1 :])]
        if text in {"-W", "-X", "--check-hash-based-pycs"}:
            return [*words[: at + 2], *_python(words[at + 2 :])]
    return words


def _ending(found: re.Match[str], rest: Sequence[Word]) -> Sequence[Word]:
    flags, option, glued = found.groups()
    end = Word(text="--", raw="--")
    front = [Word(text=text, raw=text) for text in (flags, f"-{option}") if text != "-"]
    values = [Word(text=glued, raw=glued)] if glued else list(rest[:1])
    rest = rest if glued else rest[1:]
    return [*front, end, *values, *rest] if option == "m" else [*front, *values, end, *rest]


_EVERYWHERE = {"recursive", "multi", "m", "foreach", "run-all"}


def _workspaces(words: Sequence[Word]) -> Sequence[Word]:
    """`yarn workspace NAME COMMAND` and `pnpm recursive COMMAND` without what only says where."""
    for at, word in enumerate(words):
        text = word.text or ""
        if text.startswith("-"):
            continue
        if text == "workspace":
            return [*words[:at], *words[at + 2 :]]
        if text == "workspaces" and at + 1 < len(words) and words[at + 1].text in {"foreach", "run"}:
            return [*words[:at], *words[at + (2 if words[at + 1].text == "foreach" else 1) :]]
        return [*words[:at], *words[at + 1 :]] if text in _EVERYWHERE else words
    return words


_VERSION = re.compile(r"v?\d[\w.-]*|lts(?:/.*)?|node|stable|iojs|default")


def _version_exec(words: Sequence[Word]) -> Sequence[Word]:
    """`nvm exec 20 npm test` without the version: other managers take none there."""
    at = next((at for at, word in enumerate(words) if word.text in {"exec", "run"}), len(words)) + 1
    while at < len(words) and (words[at].text or "").startswith("-"):
        at += 2 if words[at].text == "--using" else 1
    followed = at + 1 < len(words)
    return [*words[:at], *words[at + 1 :]] if followed and _VERSION.fullmatch(words[at].text or "") else words


_PREPARE: dict[str, Callable[[Sequence[Word]], Sequence[Word]]] = {
    "tar": _tar,
    "dd": _dd,
    "find": _find,
    "kill": _kill,
    "python": _python,
    "version-exec": _version_exec,
    "workspaces": _workspaces,
    "cmake": builds.cmake,
}

NAMES = frozenset({*_PREPARE, *ACCOUNT_FINISH, *DATASTORE_FINISH, "git-settings", "xargs", "git"})
"""The readers that a table may name."""

_RUNS = re.compile(
    r"alias\..*|core\.(pager|editor|sshcommand|fsmonitor|hookspath|askpass|gitproxy|alternaterefscommand|worktree)|pager\..*"
    r"|sequence\.editor|diff\.(external|.*\.(command|textconv))|merge\..*\.driver|filter\..*|credential\..*helper"
    r"|credential\.helper|gpg\.(program|.*\.program)|protocol\..*\.?allow|include(if)?\..*|url\..*|remote\..*"
    r"|http\..*proxy|http\..*sslverify|http\.(proxy|sslverify|sslcainfo|extraheader)|sendemail\..*|uploadpack\..*|receive\..*"
    r"|difftool\..*|mergetool\..*|browser\..*|man\..*|web\.browser|instaweb\..*|interactive\.difffilter|init\.templatedir"
    r"|trailer\..*command|submodule\..*|core\.attributesfile|guitool\..*|ssh\.variant|uploadarchive\..*|tar\..*command"
)


def _git_settings(reading: Reading) -> None:
    """`git config KEY VALUE`: a key of which no program depends (`user.name`) configures nothing that matters."""
    reading.facts = [fact for fact in reading.facts if fact.kind is not EffectKind.CONFIGURE or _matters(fact.object)]


def _matters(key: str) -> bool:
    return " " in key or "." not in key or bool(_RUNS.fullmatch(key.lower()))


FINISH: dict[str, Callable[[Reading], None]] = {"git-settings": _git_settings, **ACCOUNT_FINISH, **DATASTORE_FINISH}
"""What is done when all arguments are read, by the reader that a table names."""

_HARMLESS_VALUES = frozenset({"", "cat", "less", "false", "true", "less -R", "less -F", "less -FRX", "more"})


def _git_config(word: Word, reading: Reading) -> None:
    """`KEY=VALUE` of `git -c`: only keys that make Git run, load or reach something are effects."""
    text = shown(word)
    key, _, value = text.partition("=")
    if word.text is None and not key.isascii():
        reading.add(EffectKind.CONFIGURE, text)
    elif _RUNS.fullmatch(key.lower()) and not (key.lower() == "core.pager" and value in _HARMLESS_VALUES):
        reading.add(EffectKind.CONFIGURE, text)
        if word.text is not None:
            _configured_command(key.lower(), value, reading)


def _configured_command(key: str, value: str, reading: Reading) -> None:
    if key.startswith("alias."):
        text = value[1:] if value.startswith("!") else f"git {value}"
    elif key.endswith(("pager", "editor", "sshcommand", "fsmonitor", "textconv", "command", "helper", "program")):
        text = value.removeprefix("!")
    else:
        return
    if text and text not in {"true", "false"}:
        reading.started.append(Started((Word(text=text, raw=text),), "sh", side_door=True))


_SSH_RUNS = {"proxycommand", "localcommand", "knownhostscommand", "remotecommand"}
_SSH_LOADS = {"include", "identityfile", "userknownhostsfile", "pkcs11provider", "securitykeyprovider", "xauthlocation"}


def _ssh_option(word: Word, reading: Reading) -> None:
    """`KEY=VALUE` or `KEY VALUE` of `ssh -o`."""
    if word.text is None:
        reading.started.append(Started((word,), "sh", side_door=True))
        return
    key, _, value = word.text.replace("=", " ", 1).strip().partition(" ")
    name, value = key.lower(), value.strip()
    if name == "port":
        GIVES["port"](Word(text=value, raw=value), reading)
    elif name in _SSH_RUNS and name != "remotecommand" and value.lower() != "none":
        reading.started.append(Started((Word(text=value, raw=value),), "sh", side_door=True))
    elif name in {"pkcs11provider", "securitykeyprovider", "xauthlocation"} and value.lower() not in {
        "none",
        "internal",
    }:
        reading.started.append(Started((Word(text=value, raw=value),), side_door=True))
    elif name in _SSH_LOADS and value.lower() != "none":
        GIVES["read"](Word(text=value, raw=value), reading)


def _rsync_remote(word: Word, reading: Reading) -> None:
    """A path here, or `host:path` elsewhere."""
    text = word.text
    if text is None:
        GIVES["read"](word, reading)
    elif text.startswith(("rsync://", "scp://", "sftp://")):
        GIVES["url"](word, reading)
    elif (host := scp_form(text)) is not None:
        GIVES["host"](Word(text=host, raw=host), reading)
    else:
        GIVES["read"](word, reading)


def _rsync_target(word: Word, reading: Reading) -> None:
    """Where `scp` and `rsync` write: a path here, or a place on another machine."""
    text = word.text
    if text is not None and (scp_form(text) is not None or text.startswith(("rsync://", "scp://", "sftp://"))):
        _rsync_remote(word, reading)
        reading.add(EffectKind.PUBLISH, text)
    else:
        GIVES["write"](word, reading)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "git-config": _git_config,
    "ssh-option": _ssh_option,
    "rsync-remote": _rsync_remote,
    "rsync-target": _rsync_target,
    **OTHER_VALUES,
    **ACCOUNT_VALUES,
    **CONTAINER_VALUES,
    **DATASTORE_VALUES,
    **TOOLCHAIN_VALUES,
    **builds.VALUES,
    **compilers.VALUES,
    **converters.VALUES,
}
"""Kinds of value with a grammar of their own, by name."""
