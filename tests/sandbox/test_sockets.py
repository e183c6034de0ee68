from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sandbox.boxes import RULES, Box, Place

from ringfence.policy.effective import Access
from ringfence.sandbox.launch import launch
from ringfence.sandbox.live_sockets import live

CONNECT = (
    "import os, socket\n"
    "for path in PATHS:\n"
    "    os.chdir(os.path.dirname(path) or '.')\n"
    "    with socket.socket(socket.AF_UNIX) as client:\n"
    "        try: client.connect(os.path.basename(path)); print('THROUGH')\n"
    "        except OSError as error: print(error.errno)\n"
)
KINDS = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM, "packets": socket.SOCK_SEQPACKET}


@contextlib.contextmanager
def daemon(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as listener:
        before = os.getcwd()
        os.chdir(path.parent)  # the whole path would be too long for an address
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)
        if kind != socket.SOCK_DGRAM:
            listener.listen()
        yield listener


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_socket_is_live_while_somebody_has_it_and_nobody_is_disturbed(tmp_path: Path, kind: int) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    os.symlink("live", tmp_path / "link")
    names = ("live", "file", "pipe", "link", "missing")

    with daemon(tmp_path / "live", kind) as listener:
        found = live(str(tmp_path), names)
        with pytest.raises(BlockingIOError):
            listener.recv(1) if kind == socket.SOCK_DGRAM else listener.accept()
    afterwards = live(str(tmp_path), names)

    assert found == ["live"]
    assert afterwards == []


async def test_sockets_of_daemons_outside_are_hidden_and_named(place: Place) -> None:
    other, inner = place.root / "other", place.workspace / "run"
    other.mkdir()
    inner.mkdir()
    rules = (*RULES, (str(other), Access.READ))
    with daemon(inner / "d.sock"), daemon(other / "d.sock"), daemon(place.workspace / "stale"):
        pass
    (inner / "d.sock").unlink()
    (other / "d.sock").unlink()

    with daemon(inner / "d.sock") as first, daemon(other / "d.sock") as second:
        async with launch(place.plan(rules)) as sandbox:
            tried = await Box(sandbox, place).python(_connect("run/d.sock", os.path.relpath(other / "d.sock", inner)))
            moved = await Box(sandbox, place).shell(
                "rm -f run/d.sock; mv run r && rm -f r/d.sock; rm stale && echo GONE"
            )
            notices = sandbox.notices
        for listener in (first, second):
            with pytest.raises(BlockingIOError):
                listener.accept()

    assert tried.out.split() == ["13", "13"]
    assert moved.err.count("busy") == 2
    assert moved.out == "GONE\n"
    [notice] = [each for each in notices if "programs outside listen" in each]
    assert str(inner / "d.sock") in notice and str(other / "d.sock") in notice


async def test_a_socket_in_a_workspace_that_is_only_read_is_hidden(place: Place) -> None:
    rules = ((":workspace", Access.READ),)

    with daemon(place.workspace / "d.sock"):
        async with launch(place.plan(rules)) as sandbox:
            tried = await Box(sandbox, place).python(_connect("d.sock"))

    assert tried.out.split() == ["13"]


async def test_a_socket_that_is_named_is_open(place: Place) -> None:
    path = place.workspace / "d.sock"

    with daemon(path):
        async with launch(place.plan(extra_write=[str(path)])) as sandbox:
            tried = await Box(sandbox, place).python(_connect("d.sock"))

    assert tried.out.split() == ["THROUGH"]


def _connect(*paths: str) -> str:
    return f"PATHS = {paths!r}\n" + CONNECT
