"""Texts of agents that bring servers of tools of their own."""

from __future__ import annotations

import pytest
from tests.agents.disk import DictDisk

from ringfence.agents.agent_texts import texts_with_servers


@pytest.mark.parametrize(
    ("text", "brings"),
    [
        (b"---\nname: a\nmcpServers:\n  - x:\n      command: y\n---\nHelp.", True),
        (b"\xef\xbb\xbf---\r\nmcp-servers: {x: {command: y}}\r\n---\r\n", True),
        (b'---\nmcp_servers:\n  x:\n    "command": y\n---\n', True),
        (b'---\n"mcp\\u0053ervers": {x: {"c\\x6fmmand": y}}\n---\n', True),
        (b"---\nmcpServers:\n  - known\n---\nRun a command.", False),
        (b"---\nname: a\n---\nmcpServers: command", False),
        (b"mcpServers: command", False),
        (b"", False),
    ],
)
def test_servers_are_found_in_the_head_alone(text: bytes, brings: bool) -> None:
    found = [one.where for one in texts_with_servers("/a", DictDisk({"/a/x.md": text}))]

    assert found == (["/a/x.md"] if brings else [])


def test_folders_below_are_looked_into_and_what_is_too_much_is_told() -> None:
    text = b"---\nmcpServers: {x: {command: y}}\n---\n"
    deep = DictDisk({"/a/b/c/x.md": text, "/a/readme.txt": text})
    many = DictDisk({f"/a/{number}.md": b"" for number in range(501)})

    assert [one.where for one in texts_with_servers("/a", deep)] == ["/a/b/c/x.md"]
    assert [one.where for one in texts_with_servers("/a", many)] == ["/a"]
