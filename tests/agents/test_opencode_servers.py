"""The servers of tools of opencode: behind the stand-in by the settings that it reads last."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from tests.agents.disk import DictDisk
from tests.agents.known import set_up

from ringfence.agents.agent import AgentSetup
from ringfence.agents.mcp_wrapping import SCRIPT

GLOBAL = "/h/.config/opencode/opencode.json"


class Linked(DictDisk):
    def is_link(self, path: str) -> bool:
        return path == "/w/opencode.json"


prepared = partial(set_up, "opencode")


def local(*command: str, **more: object) -> dict[str, object]:
    return {"type": "local", "command": list(command), **more}


def behind(name: str, *command: str) -> dict[str, object]:
    wrapped = ["/bin/sh", "-c", SCRIPT, "/usr/bin/python3", *command]
    return {"type": "local", "command": wrapped, "environment": {"RINGFENCE_MCP_NAME": name}}


def content(setup: AgentSetup) -> Any:
    return json.loads(dict(setup.set)["OPENCODE_CONFIG_CONTENT"])


def told(setup: AgentSetup) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.where, one.why, one.names) for one in setup.unseen]


def test_servers_of_the_person_and_of_the_project_are_started_behind_the_stand_in_and_files_stay_as_they_are() -> None:
    files: dict[str, object] = {
        GLOBAL: {"mcp": {"mine": local("mine", "-v", environment={"KEY": "secret"}), "both": local("of-mine")}},
        "/w/opencode.jsonc": b'{"mcp": {"both": {"type": "local", "command": ["of-project"],},}, // over mine\n}',
        "/w/.opencode/opencode.json": {"mcp": {"servers": {"new": local("new", disabled=True)}}},
        "/w/.git/HEAD": b"x",
    }

    setup = prepared(files)

    assert content(setup) == {
        "mcp": {
            "mine": behind("mine", "mine", "-v"),
            "both": behind("both", "of-project"),
            "new": behind("new", "new"),
        }
    }
    assert (told(setup), setup.overlays) == ([], ())
    assert [bind.source for bind in setup.binds] == [GLOBAL]
    assert [file.path for file in setup.files if file.path.startswith("/h/")] == ["/h/.config/opencode/.gitignore"]


def test_servers_that_are_reached_are_not_started_and_those_that_are_seen_stay() -> None:
    servers = {"far": {"type": "remote", "url": "https://x.test"}, "ours": local("ringfence", "mcp", "--", "notes")}

    setup = prepared({GLOBAL: {"mcp": servers}})

    assert (setup.set, told(setup)) == ((), [])


def test_what_calls_itself_ringfence_is_wrapped_where_it_may_be_another_program() -> None:
    moved = local("ringfence", "mcp", "--", "notes", environment={"PATH": "/w/bin"})

    setup = prepared({"/w/opencode.json": {"mcp": {"a": moved, "b": local("/w/ringfence", "mcp")}}})

    assert sorted(content(setup)["mcp"]) == ["a", "b"]


def test_files_lie_over_each_other_as_opencode_reads_them() -> None:
    files = {
        "/w/opencode.json": {"mcp": {"a": local("root"), "b": local("root")}},
        "/w/sub/opencode.json": {"mcp": {"a": local("sub")}},
        "/w/sub/.opencode/opencode.json": {"mcp": {"b": local("nearest")}},
        "/w/.opencode/opencode.json": {"mcp": {"b": local("outermost")}},
        "/x/opencode.json": {"mcp": {"c": local("named"), "a": local("named")}},
    }

    setup = prepared(files, cwd="/w/sub", OPENCODE_CONFIG="/x/opencode.json")

    assert content(setup)["mcp"] == {
        "a": behind("a", "sub"),
        "b": behind("b", "outermost"),
        "c": behind("c", "named"),
    }
    assert "OPENCODE_CONFIG" in setup.keep
    assert [bind.source for bind in setup.binds] == ["/x/opencode.json"]


def test_it_works_in_the_folder_that_its_command_line_names() -> None:
    files: dict[str, object] = {"/w/sub/opencode.json": {"mcp": {"a": local("sub")}}}

    assert prepared(files).set == ()
    for words in (("sub",), ("run", "--dir", "sub", "hi"), ("run", "--dir=sub"), ("-m", "x/y", "/w/sub")):
        assert content(prepared(files, *words))["mcp"] == {"a": behind("a", "sub")}, words
    assert prepared(files, "run", "sub").set == ()


def test_a_person_who_wants_no_settings_of_projects_gets_none_of_their_servers() -> None:
    files: dict[str, object] = {"/w/opencode.json": {"mcp": {"a": local("a")}}}

    setup = prepared(files, OPENCODE_DISABLE_PROJECT_CONFIG="1")

    assert (setup.set, told(setup)) == ((), [])
    assert "OPENCODE_DISABLE_PROJECT_CONFIG" in setup.keep


def test_what_the_persons_own_variable_says_stays_said() -> None:
    own = {"model": "x/y", "mcp": {"a": local("a", enabled=False), "far": {"type": "remote", "url": "https://x.test"}}}

    setup = prepared({}, OPENCODE_CONFIG_CONTENT=json.dumps(own))

    assert content(setup) == {
        "model": "x/y",
        "mcp": {"a": {**behind("a", "a"), "enabled": False}, "far": {"type": "remote", "url": "https://x.test"}},
    }


def test_what_cannot_be_wrapped_is_told_with_the_reason() -> None:
    files: dict[str, object] = {
        GLOBAL: b'{"mcp": {',
        "/w/opencode.json": {"mcp": {"linked": local("a")}},
        "/w/opencode.jsonc": {"mcp": {"filed": local("{file:./command}")}},
        "/h/.local/share/opencode/auth.json": {"https://corp.test": {"type": "wellknown", "key": "K", "token": "t"}},
    }

    setup = prepared(files, disk=Linked)

    assert [(where, names) for where, _, names in told(setup)] == [
        (GLOBAL, ()),
        ("/w/opencode.json", ()),
        ("opencode.json", ("filed",)),
        ("https://corp.test", ()),
    ]
    assert setup.set == ()


def test_a_file_that_is_there_and_cannot_be_read_is_told() -> None:
    class Large(DictDisk):
        def read_file(self, path: str) -> bytes | None:
            return None if path == GLOBAL else super().read_file(path)

    setup = prepared({GLOBAL: {}}, disk=Large)

    assert told(setup) == [(GLOBAL, "it cannot be read: it is no file that can be read, or too large", ())]


def test_servers_that_are_too_long_for_a_variable_are_told() -> None:
    setup = prepared({GLOBAL: {"mcp": {"a": local("x" * 200_000)}}})

    assert (setup.set, told(setup)) == (
        (),
        [("OPENCODE_CONFIG_CONTENT", "they are too long for one variable", ("a",))],
    )
