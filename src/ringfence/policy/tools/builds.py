"""Values of options and operands of compilers and build tools that have a grammar of their own: variables on the
command line of `make`, settings of Cargo, CMake, Java and Maven, tasks that publish."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading, Started


def given(kind: str, text: str, reading: Reading) -> None:
    """A part of a value as a value of its own."""
    GIVES[kind](Word(text=text, raw=text), reading)


_ELSEWHERE = ("/tmp/", "/var/tmp/", "/dev/shm/")  # noqa: S108 - names of places that anybody can write to
_COMPANIONS = frozenset(
    {
        "ccache",
        "sccache",
        "distcc",
        "icecc",
        "gcc",
        "g++",
        "cc",
        "c++",
        "clang",
        "clang++",
        "lld",
        "mold",
        "ld",
        "ld.lld",
    }
    | {"clang-tidy", "cppcheck", "cpplint", "include-what-you-use", "iwyu", "ninja", "make", "valgrind"}
)
"""What build tools are told to start every day."""


def loads(text: str, reading: Reading) -> None:
    """A file that an option makes the tool run: one that anybody could have put there is asked about."""
    given("script", text, reading)
    if text.startswith(_ELSEWHERE):
        why = f"an option makes `{reading.name.partition(' ')[0]}` run `{text}`, which is not of the workspace"
        reading.concerns.append(("commands.side-door", Verdict.ASK, why))


def runs(text: str, reading: Reading, *, side_door: bool = True) -> None:
    """A program with arguments in one text. An unknown one is asked about where it comes through a side door."""
    parts = text.split() or [""]
    side_door = side_door and parts[0] not in _COMPANIONS
    reading.started.append(Started(tuple(Word(text=part, raw=part) for part in parts), "", side_door))


def runs_shell(text: str, reading: Reading, *, side_door: bool = True) -> None:
    """A text that a shell runs."""
    reading.started.append(Started((Word(text=text, raw=text),), "sh", side_door))


# make

_MAKE_SHELL = frozenset({"SHELL", ".SHELLFLAGS", "MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKEFILES"})
_MAKE_PROGRAM = re.compile(
    r"CC|CXX|CPP|LD|AR|AS|FC|F77|NM|STRIP|RANLIB|OBJCOPY|OBJDUMP|INSTALL|MAKE|PYTHON3?|NODE|NPM|GO|CARGO|RUSTC|RUBY|PERL|PHP"
    r"|JAVAC?|SED|AWK|GREP|TAR|CURL|WGET|SSH|GIT|SUDO|DOCKER|.*_?(?:CMD|COMMAND|PROGRAM|WRAPPER|LAUNCHER|RUNNER)"
)
_MAKE_FUNCTION = re.compile(r"\$[({](?:shell|eval|file|guile|call|origin|foreach)\b|\$\$?[({]|`")
_MAKE_SHELL_FUNCTION = re.compile(r"\$\(shell\s+([^()]*)\)")
_MAKE_SEPARATOR = re.compile(r"[;|&`\n]|\$\$?\(")


def _make_word(word: Word, reading: Reading) -> None:
    """A target, or `NAME=VALUE`: the value is pasted into recipes, where a shell reads it."""
    name, equals, value = shown(word).partition("=")
    name = name.rstrip(":?+! ")
    if not equals or word.text is None or not value:
        return
    if name in _MAKE_SHELL:
        if name != "SHELL" or value not in {"/bin/sh", "/bin/bash", "/usr/bin/bash", "bash", "sh", "/usr/bin/env bash"}:
            _make_settings(name, value, reading)
    elif _MAKE_FUNCTION.search(value):
        commands = _MAKE_SHELL_FUNCTION.findall(value)
        for command in commands or [value.replace("$$(", "$(").replace("$(shell ", "$(")]:
            runs_shell(command, reading, side_door=not commands)
    elif _MAKE_SEPARATOR.search(value):
        runs_shell(value, reading, side_door=False)
    elif _MAKE_PROGRAM.fullmatch(name):
        runs(value, reading, side_door=False)


def _make_settings(name: str, value: str, reading: Reading) -> None:
    if name == "SHELL":
        runs(value, reading)
    elif name == ".SHELLFLAGS" and re.fullmatch(r"-[euxco]+(?: (?:pipefail|-[euxco]+))*", value):
        return
    elif name == "MAKEFILES":
        loads(value, reading)
    elif "eval" in value or "=" in value or name == ".SHELLFLAGS":
        runs_shell(value, reading)


def _make_text(word: Word, reading: Reading) -> None:
    """`--eval`: a statement of a makefile. Only a plain variable is clear."""
    found = re.fullmatch(r"\s*[\w.-]+\s*[:?+]?=\s*[\w./ -]*", word.text or "")
    if word.text is None or found is None:
        runs_shell(shown(word), reading)
    else:
        _make_word(Word(text=re.sub(r"\s*([:?+]?=)\s*", r"\1", word.text.strip()), raw=word.raw), reading)


# Cargo

_CARGO_RUNS = re.compile(
    r"build\.(?:rustc|rustdoc)(?:-wrapper|-workspace-wrapper)?|target\..*\.(?:linker|runner)|alias\..*"
    r"|(?:registry|registries\..*)\.credential-provider|credential-alias\..*|doc\.browser|cargo-new\..*|build\.rustflags"
    r"|target\..*\.rustflags|env\..*"
)
_CARGO_REACHES = re.compile(
    r"(?:source|registries)\..*|registry\.(?!default).*|http\.(?:proxy|cainfo|ssl.*|check.*)|patch\..*|paths"
)
_CARGO_PROGRAMS = re.compile(r".*(?:rustc|rustdoc|wrapper|linker|runner|credential-provider|browser)")


def _cargo_config(word: Word, reading: Reading) -> None:
    """`KEY=VALUE` of `cargo --config`, or a file with such settings."""
    text = shown(word)
    if word.text is None:
        reading.add(EffectKind.CONFIGURE, f"cargo {text}")
        return
    key, equals, value = text.partition("=")
    if not equals:
        loads(text, reading)
        return
    name = re.sub(r"""["'\s]""", "", key).lower()
    value = value.strip().strip("\"'[]").strip("\"'")
    if _CARGO_PROGRAMS.fullmatch(name) and _CARGO_RUNS.fullmatch(name):
        runs(value.replace('"', " ").replace(",", " "), reading)
    elif _CARGO_RUNS.fullmatch(name) or _CARGO_REACHES.fullmatch(name):
        reading.add(EffectKind.CONFIGURE, f"cargo {name}")


# Go

_GO_PROGRAM = re.compile(r"--?extld[= ]\s*(\S+)|--?(?:toolexec|exec|linkshared-tool)[= ]\s*(\S+)")


def _go_package(word: Word, reading: Reading) -> None:
    """What `go run` builds and starts: files and packages of the module, or a package fetched at a version."""
    text = shown(word)
    if word.text is None:
        return
    if "@" in text or "://" in text:
        reading.add(EffectKind.EXECUTE, f"remote package {text}")
    elif text.endswith(".go") or text.startswith((".", "/")):
        GIVES["script"](word, reading)


def _go_flags(word: Word, reading: Reading) -> None:
    """Flags for a tool of Go: `-extld` names the linker that it starts."""
    for found in _GO_PROGRAM.finditer(word.text or ""):
        runs(found[1] or found[2], reading)


# CMake

_CMAKE_PROGRAM = re.compile(
    r"CMAKE_\w*(?:LAUNCHER|_EMULATOR|MAKE_PROGRAM|RULE_LAUNCH_\w+)|CMAKE_\w+_(?:CLANG_TIDY|CPPCHECK|CPPLINT|INCLUDE_WHAT_YOU_USE)"
    r"|RULE_LAUNCH_\w+"
)
_CMAKE_COMPILER = re.compile(r"CMAKE_(?:[A-Z]+_COMPILER|AR|LINKER|RANLIB|NM|STRIP|OBJCOPY|OBJDUMP)")
_CMAKE_SCRIPT = re.compile(
    r"CMAKE_(?:TOOLCHAIN_FILE|PROJECT_(?:\w+_)?INCLUDE(?:_BEFORE)?|PROJECT_TOP_LEVEL_INCLUDES|USER_MAKE_RULES_OVERRIDE\w*)"
)


def _cmake_setting(word: Word, reading: Reading) -> None:
    """`NAME[:TYPE]=VALUE` of `cmake -D`: some name programs, or scripts that run."""
    key, _, value = shown(word).partition("=")
    name = key.partition(":")[0]
    if not value or word.text is None:
        return
    if _CMAKE_PROGRAM.fullmatch(name):
        runs(value.replace(";", " "), reading)
    elif _CMAKE_COMPILER.fullmatch(name):
        runs(value.partition(";")[0], reading, side_door=value.startswith(_ELSEWHERE))
    elif _CMAKE_SCRIPT.fullmatch(name):
        loads(value, reading)


_CMAKE_MODES = {"-E": "cmake:E", "--build": "cmake:build", "--install": "cmake:install", "--open": "cmake:open"}


def cmake(words: Sequence[Word]) -> Sequence[Word]:
    """The modes of CMake as sub-commands: `-E rm x` is the command `rm` of a small shell."""
    for at, word in enumerate(words):
        mode = _CMAKE_MODES.get(word.text or "")
        if mode is not None:
            return [Word(text=mode, raw=mode), *words[:at], *words[at + 1 :]]
    return [Word(text="cmake:configure", raw="cmake:configure"), *words]


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "cargo-config": _cargo_config,
    "cmake-setting": _cmake_setting,
    "go-flags": _go_flags,
    "go-package": _go_package,
    "make-text": _make_text,
    "make-word": _make_word,
}
"""Kinds of value with a grammar of their own, by name."""
