"""Values of options and operands of compilers and virtual machines that have a grammar of their own: what they load,
start and write, and the goals of Maven and Gradle that publish."""

from __future__ import annotations

import re
from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.builds import given, loads, runs, runs_shell
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading, Started


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
    loads(shown(word).partition("=")[0], reading)


def _java_tuning(word: Word, reading: Reading) -> None:
    """`-XX:NAME=VALUE`: commands on errors, files of further flags and dumps."""
    name, _, value = shown(word).partition("=")
    if name in {"OnError", "OnOutOfMemoryError"}:
        runs_shell(value, reading)
    elif name in {"Flags", "VMOptionsFile"}:
        loads(value, reading)
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
            loads(text, reading)
    elif "javaagent:" in value:
        for found in re.findall(r"-javaagent:([^\s=]+)", value):
            loads(found, reading)
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
    "compiler-wrapper": _wrapper,
    "emit": _emit,
    "generated": _generated,
    "java-agent": _java_agent,
    "java-main": _java_main,
    "java-tuning": _java_tuning,
    "linker-name": _linker_name,
    "linker-words": _linker_words,
    "maven-setting": _maven_setting,
    "protoc-plugin": _plugin,
    "rails-code": _rails_code,
    "rustc-codegen": _rustc_codegen,
    "source": _source,
}
"""Kinds of value with a grammar of their own, by name."""
