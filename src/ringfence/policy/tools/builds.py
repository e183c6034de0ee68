"""Values of options and operands of compilers, build tools and converters that have a grammar of their own: variables
on the command line of `make`, settings of Cargo, CMake, Java and Maven, tasks that publish, inputs that may be URLs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading, Started


def _given(kind: str, text: str, reading: Reading) -> None:
    GIVES[kind](Word(text=text, raw=text), reading)


def _runs(text: str, reading: Reading, *, side_door: bool = True) -> None:
    """A program with arguments in one text. An unknown one is asked about where it comes through a side door."""
    parts = text.split() or [""]
    reading.started.append(Started(tuple(Word(text=part, raw=part) for part in parts), "", side_door))


def _runs_shell(text: str, reading: Reading, *, side_door: bool = True) -> None:
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
            _runs_shell(command, reading, side_door=not commands)
    elif _MAKE_SEPARATOR.search(value):
        _runs_shell(value, reading, side_door=False)
    elif _MAKE_PROGRAM.fullmatch(name):
        _runs(value, reading, side_door=False)


def _make_settings(name: str, value: str, reading: Reading) -> None:
    if name == "SHELL":
        _runs(value, reading)
    elif name == ".SHELLFLAGS" and value.lstrip("-").strip("euxco pipefail-") == "":
        return
    elif name == "MAKEFILES":
        _given("script", value, reading)
    elif "eval" in value or "=" in value or name == ".SHELLFLAGS":
        _runs_shell(value, reading)


def _make_text(word: Word, reading: Reading) -> None:
    """`--eval`: a statement of a makefile. Only a plain variable is clear."""
    found = re.fullmatch(r"\s*[\w.-]+\s*[:?+]?=\s*[\w./ -]*", word.text or "")
    if word.text is None or found is None:
        _runs_shell(shown(word), reading)
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
        _given("script", text, reading)
        return
    name = re.sub(r"""["'\s]""", "", key).lower()
    value = value.strip().strip("\"'[]").strip("\"'")
    if _CARGO_PROGRAMS.fullmatch(name) and _CARGO_RUNS.fullmatch(name):
        _runs(value.replace('"', " ").replace(",", " "), reading)
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
        _runs(found[1] or found[2], reading)


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
        _runs(value.replace(";", " "), reading)
    elif _CMAKE_COMPILER.fullmatch(name):
        _runs(value.partition(";")[0], reading, side_door=value.startswith(("/tmp/", "/var/tmp/", "/dev/shm/")))  # noqa: S108
    elif _CMAKE_SCRIPT.fullmatch(name):
        _given("script", value, reading)


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
    _runs(shown(word).replace(",", " "), reading)


def _linker_words(word: Word, reading: Reading) -> None:
    """`-Wl,OPTION,...`: a plugin is loaded, a map is written."""
    words = shown(word).split(",")
    for at, text in enumerate(words):
        name, equals, value = text.lstrip("-").partition("=")
        value = value if equals else words[at + 1] if at + 1 < len(words) else ""
        if name in {"plugin", "error-handling-script"} and value:
            _runs(value, reading)
        elif name in {"Map", "dependency-file", "out-implib"} and value:
            _given("write", value, reading)
        elif text == "-o" and value:
            _given("write", value, reading)


def _linker_name(word: Word, reading: Reading) -> None:
    """`-fuse-ld=lld`, `-C linker=clang`: a name, or the path of a program."""
    if word.text is None or "/" in word.text:
        _runs(shown(word), reading)


_RUSTC_PATHS = {"incremental": "write", "profile-generate": "write", "profile-use": "read"}
_RUSTC_LOADS = frozenset({"linker", "ar", "dlltool", "codegen-backend", "llvm-plugins"})


def _rustc_codegen(word: Word, reading: Reading) -> None:
    """`-C NAME=VALUE` and `-Z NAME=VALUE` of rustc."""
    name, _, value = shown(word).partition("=")
    name = name.replace("_", "-")
    if name in _RUSTC_LOADS and value:
        _linker_name(Word(text=value, raw=value), reading) if name != "linker" else _runs(
            value, reading, side_door="/" in value
        )
    elif name in _RUSTC_PATHS and value:
        _given(_RUSTC_PATHS[name], value, reading)
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
            _given("write", target, reading)


def _source(word: Word, reading: Reading) -> None:
    """A file to compile; `@FILE` holds further arguments."""
    text = word.text
    if text is not None and text.startswith("@") and len(text) > 1:
        _given("read", text[1:], reading)
        reading.unknown.append(f"the arguments in `{text[1:]}`")
    else:
        GIVES["read"](word, reading)


# The JVM


def _java_main(word: Word, reading: Reading) -> None:
    """A class, or a source file to compile and run."""
    text = word.text
    if text is not None and text.startswith("@") and len(text) > 1:
        _given("read", text[1:], reading)
        reading.unknown.append(f"the arguments in `{text[1:]}`")
    elif text is None or text.endswith(".java") or "/" in text:
        GIVES["script"](word, reading)


def _java_agent(word: Word, reading: Reading) -> None:
    """`PATH=OPTIONS` of an agent that is loaded before the program."""
    _given("script", shown(word).partition("=")[0], reading)


def _java_tuning(word: Word, reading: Reading) -> None:
    """`-XX:NAME=VALUE`: commands on errors, files of further flags and dumps."""
    name, _, value = shown(word).partition("=")
    if name in {"OnError", "OnOutOfMemoryError"}:
        _runs_shell(value, reading)
    elif name in {"Flags", "VMOptionsFile"}:
        _given("script", value, reading)
    elif name.endswith(("File", "Path")) and value:
        _given("write", value, reading)


_MAVEN_PROGRAM = frozenset(
    {"exec.executable", "jvm", "maven.surefire.jvm", "gpg.executable", "maven.compiler.executable"}
)
_JVM_PATHS = frozenset({"maven.ext.class.path", "maven.multiModuleProjectDirectory"})


def _maven_setting(word: Word, reading: Reading) -> None:
    """`NAME=VALUE` of `mvn -D`, `gradle -D` and `-P`."""
    name, _, value = shown(word).partition("=")
    if name in _MAVEN_PROGRAM and value:
        _runs(value, reading)
    elif name in _JVM_PATHS and value:
        for text in value.split(":"):
            _given("script", text, reading)
    elif "javaagent:" in value:
        for found in re.findall(r"-javaagent:([^\s=]+)", value):
            _given("script", found, reading)
    elif name in {"altDeploymentRepository", "altReleaseDeploymentRepository", "altSnapshotDeploymentRepository"}:
        address = value[value.find("://") - 8 :] if "://" in value else value
        _given("url", re.sub(r"^.*?([a-z]+://)", r"\1", address), reading)


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


# Converters

_STREAMING = frozenset(
    {"rtmp", "rtmps", "rtsp", "srt", "udp", "tcp", "rtp", "http", "https", "ftp", "sftp", "tls", "icecast", "ws", "wss"}
)
_FILE_FORM = re.compile(r"(?:file|concat|subfile|crypto|async|cache):(?://)?(.*)", re.DOTALL)


def _media(word: Word, reading: Reading, kind: str) -> None:
    text = word.text
    if text is None:
        GIVES[kind](word, reading)
    elif scheme_of(text) in _STREAMING:
        GIVES["url"](word, reading)
        if kind == "write":
            reading.add(EffectKind.PUBLISH, text)
    elif text.startswith(("pipe:", "fd:")):
        return
    elif (found := _FILE_FORM.fullmatch(text)) is not None:
        for part in found[1].split("|"):
            _given(kind, part, reading)
    else:
        GIVES[kind](word, reading)


def _media_input(word: Word, reading: Reading) -> None:
    """What FFmpeg reads: a file, or a stream."""
    _media(word, reading, "read")


def _media_output(word: Word, reading: Reading) -> None:
    """What FFmpeg writes: a file, or a stream to another machine."""
    _media(word, reading, "write")


_MEDIA_FILE = re.compile(
    r"(?:movie|amovie|subtitles|ass|lut3d|drawtext|textfile|fontfile)=(?:filename=|textfile=|f=)?'?([^:,;\[\]']+)"
)


def _media_filter(word: Word, reading: Reading) -> None:
    """A graph of filters: some read files."""
    for found in _MEDIA_FILE.findall(word.text or ""):
        if "/" in found or "." in found:
            _given("read", found, reading)


_TEX_RUNS = re.compile(r"\\(?:write\s*18|ShellEscape|directlua)\s*\{([^}]*)\}")
_TEX_READS = re.compile(
    r"\\(?:input|include|verbatiminput|lstinputlisting|VerbatimInput|includegraphics)(?:\[[^]]*\])?\s*\{([^}]*)\}"
)


def _tex_document(word: Word, reading: Reading) -> None:
    """A document by its name, or text in TeX: what that runs and what it reads."""
    text = word.text or ""
    if not text.startswith("\\"):
        return
    for command in _TEX_RUNS.findall(text):
        _runs_shell(command, reading)
    for name in _TEX_READS.findall(text):
        _given("read", name, reading)


_IMAGE_FORM = re.compile(r"([a-zA-Z][\w-]+):(.*)", re.DOTALL)
_IMAGE_MADE = frozenset(
    {"xc", "canvas", "gradient", "radial-gradient", "plasma", "pattern", "label", "caption", "rose", "logo"}
)
_IMAGE_MADE_TOO = frozenset(
    {"granite", "hald", "tile", "null", "wizard", "netscape", "magick", "mpr", "mpc", "clipboard", "info"}
)


def _image_file(word: Word, reading: Reading, kind: str) -> None:
    text = word.text
    if text is None:
        GIVES[kind](word, reading)
        return
    name = text.partition("[")[0] or text
    if text.startswith("|"):
        _runs_shell(text[1:], reading)
    elif text in {"(", ")", "-"} or name.rpartition(":")[2] == "-":
        return
    elif scheme_of(text) in {"http", "https", "ftp"}:
        GIVES["url"](word, reading)
    elif (found := _IMAGE_FORM.fullmatch(name)) is not None:
        form, rest = found[1].lower(), found[2]
        if form in {"label", "caption", "pango"} and rest.startswith("@"):
            _given("read", rest[1:], reading)
        elif form in {"x", "screen", "win", "screenshot"}:
            reading.add(EffectKind.READ, "the screen")
        elif form not in _IMAGE_MADE and form not in _IMAGE_MADE_TOO and rest:
            _given(kind, rest.lstrip("|"), reading) if not rest.startswith("|") else _runs_shell(rest[1:], reading)
    else:
        _given(kind, name.removeprefix("@"), reading)


def _image_input(word: Word, reading: Reading) -> None:
    """An image to read: a file, `FORMAT:FILE`, a made one (`xc:red`), an address."""
    _image_file(word, reading, "read")


def _image_output(word: Word, reading: Reading) -> None:
    """An image to write; behind `|` a command that takes it."""
    _image_file(word, reading, "write")


def _plugin(word: Word, reading: Reading) -> None:
    """`NAME=PATH` of `protoc --plugin`."""
    name, equals, path = shown(word).partition("=")
    _runs(path if equals else name, reading, side_door=(path or name).startswith("/"))


def _generated(word: Word, reading: Reading) -> None:
    """`OPTIONS:FOLDER` of `protoc --python_out`."""
    _given("write", shown(word).rpartition(":")[2], reading)


def _pandoc_format(word: Word, reading: Reading) -> None:
    """A format by its name, or a script in Lua that reads or writes it."""
    text = (word.text or "").partition("+")[0]
    if word.text is None or "/" in text or text.endswith(".lua"):
        GIVES["script"](word, reading)


def _pipe_percent(word: Word, reading: Reading) -> None:
    """Where Ghostscript writes: a file, or `%pipe%COMMAND`."""
    text = shown(word)
    if text.startswith(("%pipe%", "|")):
        _runs_shell(text.removeprefix("%pipe%").removeprefix("|"), reading)
    elif not text.startswith("%stdout"):
        GIVES["write"](word, reading)


def _named_program(word: Word, reading: Reading) -> None:
    """`--with-PROGRAM`: a plain name is one of the programs that the tool knows, a path may be anything."""
    if word.text is None or "/" in word.text:
        _runs(shown(word), reading)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "build-task": _build_task,
    "cargo-config": _cargo_config,
    "cmake-setting": _cmake_setting,
    "compiler-wrapper": _wrapper,
    "emit": _emit,
    "generated": _generated,
    "go-flags": _go_flags,
    "go-package": _go_package,
    "image-input": _image_input,
    "image-output": _image_output,
    "java-agent": _java_agent,
    "java-main": _java_main,
    "java-tuning": _java_tuning,
    "linker-name": _linker_name,
    "linker-words": _linker_words,
    "make-text": _make_text,
    "make-word": _make_word,
    "maven-setting": _maven_setting,
    "media-filter": _media_filter,
    "media-input": _media_input,
    "media-output": _media_output,
    "named-program": _named_program,
    "pandoc-format": _pandoc_format,
    "pipe-percent": _pipe_percent,
    "plugin": _plugin,
    "rails-code": _rails_code,
    "rustc-codegen": _rustc_codegen,
    "source": _source,
    "tex-document": _tex_document,
}
"""Kinds of value with a grammar of their own, by name."""
