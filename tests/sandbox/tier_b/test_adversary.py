"""What somebody tries who knows how tier B works: each of these got out, or would, if one line were missing."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.sandbox.boxes import Box

SOURCES = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "send",
    [
        "socket.socket(1, 2).sendto(b'out', path)",
        "socket.socket(1, 3).sendto(b'out', path)",
        "socket.socket(1, 5).sendto(b'out', path)",
        "socket.socketpair(1, 2)[0].sendto(b'out', path)",
        "socket.socketpair(1, 3)[0].sendto(b'out', path)",
        "socket.socketpair(1, 3)[0].sendmsg([b'out'], [], 0, path)",
        "socket.socketpair(1, 5)[0].sendmsg([b'out'], [], 0, path)",
        "socket.socketpair(1, 1)[0].sendmsg([b'out'], [], 0, path)",
    ],
)
async def test_no_datagram_reaches_a_socket_of_the_machine(bare: Box, send: str) -> None:
    path = bare.place.root / "daemon"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(path))
        daemon.setblocking(False)
        done = await bare.python(f"import socket; path = {str(path)!r}; {send}")

        assert done.code == 1
        with pytest.raises(BlockingIOError):
            daemon.recv(9)


@pytest.mark.slow
async def test_a_socket_outside_that_has_the_number_of_a_removed_one_is_not_taken_for_it(bare: Box) -> None:
    made = await bare.python(
        "import os, socket\n"
        "names = [f's{number}' for number in range(40)]\n"
        "made = [socket.socket(1) for name in names]\n"
        "for each, name in zip(made, names): each.bind(name); each.listen()\n"
        "print(*(os.stat(name).st_ino for name in names))\n"
        "for each, name in zip(made, names): each.close(); os.unlink(name)\n"
    )
    numbers = {int(number) for number in made.out.split()}
    outside = [socket.socket(socket.AF_UNIX) for _ in range(80)]
    try:
        for number, each in enumerate(outside):
            each.bind(str(bare.place.root / f"o{number}"))
            each.listen()
        paths = [str(bare.place.root / f"o{number}") for number in range(80)]
        tried = await bare.python(
            f"import socket\nprint([path for path in {paths!r} if not socket.socket(1).connect_ex(path)])"
        )
    finally:
        for each in outside:
            each.close()

    assert len(numbers) == 40
    assert (tried.code, tried.out) == (0, "[]\n"), tried.err


async def test_a_readable_file_keeps_what_only_its_owner_may_set(bare: Box) -> None:
    path = str(bare.place.home / ".gitconfig")

    done = await bare.python(
        "import fcntl, os, struct\n"
        f"held = os.open({path!r}, os.O_RDONLY)\n"
        # FS_IOC_SETVERSION, FS_IOC_ENABLE_VERITY, FS_IOC_SETFLAGS, FS_IOC_SET_ENCRYPTION_POLICY, BTRFS_IOC_SNAP_CREATE
        "for number in (0x40087602, 0x40806685, 0x40086602, 0x800c6613, 0x50009401, 0xffffffff40086602):\n"
        "    try: fcntl.ioctl(held, number & 0xffffffff, bytes(128))\n"
        "    except OSError as error: print(error.errno, end=' ')\n"
        "print(len(fcntl.ioctl(held, 0x80086601, bytes(8))))\n"
    )

    assert (done.out, done.err) == ("95 95 95 95 95 95 8\n", "")


async def test_a_filter_of_its_own_does_not_stand_before_ours(bare: Box) -> None:
    # A program's own supervisor could tell the kernel to go on with a call that would have been put to ours.
    done = await bare.python(
        "import ctypes, os, struct\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "number = {'x86_64': 42, 'aarch64': 203}[os.uname().machine]\n"
        "code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x7fc00000), (6, 0, 0, 0x7fff0000)]\n"
        "lines = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *each) for each in code))\n"
        "program = ctypes.create_string_buffer(struct.pack('=HxxxxxxQ', len(code), ctypes.addressof(lines)))\n"
        "call = {'x86_64': 317, 'aarch64': 277}[os.uname().machine]\n"
        "print(libc.syscall(call, 1, 8, program), ctypes.get_errno())\n"
        "print(libc.syscall(call, 1, 0, program))\n"
        "import socket; print(socket.socket().connect_ex(('192.0.2.1', 80)))\n"
    )

    assert (done.out, done.err) == ("-1 16\n0\n38\n", "")


@pytest.mark.slow
async def test_the_way_of_a_call_is_found_once_however_often_it_is_changed(bare: Box) -> None:
    hook = bare.place.workspace / ".git" / "hooks" / "post-commit"

    done = await bare.python(
        "import ctypes, os, threading\n"
        "libc = ctypes.CDLL(None)\n"
        "os.mkdir('d'); os.symlink('d', 'l1'); os.symlink('.git/hooks', 'l2')\n"
        "text = ctypes.create_string_buffer(b'way/post-commit', 64)\n"
        "stop = []\n"
        "def change():\n"
        "    while not stop:\n"
        "        for to in (b'way/post-commit', b'.git/hooks/post-commit'): ctypes.memmove(text, to, len(to) + 1)\n"
        "def switch():\n"
        "    while not stop:\n"
        "        for to in ('l1', 'l2'):\n"
        "            try: os.symlink(os.readlink(to), 'new'); os.rename('new', 'way')\n"
        "            except OSError: pass\n"
        "threads = [threading.Thread(target=each) for each in (change, switch)]\n"
        "for each in threads: each.start()\n"
        "for number in range(300):\n"
        "    held = libc.open(text, os.O_WRONLY | os.O_CREAT, 0o755)\n"
        "    if held >= 0: os.write(held, b'x'); os.close(held)\n"
        "stop.append(1)\n"
        "for each in threads: each.join()\n"
    )

    assert (done.code, done.err) == (0, "")
    assert not hook.exists()


@pytest.mark.slow
async def test_a_copy_of_a_descriptor_leads_nowhere_else(bare: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        done = await bare.python(
            "import os, socket\n"
            f"there = ('127.0.0.1', {port})\n"
            "first = socket.socket(); copy = socket.socket(fileno=os.dup(first.fileno()))\n"
            "many = [socket.socket() for _ in range(600)]\n"
            "print(first.connect_ex(there), copy.connect_ex(there), many[0].connect_ex(there))\n"
            "a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [many[1].fileno()])\n"
            "got = socket.socket(fileno=socket.recv_fds(b, 1, 1)[1][0]); print(got.connect_ex(there))\n"
            "try: many[2].sendto(b'x', 0x20000000, there)\n"
            "except OSError as error: print(error.errno)\n"
            "try: many[3].sendmsg([b'x'], [], 0, there)\n"
            "except OSError as error: print(error.errno)\n"
        )
        outside.setblocking(False)
        with pytest.raises(BlockingIOError):
            outside.accept()

    assert (done.out, done.err) == ("111 111 111\n111\n95\n32\n", "")


async def test_a_flood_of_calls_leaves_the_others_and_the_session_their_turn(bare: Box) -> None:
    done = await bare.python(
        "import os, socket, time\n"
        "children = []\n"
        "for _ in range(4):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        while True:\n"
        "            try: os.mkdir('/nowhere/x')\n"
        "            except OSError: pass\n"
        "    children.append(child)\n"
        "for number in range(20): open('turn', 'w').close()\n"
        "for child in children: os.kill(child, 9)\n"
        "print('done')\n"
    )

    assert (done.code, done.out, done.err) == (0, "done\n", "")
    assert os.path.exists(bare.place.workspace / "turn")
