"""The diff of what a tool call would write."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from tests.approvals.made import Time, command, decision, desk_at

from ringfence.approvals.objects import Request
from ringfence.cli.approvals_edits import MOST_LINES, edit_lines
from ringfence.cli.approvals_record import put_on_record
from ringfence.model.action import Action, FileAction, FileOperation, OpaqueAction
from ringfence.model.event import ToolCallRequested

ASKED = "  edit     from the arguments above"
REPORTED = "  edit     as the agent reported it; only the file is approved"


def asked(action: Action, workspace: str = "/w", time_ns: int | None = None) -> Request:
    time = Time()
    time.now_ns = time_ns or time.now_ns
    desk = desk_at(":memory:", time)
    return desk.open(
        decision(action), session="session-1", workspace=workspace, channel="queue", prompt=("may it?",), seconds=60
    )[0]


def tool(workspace: str = "/w", **arguments: object) -> Request:
    return asked(OpaqueAction(tool="edit", arguments=json.dumps(arguments)), workspace)


def test_an_exchange_of_two_texts_is_a_diff() -> None:
    request = tool(file_path="a.py", old_string="x = 1\ny = 2", new_string="x = 2\ny = 2")

    assert edit_lines(request, "") == [
        ASKED,
        "    --- a.py",
        "    +++ a.py",
        "    @@ -1,2 +1,2 @@",
        "    -x = 1",
        "    +x = 2",
        "     y = 2",
    ]


def test_each_of_several_edits_is_shown() -> None:
    request = tool(path="a.py", edits=[{"oldText": "a", "newText": "b"}, {"oldText": "c", "newText": "d"}])

    assert [line for line in edit_lines(request, "") if line[4:5] in "+-" and line[5:6] not in "+-"] == [
        "    -a",
        "    +b",
        "    -c",
        "    +d",
    ]


def test_a_file_that_is_written_whole_is_compared_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo")

    lines = edit_lines(tool(str(tmp_path), path="a.txt", content="one\nthree"), "")

    assert lines[-2:] == ["    -two", "    +three"]


def test_a_pipe_that_the_agent_names_does_not_make_anybody_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert edit_lines(tool(str(tmp_path), path="pipe", content="one"), "")[-1] == "    +one"


def test_what_an_edit_hides_is_made_visible() -> None:
    assert edit_lines(tool(path="a", old_string="", new_string="\x1b[2J\u202e"), "")[-1] == "    +\\x1b[2J\\u202e"


def test_a_long_edit_says_how_much_of_it_is_not_shown() -> None:
    lines = edit_lines(tool(patch="\n".join("+" for _ in range(MOST_LINES + 7))), "")

    assert (len(lines), lines[-1]) == (MOST_LINES + 2, "           ... 7 lines are not shown")


@pytest.mark.parametrize("arguments", [{"path": "a"}, {"edits": "x"}, {"content": "no path"}, {"old_string": 3}])
def test_arguments_that_say_no_edit_have_no_diff(arguments: dict[str, object]) -> None:
    assert edit_lines(tool(**arguments), "") == []


def test_a_command_has_no_diff() -> None:
    assert edit_lines(asked(command("sed", "-i", "s/a/b/", "x")), "") == []


async def test_the_edit_of_a_file_is_the_one_that_was_reported_last_before_the_question(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger.db")

    def reported(path: str, new: str) -> ToolCallRequested:
        arguments = json.dumps({"file_path": path, "old_string": "old", "new_string": new})
        return ToolCallRequested(tool="Edit", call="1", arguments=arguments)

    await asyncio.to_thread(
        put_on_record, ledger, "session-1", reported("a.py", "first"), reported("/w/a.py", "last"), reported("b", "b")
    )
    action = FileAction(operation=FileOperation.WRITE, path="/w/a.py")

    assert edit_lines(asked(action, time_ns=2**62), ledger) == [
        REPORTED,
        "    --- /w/a.py",
        "    +++ /w/a.py",
        "    @@ -1 +1 @@",
        "    -old",
        "    +last",
    ]
    assert edit_lines(asked(action), ledger) == []
