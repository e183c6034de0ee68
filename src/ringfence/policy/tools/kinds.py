"""What the value of an option or an operand does, by its kind: the words that tables may use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.globs import is_glob
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.destinations import Destination, of_host, of_url, scheme_of, scp_form
from ringfence.policy.tools.reading import Fact, Reading, Role, Started

_PINNED = re.compile(r"(?<!^)@[^/]+$")
_DIRECT = re.compile(r"(?:git|hg|svn|bzr)\+|[a-z]+://|git@|(?:github|gitlab|bitbucket|gist):|[\w.-]+/[\w.-]+$")
_ELSEWHERE = ("/tmp/", "/var/tmp/", "/dev/shm/")  # noqa: S108 - names of places, nothing is created here
_SOMEONES = re.compile(r"~([a-z_][a-z0-9_-]*)((?:/[^\s$`\"'\\]*)?)$")
"""A path in the home of somebody by name, where homes usually lie."""
_WORKING_FOLDER = re.compile(r"""["']?(?:\$PWD|\$\{PWD\}|\$\(pwd\)|`pwd`)["']?((?:/[^$`"':,]*)?["']?:[^$`]*)""")
_HERE = re.compile(
    r"""(["']?)(?:\$PWD|\$\{PWD\}|\$\(pwd\)|`pwd`|~\+|\$\(git rev-parse --show-toplevel\))(?:\1|["']?)"""
    r"""((?:/[^$`"'\\]*)?)["']?"""
)
"""A path from the folder in which the command runs, as Bash writes it; so is the top of the repository."""
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def placed(word: Word) -> Word:
    """A path whose beginning only the shell knows, as far as that is certain all the same: `~name/x`, `$PWD/x`."""
    if word.text is not None or word.raw.startswith("'"):
        return word
    if (someone := _SOMEONES.match(word.raw)) is not None:
        place = "/root" if someone[1] == "root" else f"/home/{someone[1]}"
        return Word(text=place + someone[2], raw=word.raw, glob=word.glob)
    if (here := _HERE.fullmatch(word.raw)) is not None:
        return Word(text=f".{here[2]}", raw=word.raw, glob=word.glob or is_glob(here[2]))
    return word


def path(kind: EffectKind) -> Callable[[Word, Reading], None]:
    """A kind that is a path."""

    def give(word: Word, reading: Reading) -> None:
        if word.text in {"-", ""} or word.process:
            return
        word = placed(word)
        reading.facts.append(Fact(kind, shown(word), Role.PATH, word))

    return give


_read, _write, _delete = path(EffectKind.READ), path(EffectKind.WRITE), path(EffectKind.DELETE)


def _readwrite(word: Word, reading: Reading) -> None:
    _read(word, reading)
    _write(word, reading)


def _move(word: Word, reading: Reading) -> None:
    _read(word, reading)
    _delete(word, reading)


def _at_file(word: Word, reading: Reading) -> None:
    """`@file`, as curl and others take it: anything else is the data itself."""
    text = word.text
    at = -1 if text is None else text.find("@")
    if text is not None and at >= 0 and (at == 0 or text[at - 1] == "="):
        _read(Word(text=text[at + 1 :], raw=text[at + 1 :]), reading)


def _url(word: Word, reading: Reading) -> None:
    text = word.text
    if text is not None and scheme_of(text) == "file":
        _read(Word(text=text[7:], raw=text[7:]), reading)
        return
    _connect(None if text is None else of_url(text), word, reading)


def _host(word: Word, reading: Reading) -> None:
    _connect(None if word.text is None else of_host(word.text, port=reading.port), word, reading)


def _connect(destination: Destination | None, word: Word, reading: Reading) -> None:
    if destination is None:
        if word.text is None or word.text:
            reading.facts.append(Fact(EffectKind.CONNECT, shown(word), Role.HOST, Word(text=None, raw=word.raw)))
        return
    host = Word(text=destination.host, raw=destination.host)
    reading.facts.append(Fact(EffectKind.CONNECT, destination.shown, Role.HOST, host, destination.port))


def _remote(word: Word, reading: Reading) -> None:
    """A Git remote or URL. What it leads to is decided when the connection is made."""
    text = word.text
    if text is None:
        reading.facts.append(Fact(EffectKind.CONNECT, word.raw, Role.REMOTE))
    elif text.startswith("ext::"):
        reading.started.append(Started((Word(text=text[5:], raw=text[5:]),), "sh", side_door=True))
        why = f"`{text}` makes Git run a command in place of a connection"
        reading.concerns.append(("commands.side-door", Verdict.ASK, why))
    elif scheme_of(text) == "file":
        _read(Word(text=text[7:], raw=text[7:]), reading)
    elif scheme_of(text) or "::" in text:
        _reached(of_url(text.rpartition("::")[2]), reading)
    elif text.startswith(("/", "./", "../")) or text in {".", ".."}:
        _read(word, reading)
    elif (host := scp_form(text)) is not None:
        _reached(Destination(host, 22), reading)


def _reached(destination: Destination | None, reading: Reading) -> None:
    if destination is not None:
        host = Word(text=destination.host, raw=destination.host)
        reading.facts.append(Fact(EffectKind.CONNECT, destination.shown, Role.REMOTE, host, destination.port))


def _package(word: Word, reading: Reading) -> None:
    text = word.text
    reading.add(EffectKind.EXECUTE, f"package {shown(word)}")
    if text is None:
        return
    address = re.sub(r"^[^@\s]+ ?@ ?(?=[a-z+]+://)", "", text)
    if text.startswith((".", "/")) and not scheme_of(text):
        _read(Word(text=text.partition("[")[0], raw=word.raw), reading)
    elif scheme_of(address.removeprefix("git+")):
        _url(Word(text=address, raw=address), reading)


def _registry(word: Word, reading: Reading) -> None:
    if word.text is not None and (scheme_of(word.text) or re.match(r"[\w-]+\.[\w.-]+(?:[:/]|$)", word.text)):
        _url(word, reading)
    elif word.text is not None and "/" in word.text:
        _read(word, reading)
    else:
        reading.facts.append(Fact(EffectKind.CONNECT, shown(word), Role.HOST, Word(text=None, raw=word.raw)))


def _script(word: Word, reading: Reading) -> None:
    if word.text != "-" and not word.process:
        reading.facts.append(Fact(EffectKind.EXECUTE, shown(word), Role.PATH, word))


def outside_script(word: Word, reading: Reading) -> None:
    """A script that an option names and that lies where anybody can write."""
    if (word.text or "").startswith(_ELSEWHERE):
        text = f"an option makes `{reading.name}` run `{word.text}`, which is not of the workspace"
        reading.concerns.append(("commands.side-door", Verdict.ASK, text))


def _environment(word: Word, reading: Reading) -> None:
    raw = word.raw if word.text is None else word.text
    name, equals, value = raw.partition("=")
    if equals:
        reading.environment.append((name, Word(text=None if word.text is None else value, raw=value)))


def _image(word: Word, reading: Reading) -> None:
    reading.add(EffectKind.EXECUTE, f"image {shown(word)}")


def _mount(word: Word, reading: Reading) -> None:
    """A bind mount of a container: the host's side of `SOURCE:TARGET[:OPTIONS]` or `source=...,target=...`."""
    text = word.text
    if text is None and (found := _WORKING_FOLDER.fullmatch(word.raw)) is not None:
        text = "." + found[1].replace('"', "")
    if text is None:
        reading.add(EffectKind.PRIVILEGE, f"mount {word.raw}")
        return
    source, options = _mounted(text)
    if not source or (_VOLUME.fullmatch(source) and "/" not in source):
        return
    if source.rstrip("/") == "" or "docker.sock" in source or "podman.sock" in source or "containerd" in source:
        reading.add(EffectKind.PRIVILEGE, f"mount {source}")
        return
    place = Word(text=source, raw=source)
    (_read if "ro" in options or "readonly" in options else _write)(place, reading)


def _mounted(text: str) -> tuple[str, list[str]]:
    if "," in text or text.startswith(("type=", "source=", "src=")):
        parts = text.split(",")
        pairs = dict(part.partition("=")[::2] for part in parts)
        source = pairs.get("source") or pairs.get("src") or ""
        named = pairs.get("type", "volume") == "volume" and not source.startswith(("/", ".", "~"))
        return ("" if named else source), parts
    if ":" not in text:
        return "", []
    source, _, rest = text.partition(":")
    return source, rest.partition(":")[2].split(",")


def _nothing(word: Word, reading: Reading) -> None:
    return


def _cwd(word: Word, reading: Reading) -> None:
    reading.folders.append(word)


def _port(word: Word, reading: Reading) -> None:
    if word.text is not None and word.text.isdecimal() and len(word.text) < 6:
        reading.port = int(word.text)


GIVES: dict[str, Callable[[Word, Reading], None]] = {
    "text": _nothing,
    "pattern": _nothing,
    "read": _read,
    "write": _write,
    "delete": _delete,
    "readwrite": _readwrite,
    "move": _move,
    "cwd": _cwd,
    "url": _url,
    "host": _host,
    "remote": _remote,
    "upload": _read,
    "upload@": _at_file,
    "registry": _registry,
    "package": _package,
    "script": _script,
    "environment": _environment,
    "image": _image,
    "mount": _mount,
    "port": _port,
}
"""By kind, for those that only depend on the word."""


def is_pinned(text: str) -> bool:
    """Whether a package to be run names a version or an address: what is run is fetched, and not the project's."""
    return bool(_PINNED.search(text) or _DIRECT.match(text) or "==" in text)


def package_name(text: str) -> str:
    """The name of a package without its version."""
    return _PINNED.sub("", text).partition("==")[0].partition("[")[0]


def split_words(word: Word) -> tuple[Word, ...]:
    """A program with arguments in one value: `less -R`."""
    if word.text is None:
        return (word,)
    try:
        parts = shlex.split(word.text)
    except ValueError:
        parts = word.text.split()
    return tuple(Word(text=part, raw=part) for part in parts) or (Word(text="", raw=""),)


def shown(word: Word) -> str:
    """The value of a word, or how it is written where only running tells."""
    return word.raw if word.text is None else word.text
