"""Variables that make programs run, load or reach something, and the values that are harmless."""

from __future__ import annotations

import os

import pytest

from ringfence.policy.shell.parse import parse
from ringfence.policy.tools import compiling
from ringfence.policy.tools.environment import FILE, concern


def asked(assignment: str) -> bool:
    """Whether setting a variable like this is a question."""
    [(name, value)] = parse(f"{assignment} x", home="/home/u").commands[0].assignments
    return concern(name, value) is not None


def test_the_compiled_variables_are_what_the_toml_says() -> None:
    with open(os.path.join(f"{FILE}.json"), "rb") as stream:
        assert stream.read() == compiling.variables(), "run `python -m ringfence.policy.tools.compiling`"


@pytest.mark.parametrize(
    "assignment",
    [
        "LD_PRELOAD=./x.so",
        "LD_LIBRARY_PATH=/tmp/x",
        "PYTHONPATH=../outside",
        "PATH=.",
        "PATH=/tmp/evil:$PATH",
        "PATH=$PWD/bin:$PATH",
        "PATH=a/../../x/.venv/bin:$PATH",
        "PATH=",
        "BASH_ENV=./x",
        "ENV=/tmp/x",
        "GIT_SSH_COMMAND='sh -c id'",
        "PAGER=./evil",
        "GIT_EDITOR='vim -c x'",
        "PAGER=$x",
        "NODE_OPTIONS='--require ./x'",
        "PERL5OPT=-Mevil",
        "JAVA_TOOL_OPTIONS=-javaagent:x.jar",
        "HTTPS_PROXY=http://evil.example",
        "GIT_CONFIG_KEY_3=core.pager",
        "PIP_INDEX_URL=http://evil.example",
        "HISTFILE=/dev/null",
    ],
)
def test_what_makes_programs_run_or_load_something_is_asked(assignment: str) -> None:
    assert asked(assignment)


@pytest.mark.parametrize(
    "assignment",
    [
        "CI=1",
        "ENV=production",
        "PAGER=cat",
        "PAGER='less -R'",
        "GIT_PAGER=",
        "EDITOR=vim",
        "GIT_EDITOR=true",
        "LD_LIBRARY_PATH=./lib",
        "PYTHONPATH=src:tests",
        "PYTHONPATH=$PWD/src:$PYTHONPATH",
        "PATH=/usr/local/bin:$PATH",
        "PATH=$PWD/.venv/bin:$PATH",
        "PATH=node_modules/.bin:$PATH",
        "PATH=$HOME/.cargo/bin:$PATH",
        "NODE_OPTIONS=--max-old-space-size=4096",
        "RUBYOPT=-W0",
        "GOFLAGS=-mod=mod",
        "MAKEFLAGS=-j4",
        "GIT_CONFIG_GLOBAL=/dev/null",
    ],
)
def test_values_of_every_day_pass(assignment: str) -> None:
    assert not asked(assignment)
