"""Secrets in a workspace that can be written: hidden by Landlock alone, while everything beside them can be made,
changed, run and removed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox import stores
from ringfence.sandbox.launch import Sandbox


@pytest.fixture
def workspace(repository: Place) -> Place:
    (repository.workspace / ".env").write_text("TOKEN=2\n")
    (repository.workspace / "big").write_bytes(bytes(1000))
    return repository


@pytest.fixture
async def box(workspace: Place) -> AsyncIterator[Box]:
    sandbox = await Sandbox.start(workspace.plan(), tier="B")
    yield Box(sandbox, workspace)
    await sandbox.close()


READS = (
    "cat {}",
    "cp {} copy",
    "ln {} other && cat other",
    "ln -s {} other && cat other",
    "mv {} other && cat other",
    "mv sub sub2; cat sub2/.env",
    "mkdir new; mv {} new/; cat new/.env",
    "chmod 777 {}; . ./{}; echo $TOKEN",
    "exec 3<> {}; cat <&3",
    "exec 3>> {}; cat /proc/self/fd/3",
    'python3 -c \'import os; held = os.open("{}", os.O_PATH); print(open(f"/proc/self/fd/{held}").read())\'',
    'python3 -c \'import os; print(os.open("{}", os.O_RDONLY, dir_fd=os.open(".", os.O_PATH)))\'',
    'touch x; python3 -c \'import ctypes; print(ctypes.CDLL(None).renameat2(-100, b"x", -100, b"{}", 2))\'; cat x',
)


@pytest.mark.slow
@pytest.mark.parametrize("secret", [".env", "sub/.env"])
async def test_a_secret_is_read_in_no_way_and_stays_what_it_is(box: Box, secret: str) -> None:
    told = [await box.shell(script.replace("{}", secret) + "; rm -rf copy other new x") for script in READS]

    found = [
        script
        for script, done in zip(READS, told, strict=True)
        if any(text in done.out + done.err for text in ("TOKEN", "=1", "=2"))
    ]
    assert found == []
    assert all("denied" in done.err or "Read-only" in done.err or "Errno" in done.err for done in told[:-1])
    assert (box.place.workspace / ".env").read_text() == "TOKEN=2\n"
    assert (box.place.workspace / "sub" / ".env").read_text() == "TOKEN=1\n"


@pytest.mark.slow
async def test_what_is_made_beside_it_can_be_read_run_changed_and_removed(box: Box) -> None:
    script = """
import os, shutil, stat, subprocess, sys, time
os.umask(0o027)
for place in (".", "sub"):
    os.chdir(place)
    open("made", "w").write("1"); assert open("made").read() == "1"
    assert stat.S_IMODE(os.stat("made").st_mode) == 0o640 and time.time() - os.stat("made").st_mtime < 60
    open("made", "a").write("2"); os.rename("made", "moved"); assert open("moved").read() == "12"
    open("over", "w").write("3"); os.replace("over", "moved"); assert open("moved").read() == "3"
    os.makedirs("folder/deep"); assert stat.S_IMODE(os.stat("folder").st_mode) == 0o750
    open("folder/deep/x", "w").write("4"); assert open("folder/deep/x").read() == "4"
    os.rename("folder", "renamed"); assert os.listdir("renamed") == ["deep"]
    shutil.copy("/bin/echo", "echo"); assert subprocess.check_output(["./echo", "ran"]) == b"ran\\n"
    shutil.copy("/bin/echo", "renamed/echo"); assert subprocess.check_output(["renamed/echo", "ran"]) == b"ran\\n"
    shutil.move("renamed/deep/x", "x"); assert open("x").read() == "4" and not os.path.exists("renamed/deep/x")
    shutil.move("renamed/deep", "deep"); os.rmdir("deep"); os.mkdir("deep"); os.rmdir("deep")
    os.symlink("x", "link"); assert open("link").read() == "4"; os.link("x", "hard"); assert open("hard").read() == "4"
    for name in ("x", "hard", "link", "echo", "moved"): os.unlink(name)
    open("file", "w").close(); open("renamed/y", "w").close()
    for call, error in ((lambda: os.rmdir("renamed"), OSError), (lambda: os.mkdir("renamed"), FileExistsError),
                        (lambda: open("renamed", "w"), IsADirectoryError), (lambda: open("nothing"), FileNotFoundError),
                        (lambda: os.unlink("renamed"), OSError), (lambda: os.rename("renamed", ".env"), OSError),
                        (lambda: os.rename("renamed", "file"), NotADirectoryError)):
        try: call()
        except error: pass
        else: raise AssertionError(error)
    shutil.rmtree("renamed"); os.unlink("file")
    os.chdir(sys.argv[-1])
print(sorted(os.listdir(".")), os.listdir("sub"))
"""

    done = await box.run("/usr/bin/python3", "-I", "-S", "-c", script, str(box.place.workspace))

    assert (done.code, done.err) == (0, "")
    assert done.out == "['.env', '.git', 'a', 'big', 'sub'] ['.env']\n"


async def test_everyday_git_works_beside_it(box: Box) -> None:
    script = """
set -e
echo .env > .gitignore; echo b > b; mkdir c; echo c > c/c; git add -A; git commit -qm second
git switch -qc other; echo changed > a; git mv b bb; git commit -qam third; git switch -q -; cat a b
git switch -q other; cat a bb; git switch -q -; git status --porcelain
"""

    done = await box.shell(script)

    assert (done.code, done.out) == (0, "a\nb\nchanged\nb\n"), done.err


@pytest.mark.slow
async def test_the_store_is_used_again_and_again(box: Box) -> None:
    script = """
import os
for number in range(700):
    open("temporary", "w").write(str(number)); os.replace("temporary", "kept")
    assert open("kept").read() == str(number)
    os.mkdir("folder"); os.rmdir("folder")
os.unlink("kept"); print(os.stat("a").st_size)
"""

    done = await box.python(script)

    assert (done.code, done.out, done.err) == (0, "2\n", "")


@pytest.mark.slow
async def test_a_file_that_is_open_is_not_used_again(box: Box) -> None:
    script = """
import mmap, os
held = open("first", "w+"); held.write("held"); held.flush(); seen = open("first"); os.unlink("first")
mapped = open("second", "w+b"); mapped.write(b"mapped"); mapped.flush(); area = mmap.mmap(mapped.fileno(), 6)
mapped.close(); os.unlink("second")
for number in range(300): open("next", "w").write("x" * 9); os.unlink("next")
print(seen.read(), area[:])
"""

    done = await box.python(script)

    assert (done.code, done.out, done.err) == (0, "held b'mapped'\n", "")


@pytest.mark.slow
async def test_where_the_store_is_empty_a_program_is_told_so(box: Box) -> None:
    done = await box.python(
        "import os\n"
        "try:\n"
        "    for number in range(1000): open(f'n{number}', 'w').close()\n"
        "except OSError as error: print(number, error.strerror)\n"
        "os.unlink('n0'); open('again', 'w').close(); open('sub/.env', 'w')\n"
    )

    assert done.out == "256 Disk quota exceeded\n"
    assert "Read-only file system: 'sub/.env'" in done.err


@pytest.mark.slow
async def test_nothing_is_left_of_the_store(workspace: Place) -> None:
    killed = stores.Store(str(workspace.workspace), [])
    os.close(killed._held)
    sandbox = await Sandbox.start(workspace.plan(), tier="B")
    during = [name for name in os.listdir(workspace.workspace / ".git") if "ringfence" in name]
    box = Box(sandbox, workspace)

    tampered = await box.shell(
        "rm -rf .git/ringfence-*; touch .git/ringfence-*/x; mv .git/ringfence-* y; git status -s"
    )
    await sandbox.close()

    assert len(during) == 1
    assert during[0] not in killed.path
    assert tampered.err.count("Read-only file system") >= 3
    assert [name for name in os.listdir(workspace.workspace / ".git") if "ringfence" in name] == []


async def test_a_workspace_without_a_repository_has_its_store_in_it(place: Place) -> None:
    (place.workspace / ".env").write_text("TOKEN\n")
    sandbox = await Sandbox.start(place.plan(), tier="B")
    done = await Box(sandbox, place).shell("echo x > y; cat y .env")
    during = sorted(os.listdir(place.workspace))
    place.git("init", "-q")
    status = place.git("status", "--porcelain")
    await sandbox.close()

    assert (done.out, "Permission denied" in done.err) == ("x\n", True)
    assert [during[0], during[2], status] == [".env", "y", "?? .env\n?? y\n"]
    assert sorted(os.listdir(place.workspace)) == [".env", ".git", "y"]


async def test_a_workspace_where_nothing_can_be_kept_in_store_is_refused(
    workspace: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_FILES", 0)

    with pytest.raises(SandboxUnavailable, match=r"cannot hide `.*\.env`") as refused:
        await Sandbox.start(workspace.plan(), tier="B")

    assert "--read" in refused.value.remedy
    assert "tier A" in refused.value.remedy
