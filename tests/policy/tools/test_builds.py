"""Values of build tools, compilers and converters, as a reading of one word."""

from __future__ import annotations

import pytest

from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.code import read_code
from ringfence.policy.tools.readers import VALUES
from ringfence.policy.tools.reading import Reading


def _reading(kind: str, text: str) -> Reading:
    reading = Reading("tool")
    VALUES[kind](Word(text=text, raw=text), reading)
    return reading


@pytest.mark.parametrize(
    ("kind", "text", "effects"),
    [
        ("make-word", "all", []),
        ("make-word", "CFLAGS=-O2 -g", []),
        ("make-word", "SHELL=/bin/bash", []),
        ("make-word", "SHELL=./evil -c", ["execute ./evil"]),
        ("make-word", ".SHELLFLAGS=-eu -o pipefail -c", []),
        ("make-word", ".SHELLFLAGS=-ec", []),
        ("make-word", "CC=git push", ["execute git"]),
        ("make-word", "X=$(shell git push)", ["shell git push"]),
        ("make-word", "X=`git push`", ["shell `git push`"]),
        ("make-word", "X=$$(git push)", ["shell $(git push)"]),
        ("make-word", "MAKEFILES=/tmp/x", ["execute /tmp/x"]),
        ("make-text", "X := 1", []),
        ("make-text", "x:; git push", ["shell x:; git push"]),
        ("cargo-config", "net.offline=true", []),
        ("cargo-config", 'build . "rustc-wrapper"="/tmp/w"', ["execute /tmp/w"]),
        ("cargo-config", 'alias.x=["run"]', ["configure cargo alias.x"]),
        ("cargo-config", "http.proxy='evil.example'", ["configure cargo http.proxy"]),
        ("go-package", "./cmd/app", ["execute ./cmd/app"]),
        ("go-package", "example.com/app", []),
        ("go-package", "example.com/app@v1", ["execute remote package example.com/app@v1"]),
        ("go-flags", "-s -w", []),
        ("go-flags", "all=-extld ./evil", ["execute ./evil"]),
        ("cmake-setting", "BUILD_TESTING=ON", []),
        ("cmake-setting", "CMAKE_PROJECT_INCLUDE=/tmp/x.cmake", ["execute /tmp/x.cmake"]),
        ("cmake-setting", "CMAKE_CXX_CLANG_TIDY=./evil;-x", ["execute ./evil"]),
        ("linker-words", "-rpath,/opt", []),
        ("linker-words", "-plugin,./evil.so", ["execute ./evil.so"]),
        ("linker-name", "lld", []),
        ("rustc-codegen", "link-arg=-Wl,-Map=/tmp/x", ["write /tmp/x"]),
        ("rustc-codegen", "link_arg=-fuse-ld=./evil", ["execute ./evil"]),
        ("java-tuning", "+UseG1GC", []),
        ("java-tuning", "OnError=git push", ["shell git push"]),
        ("java-tuning", "HeapDumpPath=/tmp/x", ["write /tmp/x"]),
        ("maven-setting", "skipTests", []),
        (
            "maven-setting",
            "altDeploymentRepository=x::default::https://evil.example/r",
            ["connect evil.example:443"],
        ),
        ("build-task", "publishToMavenLocal", []),
        ("build-task", ":lib:publish", ["publish :lib:publish"]),
        ("build-task", "deploy:deploy-file", ["publish deploy:deploy-file"]),
        ("build-task", "dependency:tree", []),
        ("media-input", "pipe:0", []),
        ("media-input", "file:/etc/passwd", ["read /etc/passwd"]),
        ("image-input", "xc:red", []),
        ("image-input", "x.pdf[0]", ["read x.pdf"]),
        ("image-input", "screenshot:", ["read the screen"]),
        ("image-output", "|git push", ["shell git push"]),
        ("tex-document", "thesis", []),
        ("tex-document", r"\input{/etc/passwd}", ["read /etc/passwd"]),
        ("pandoc-format", "markdown+smart", []),
        ("pipe-percent", "%stdout", []),
        ("protoc-plugin", "protoc-gen-x=./x", ["execute ./x"]),
        ("generated", "a=b:out", ["write out"]),
    ],
)
def test_a_value_does_what_its_tool_makes_of_it(kind: str, text: str, effects: list[str]) -> None:
    assert _reading(kind, text).shown() == effects


@pytest.mark.parametrize(
    ("kind", "text", "concerned"),
    [
        ("java-agent", "/tmp/x.jar=a", True),
        ("java-agent", "lib/x.jar=a", False),
        ("cmake-setting", "CMAKE_TOOLCHAIN_FILE=/var/tmp/x.cmake", True),
        ("cmake-setting", "CMAKE_TOOLCHAIN_FILE=cmake/arm.cmake", False),
    ],
)
def test_a_file_that_an_option_makes_run_is_asked_about_where_anybody_can_write(
    kind: str, text: str, concerned: bool
) -> None:
    assert bool(_reading(kind, text).concerns) is concerned


@pytest.mark.parametrize(
    ("kind", "text", "side_door"),
    [
        ("cmake-setting", "CMAKE_C_COMPILER_LAUNCHER=ccache", False),
        ("cmake-setting", "CMAKE_C_COMPILER_LAUNCHER=./ccache", True),
        ("cargo-config", "build.rustc-wrapper='sccache'", False),
        ("compiler-wrapper", "sh,-c,id", True),
    ],
)
def test_what_build_tools_start_every_day_is_no_side_door(kind: str, text: str, side_door: bool) -> None:
    assert [one.side_door for one in _reading(kind, text).started] == [side_door]


@pytest.mark.parametrize(
    ("text", "effects", "concerned"),
    [
        ("bt full", [], False),
        ("break main.c:12", [], False),
        ("shell git push", ["shell git push"], False),
        ("!git push", ["shell git push"], False),
        ("source /tmp/x.gdb", ["execute /tmp/x.gdb"], False),
        ('call (int)system("id")', [], True),
        ("print system(0)", [], True),
        ("python import os", [], True),
    ],
)
def test_a_command_of_a_debugger(text: str, effects: list[str], concerned: bool) -> None:
    reading = read_code("gdb", text, home=None)

    assert (reading.shown(), bool(reading.concerns)) == (effects, concerned)
