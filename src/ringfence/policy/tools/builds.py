"""Values of options and operands of compilers and build tools that have a grammar of their own: variables on the command
line of `make`, settings of Cargo, CMake, Java and Maven, tasks that publish."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading, Started


def given(kind: str, text: str, reading: Reading) -> None:
    """A part of a value as a value of its own."""
    GIVES[kind](Word(text=text, raw=text), reading)


def runs(text: str, reading: Reading, *, side_door: bool = True) -> None:
    """A program with arguments in one text. An unknown one is asked about where it comes through a side door."""
    parts = text.split() or [""]
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
        given("script", value, reading)
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
        given("script", text, reading)
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
    if "@" in text:
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
        runs(value.partition(";")[0], reading, side_door=value.startswith(("/tmp/", "/var/tmp/", "/dev/shm/")))  # noqa: S108
    elif _CMAKE_SCRIPT.fullmatch(name):
        given("script", value, reading)


_CMAKE_MODES = {"-E": "cmake:E", "--build": "cmake:build", "--install": "cmake:install", "--open": "cmake:open"}


def cmake(words: Sequence[Word]) -> Sequence[Word]:
    """The modes of CMake as sub-commands: `-E rm x` is the command `rm` of a small shell."""
    for at, word in enumerate(words):
        mode = _CMAKE_MODES.get(word.text or "")
        if mode is not None:
            return [Word(text=mode, raw=mode), *words[:at], *words[at + 1 :]]
    return [Word(text="cmake:configure", raw="cmake:configure"), *words]


# Compilers


def _wrapper(word: Word, reading: Reading) -> None:
    """`-wrapper PROGRAM,ARGUMENT,...`."""
    runs(shown(word).replace(",", " "), reading)


def _linker_words(word: Word, reading: Reading) -> None:
    """`-Wl,OPTION,...`: a plugin is loaded, a map is written."""
    words = shown(word).split(",")
    for at, text in enumerate(words):
        name, equals, value = text.lstrip("-").partition("=")
        value = value if equals else words[at + 1] if at + 1 < len(words) else ""
        if name in {"plugin", "error-handling-script"} and value:
            runs(value, reading)
        elif value and (name in {"Map", "dependency-file", "out-implib"} or text == "-o"):
            given("write", value, reading)


def _linker_name(word: Word, reading: Reading) -> None:
    """`-fuse-ld=lld`, `-C linker=clang`: a name, or the path of a program."""
    if word.text is None or "/" in word.text:
        runs(shown(word), reading)


_RUSTC_PATHS = {"incremental": "write", "profile-generate": "write", "profile-use": "read"}
_RUSTC_LOADS = frozenset({"linker", "ar", "dlltool", "codegen-backend", "llvm-plugins"})


def _rustc_codegen(word: Word, reading: Reading) -> None:
    """`-C NAME=VALUE` and `-Z NAME=VALUE` of rustc."""
    name, _, value = shown(word).partition("=")
    name = name.replace("_", "-")
    if name in _RUSTC_LOADS and value:
        _linker_name(Word(text=value, raw=value), reading) if name != "linker" else runs(
            value, reading, side_door="/" in value
        )
    elif name in _RUSTC_PATHS and value:
        given(_RUSTC_PATHS[name], value, reading)
    elif name in {"link-arg", "link-args"}:
        for text in value.split():
            if text.startswith("-Wl,"):
                _linker_words(Word(text=text[4:], raw=text[4:]), reading)
            elif text.startswith("-fuse-ld="):
                _linker_name(Word(text=text[9:], raw=text[9:]), reading)


def _emit(word: Word, reading: Reading) -> None:
    """`--emit KIND=FILE,...`."""
    for part in shown(word).split(","):
        target = part.partition("=")[2]
        if target:
            given("write", target, reading)


def _source(word: Word, reading: Reading) -> None:
    """A file to compile; `@FILE` holds further arguments."""
    text = word.text
    if text is not None and text.startswith("@") and len(text) > 1:
        given("read", text[1:], reading)
        reading.unknown.append(f"the arguments in `{text[1:]}`")
    else:
        GIVES["read"](word, reading)


# The JVM


def _java_main(word: Word, reading: Reading) -> None:
    """A class, or a source file to compile and run."""
    text = word.text
    if text is not None and text.startswith("@") and len(text) > 1:
        given("read", text[1:], reading)
        reading.unknown.append(f"the arguments in `{text[1:]}`")
    elif text is None or text.endswith(".java") or "/" in text:
        GIVES["script"](word, reading)


def _java_agent(word: Word, reading: Reading) -> None:
    """`PATH=OPTIONS` of an agent that is loaded before the program."""
    given("script", shown(word).partition("=")[0], reading)


def _java_tuning(word: Word, reading: Reading) -> None:
    """`-XX:NAME=VALUE`: commands on errors, files of further flags and dumps."""
    name, _, value = shown(word).partition("=")
    if name in {"OnError", "OnOutOfMemoryError"}:
        runs_shell(value, reading)
    elif name in {"Flags", "VMOptionsFile"}:
        given("script", value, reading)
    elif name.endswith(("File", "Path")) and value:
        given("write", value, reading)


_MAVEN_PROGRAM = frozenset(
    {"exec.executable", "jvm", "maven.surefire.jvm", "gpg.executable", "maven.compiler.executable"}
)
_JVM_PATHS = frozenset({"maven.ext.class.path", "maven.multiModuleProjectDirectory"})


def _maven_setting(word: Word, reading: Reading) -> None:
    """`NAME=VALUE` of `mvn -D`, `gradle -D` and `-P`."""
    name, _, value = shown(word).partition("=")
    if name in _MAVEN_PROGRAM and value:
        runs(value, reading)
    elif name in _JVM_PATHS and value:
        for text in value.split(":"):
            given("script", text, reading)
    elif "javaagent:" in value:
        for found in re.findall(r"-javaagent:([^\s=]+)", value):
            given("script", found, reading)
    elif name in {"altDeploymentRepository", "altReleaseDeploymentRepository", "altSnapshotDeploymentRepository"}:
        address = value[value.find("://") - 8 :] if "://" in value else value
        given("url", re.sub(r"^.*?([a-z]+://)", r"\1", address), reading)


_PUBLISHES = re.compile(
    r"publish(?!ToMavenLocal|To\w*Local|Local|M2|\w*ToMavenLocal)\w*|uploadArchives|upload\w*Archives|bintrayUpload|closeAndRelease\w*"
    r"|(?:close|release)\w*(?:Staging|Sonatype|Repository|Repositories)\w*|artifactoryPublish|publishSigned|sonatype\w*|ci-release"
    r"|deploy|deploy-file|site-deploy|scm-publish|perform|nexus-staging|jib|dockerPush|cocoapods\w*push|pushImage|push"
)


def _build_task(word: Word, reading: Reading) -> None:
    """A goal or task of Maven, Gradle or sbt: what publishes goes by these names."""
    for task in shown(word).split():
        name = task.rpartition(":")[2].rpartition("/")[2].partition("@")[0].lstrip("+;")
        if _PUBLISHES.fullmatch(name):
            reading.add(EffectKind.PUBLISH, task)
    if word.text is None:
        reading.may.add(EffectKind.PUBLISH)


def _rails_code(word: Word, reading: Reading) -> None:
    """What `rails runner` runs: a file, or code."""
    text = word.text
    if text is not None and re.fullmatch(r"[\w./-]+\.rb|\.{0,2}/[\w./-]+", text):
        GIVES["script"](word, reading)
    elif text == "-":
        reading.add(EffectKind.EXECUTE, "standard input")
    else:
        reading.started.append(Started((word,), code="ruby"))


def _plugin(word: Word, reading: Reading) -> None:
    """`NAME=PATH` of `protoc --plugin`."""
    name, equals, path = shown(word).partition("=")
    runs(path if equals else name, reading, side_door=(path or name).startswith("/"))


def _generated(word: Word, reading: Reading) -> None:
    """`OPTIONS:FOLDER` of `protoc --python_out`."""
    given("write", shown(word).rpartition(":")[2], reading)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "build-task": _build_task,
    "cargo-config": _cargo_config,
    "cmake-setting": _cmake_setting,
    "compiler-wrapper": _wrapper,
    "emit": _emit,
    "generated": _generated,
    "go-flags": _go_flags,
    "go-package": _go_package,
    "java-agent": _java_agent,
    "java-main": _java_main,
    "java-tuning": _java_tuning,
    "linker-name": _linker_name,
    "linker-words": _linker_words,
    "make-text": _make_text,
    "make-word": _make_word,
    "maven-setting": _maven_setting,
    "plugin": _plugin,
    "rails-code": _rails_code,
    "rustc-codegen": _rustc_codegen,
    "source": _source,
}
"""Kinds of value with a grammar of their own, by name."""
