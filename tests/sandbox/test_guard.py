"""What somebody outside replaces while a session runs stays protected inside: the kernel alone would let go of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from tests.sandbox.boxes import RULES, Box, Place, guard_asleep, guard_woken, told_by_guard

import ringfence
from ringfence.policy.effective import Access, WayPolicy
from ringfence.sandbox import stubs
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.syscalls import older


async def test_settings_that_git_replaces_outside_stay_behind_the_copy(git_box: Box) -> None:
    place = git_box.place

    place.git("config", "branch.main.description", "mine")
    said = await told_by_guard(git_box, 1)
    tried = await git_box.shell("git config core.fsmonitor evil; echo evil >> .git/config; mv .git/config x")

    assert said == [("again", "config")]
    assert "busy" in tried.err
    assert "evil" not in (place.workspace / ".git" / "config").read_text()
    assert "mine" in (place.workspace / ".git" / "config").read_text()


async def test_a_control_file_that_an_editor_replaces_stays_read_only(repository: Place) -> None:
    (repository.workspace / ".mcp.json").write_text("{}")
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        (repository.workspace / "new").write_text('{"mine": 1}')
        os.rename(repository.workspace / "new", repository.workspace / ".mcp.json")
        said = await told_by_guard(box, 1)
        tried = await box.shell("echo evil > .mcp.json; rm .mcp.json")
    finally:
        await sandbox.close()

    assert said == [("again", ".mcp.json")]
    assert tried.code != 0
    assert (repository.workspace / ".mcp.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_what_is_removed_outside_cannot_be_made_inside(repository: Place, kind: str) -> None:
    path = repository.workspace / (".mcp.json" if kind == "file" else ".vscode")
    if kind == "file":
        path.write_text("{}")
    else:
        path.mkdir()
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        if kind == "file":
            path.unlink()
        else:
            path.rmdir()
        said = await told_by_guard(box, 1)
        tried = await box.shell("echo evil > .mcp.json && exit 1; echo evil > .vscode/tasks.json")
    finally:
        await sandbox.close()

    assert said == [("held", path.name)]
    assert tried.code != 0
    assert not path.exists(), "nothing of it stays"


@pytest.mark.parametrize("name", [".vscode", ".mcp.json", ".git/hooks", ".git/config"])
async def test_what_is_moved_away_outside_cannot_be_made_inside(repository: Place, name: str) -> None:
    path = repository.workspace / name
    if name == ".vscode":
        path.mkdir()
    elif name == ".mcp.json":
        path.write_text("{}")
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        os.rename(path, f"{path}.mine")
        said = await told_by_guard(box, 1)
        tried = await box.shell(f"mkdir -p {name}; echo evil > {name}/evil || echo evil > {name}")
        is_made = os.path.exists(f"{path}/evil") or (path.is_file() and "evil" in path.read_text())
    finally:
        await sandbox.close()

    assert said == [("held", path.name)]
    # What Git settings lead to is the session's copy, and may be written.
    assert tried.code != 0 or name == ".git/config"
    assert not is_made


async def test_what_runs_inside_does_not_wake_the_guard(git_box: Box) -> None:
    # `git status` makes a file beside Git's settings each time, and programs make them beside the control files.
    busy = "for n in $(seq 200); do : > x$n; mv x$n y; rm y; done; for n in $(seq 5); do git status; git add a; done"

    git_box.place.git("config", "branch.main.description", "first")
    assert await told_by_guard(git_box, 1) == [("again", "config")]
    before = await guard_asleep(git_box)
    done = await git_box.shell(busy)
    woken = guard_woken(git_box) - before
    git_box.place.git("config", "branch.main.description", "mine")
    said = await told_by_guard(git_box, 1)

    assert done.code == 0, done.err
    assert woken == 0
    assert said == [("again", "config")]
    assert guard_woken(git_box) > before, "it is the guard that is counted"


_WITHOUT_WORD = """
import os, socket, sys, threading
from ringfence.sandbox import guard, mounts, syscalls
at = mounts.Root.open
def open_(self, path, flags=os.O_PATH):
    if path.endswith("mountinfo"):
        raise PermissionError(path)
    return at(self, path, flags)
mounts.Root.open = open_
path = sys.argv[1]
mounts.Root.entered().rebind(path, syscalls.RDONLY)
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
standing = guard.Guard({"read_only": [path], "pinned": [], "stubs": [], "settings": []}, theirs)
print("ready", flush=True)
threading.Thread(target=lambda: print(ours.recv(4096).decode(), flush=True), daemon=True).start()
standing.serve(os.getppid())
"""


@pytest.mark.parametrize("change", ["replaced", "removed", "moved"])
def test_where_the_kernel_says_nothing_of_mounts_every_change_is_looked_at(tmp_path: Path, change: str) -> None:
    protected = tmp_path / "control"
    protected.write_text("mine")
    environment = {**os.environ, "PYTHONPATH": str(Path(ringfence.__file__).parents[1])}
    command = ("unshare", "-Urm", sys.executable, "-c", _WITHOUT_WORD, str(protected))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline() == "ready\n"
            if change == "replaced":
                (tmp_path / "new").write_text("new")
                os.rename(tmp_path / "new", protected)
            elif change == "removed":
                protected.unlink()
            else:
                os.rename(protected, tmp_path / "elsewhere")
            said = watching.stdout.readline()
        finally:
            watching.kill()

    assert said == f"{'again' if change == 'replaced' else 'held'} {protected}\n"


@pytest.mark.parametrize("put_back", [False, True])
async def test_a_session_learns_that_the_folder_of_what_is_protected_was_moved(
    repository: Place, put_back: bool
) -> None:
    sandbox = await Sandbox.start(repository.plan())
    try:
        os.rename(repository.workspace / ".git", repository.root / "away")
        if put_back:
            repository.host("git", "init", "-q")
        said = await told_by_guard(Box(sandbox, repository), 1)
    finally:
        await sandbox.close()

    # Nothing that is there now was looked at when the session began: it is the agent's to fill.
    assert said == [("lost", ".git")]


@pytest.mark.parametrize("name", ["worktrees", "modules"])
async def test_folders_of_repositories_that_are_removed_outside_stay_the_sessions_own(git_box: Box, name: str) -> None:
    place = git_box.place
    git = place.workspace / ".git"
    make = f"mkdir -p .git/{name}/{{}}/hooks && echo evil > .git/{name}/{{}}/hooks/post-checkout"

    before = await git_box.shell(make.replace("{}", "before"))
    if name == "worktrees":
        # It prunes working trees, and removes their folder where there is none.
        place.git("gc", "-q")
    else:
        (git / name).rmdir()
    said = await told_by_guard(git_box, 1)
    again = await git_box.shell(f"ls .git/{name}; {make.replace('{}', 'after')}")
    (git / name).rmdir()
    second = await told_by_guard(git_box, 1)
    more = await git_box.shell(f"ls .git/{name}")

    assert before.code == again.code == 0, again.err
    assert said == second == [("held", name)]
    assert again.out == "before\n"
    assert more.out == "after\nbefore\n"
    assert not os.listdir(git / name), "what is made there would run outside"


_ELSEWHERE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
folder, user = os.open(".", os.O_RDONLY), os.getuid()
assert libc.unshare(0x10020000) == 0
open("/proc/self/uid_map", "w").write(f"0 {user} 1")
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0
os.chdir("/tmp")
assert libc.syscall(ctypes.c_long(PIVOT_ROOT), b".", b".") == 0
assert libc.umount2(b".", 2) == 0
os.close(os.open("evil", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
os.rename("evil", "NAME", src_dir_fd=folder, dst_dir_fd=folder)
"""


@pytest.mark.parametrize("name", [".mcp.json", ".env", "schema"])
async def test_a_session_ends_whose_namespaces_inside_replace_what_is_protected(repository: Place, name: str) -> None:
    (repository.workspace / name).write_text("{}")
    rules = (*RULES, ("schema", Access.READ))
    plan = msgspec.structs.replace(repository.plan(rules=rules), ways=WayPolicy(nested_namespaces=True))
    sandbox = await Sandbox.start(plan)
    try:
        box = Box(sandbox, repository)
        await box.python(_ELSEWHERE.replace("PIVOT_ROOT", str(older("pivot_root"))).replace("NAME", name))
        said = await told_by_guard(box, 1)
    finally:
        await sandbox.close()

    # The kernel allows it, and does not say who did it.
    assert said == [("lost", name)]
    assert (repository.workspace / name).read_text() == "", "or this shows nothing"


@pytest.mark.parametrize(("moved", "told"), [(".git/hooks", "held"), (".git", "lost")])
async def test_what_may_not_be_read_hides_no_move_from_the_guard(repository: Place, moved: str, told: str) -> None:
    # Its folder is then watched for every change, beside being watched for its own move.
    (repository.workspace / ".git" / "hooks").chmod(0)
    sandbox = await Sandbox.start(repository.plan())
    try:
        await asyncio.sleep(0.3)
        os.rename(repository.workspace / moved, repository.workspace / f"{moved}.mine")
        said = await told_by_guard(Box(sandbox, repository), 1)
    finally:
        await sandbox.close()

    assert said == [(told, os.path.basename(moved))]


async def test_names_of_one_file_are_each_protected_again(repository: Place) -> None:
    names = [".mcp.json", "opencode.json"]
    (repository.workspace / names[0]).write_text("{}")
    os.link(repository.workspace / names[0], repository.workspace / names[1])
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        await asyncio.sleep(0.3)
        said = []
        for name in names:
            os.rename(repository.workspace / name, repository.workspace / f"{name}.mine")
            said += await told_by_guard(box, 1)
        tried = await box.shell(f"echo evil > {names[0]} || echo evil > {names[1]}")
    finally:
        await sandbox.close()

    assert said == [("held", name) for name in names]
    assert tried.code != 0


@pytest.mark.parametrize("where", ["inside", "outside"])
async def test_a_session_goes_on_after_a_repository_in_the_workspace_was_moved(repository: Place, where: str) -> None:
    library = repository.workspace / "library"
    library.mkdir()
    repository.host("git", "init", "-q", "library")
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        if where == "inside":
            assert (await box.shell("mv library other")).code == 0
        else:
            os.rename(library, library.with_name("other"))
        repository.git("config", "branch.main.description", "mine")
        said = await told_by_guard(box, 1)
        tried = await box.shell("echo evil > other/.git/hooks/pre-commit || mv other/.git/hooks x")
    finally:
        await sandbox.close()

    assert said == [("again", "config")]
    assert tried.code != 0


async def test_folders_that_are_made_and_removed_inside_end_no_session(place: Place) -> None:
    folders = [place.workspace / each for each in ("a", "a/b", "a/b/c", "a/b/c/d")]
    folders[-1].mkdir(parents=True)
    (folders[-1] / ".env").write_text("KEY=old")
    program = (
        "import os, time\n"
        "until, names = time.time() + 3, ['a', 'a/b', 'a/b/c', 'a/b/c/d']\n"
        "os.rename('a', 'before')\n"
        "while time.time() < until:\n"
        "    for name in names: os.mkdir(name)\n"
        "    for name in reversed(names): os.rmdir(name)\n"
    )
    sandbox = await Sandbox.start(place.plan())
    try:
        box = Box(sandbox, place)
        await box.python(program)
        folders[-1].mkdir(parents=True)
        (folders[-1] / ".env").write_text("KEY=new")
        said = await told_by_guard(box, 1)
        read = await box.shell("cat a/b/c/d/.env")
    finally:
        await sandbox.close()

    assert said == [("hidden", ".env")]
    assert "KEY" not in read.out


async def test_a_place_holder_of_the_guard_goes_with_a_session_that_is_killed(place: Place) -> None:
    (place.workspace / ".mcp.json").write_text("{}")
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from tests.sandbox.boxes import Place\n"
        "from ringfence.sandbox.launch import Sandbox\n"
        "async def main():\n"
        "    place = Place(*map(Path, sys.argv[1:]))\n"
        "    sandbox, said = await Sandbox.start(place.plan()), []\n"
        "    sandbox.take_guard(lambda *what: said.append(what))\n"
        "    os.unlink(place.workspace / '.mcp.json')\n"
        "    while not said: await asyncio.sleep(0.01)\n"
        "    print(*said, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    places = (place.root, place.home, place.workspace, place.state)
    done = await asyncio.to_thread(
        subprocess.run, (sys.executable, "-c", program, *places), capture_output=True, text=True, timeout=30
    )
    left = place.names()

    stubs.sweep(str(place.state))

    assert done.stdout == f"('held', '{place.workspace}/.mcp.json')\n", done.stderr
    assert ".mcp.json" in left
    assert ".mcp.json" not in place.names()


async def test_a_place_holder_of_the_guard_stays_for_as_long_as_another_session_needs_it(repository: Place) -> None:
    paths = [repository.workspace / name for name in (".vscode", ".git/hooks")]
    paths[0].mkdir()
    first = await Sandbox.start(repository.plan())
    try:
        for path in paths:
            shutil.rmtree(path)
        await told_by_guard(Box(first, repository), 2)
        second = await Sandbox.start(repository.plan())
    finally:
        await first.close()
    said: list[tuple[str, str]] = []
    try:
        second.take_guard(lambda *what: said.append(what))
        await asyncio.sleep(0.3)
        standing = [path.exists() for path in paths]
    finally:
        await second.close()

    assert said == []
    assert standing == [True, True]
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize(
    ("call", "error"),
    [("294 if os.uname().machine == 'x86_64' else 26", 24), ("254 if os.uname().machine == 'x86_64' else 27", 28)],
    ids=["instance", "watch"],
)
async def test_without_a_watch_to_be_had_what_is_replaced_is_protected_again_and_the_session_says_so(
    place: Place, call: str, error: int
) -> None:
    for name in (".mcp.json", ".env", "new", "secret"):
        (place.workspace / name).write_text("{}")
    # As where editors have taken all watches that an account may have: no more of them, for all that is started here.
    program = (
        "import asyncio, ctypes, os, struct, sys, time\n"
        "from pathlib import Path\n"
        "from tests.sandbox.boxes import Box, Place\n"
        "from ringfence.sandbox.launch import Sandbox\n"
        f"call, error = ({call}), {error}\n"
        "steps = (0x20, 0, 0, 0), (0x15, 0, 1, call), (6, 0, 0, 0x50000 | error), (6, 0, 0, 0x7fff0000)\n"
        "code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *each) for each in steps))\n"
        "libc, filters = ctypes.CDLL(None), struct.pack('HxxxxxxQ', len(steps), ctypes.addressof(code))\n"
        "assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filters, 0, 0) == 0\n"
        "async def main():\n"
        "    place = Place(*map(Path, sys.argv[1:]))\n"
        "    sandbox, said = await Sandbox.start(place.plan()), []\n"
        "    sandbox.take_guard(lambda *what: said.append(what))\n"
        "    os.rename(place.workspace / 'new', place.workspace / '.mcp.json')\n"
        "    os.rename(place.workspace / 'secret', place.workspace / '.env')\n"
        "    until = time.time() + 10\n"
        "    while len(said) < 4 and time.time() < until: await asyncio.sleep(0.01)\n"
        "    done = await Box(sandbox, place).shell('cat .env; echo evil > .mcp.json')\n"
        "    await sandbox.close()\n"
        "    print(sorted(what for what, _ in said), done.code, done.out)\n"
        "asyncio.run(main())\n"
    )
    argv = (sys.executable, "-c", program, *map(str, (place.root, place.home, place.workspace, place.state)))
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=30)

    assert done.stdout == "['again', 'hidden', 'none', 'unhidden'] 1 \n", done.stderr


async def test_a_control_file_may_be_replaced_outside_by_removing_it_first(place: Place) -> None:
    """As Git does it, and editors: it makes the file only where there is none, or fails half-way."""
    file = place.workspace / ".mcp.json"
    file.write_text("{}")
    refused, said = 0, list[tuple[str, str]]()
    sandbox = await Sandbox.start(place.plan())
    try:
        box = Box(sandbox, place)
        for _ in range(30):
            file.unlink()
            until = time.monotonic() + 0.001
            while time.monotonic() < until:
                pass
            try:
                file.open("x").close()
            except FileExistsError:
                refused += 1
            said += await told_by_guard(box, 1)
        tried = await box.shell("echo evil > .mcp.json")
    finally:
        await sandbox.close()

    # On a busy machine a moment is long.
    assert refused < 15, said
    assert tried.code != 0
