from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.sandbox.boxes import RULES, Box, Place, policy

from ringfence.model.shown import Bind
from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import Access
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import build_plan


async def test_everyday_git_works(bare: Box) -> None:
    done = await bare.shell(
        "echo b > b && git add b && git commit -qm second && git mv b c && git commit -qam third && git checkout -qb x "
        "&& git stash -q; git log --format=%s && git status --short && ls"
    )

    assert (done.code, done.out, done.err) == (0, "third\nsecond\nfirst\na\nc\n", "")


@pytest.mark.parametrize(
    "script",
    [
        "echo x > .git/hooks/pre-commit",
        "git config core.fsmonitor ./evil",
        "mv .git .g",
        "rm -rf .git/hooks",
        "mkdir .claude",
        "ln -s . .claude",
        "mkdir d && mv d .vscode",
        "echo x > .git/commondir",
        "ln .git/config c && echo x > c",
        "ln -s .git/config c && echo x > c",
        "echo x >> .git/../.git/config",
        "exec 3< .git/config && echo x > /proc/self/fd/3",
        "truncate -s 0 .git/config",
        "chmod 777 .git/config",
        "touch -d @1 .git/config",
        "cp a .mcp.json",
        "install -m 755 a .git/hooks/post-checkout",
    ],
)
async def test_control_files_stay_as_they_are(bare: Box, script: str) -> None:
    config = bare.place.workspace / ".git" / "config"
    before = config.read_text(), config.stat().st_mode, config.stat().st_mtime_ns
    hooks = sorted(os.listdir(bare.place.workspace / ".git" / "hooks"))

    done = await bare.shell(script)

    assert done.code != 0
    assert (config.read_text(), config.stat().st_mode, config.stat().st_mtime_ns) == before
    assert sorted(os.listdir(bare.place.workspace / ".git" / "hooks")) == hooks
    assert not {".claude", ".vscode", ".mcp.json", ".g"} & set(os.listdir(bare.place.workspace))


async def test_nothing_is_left_in_the_workspace_for_names_that_are_missing(bare: Box) -> None:
    assert set(os.listdir(bare.place.workspace)) == {".git", "a"}


async def test_files_change_as_a_program_expects(bare: Box) -> None:
    script = """
import os, tempfile, shutil, stat
os.umask(0o027)
os.makedirs("d/e"); open("d/f", "w").write("1"); assert stat.S_IMODE(os.stat("d/f").st_mode) == 0o640
assert stat.S_IMODE(os.stat("d/e").st_mode) == 0o750
open("d/f", "a").write("2"); assert open("d/f").read() == "12"
with open("d/f", "r+") as file: file.seek(1); file.write("3"); file.truncate()
assert open("d/f").read() == "13"
os.link("d/f", "d/g"); os.symlink("f", "d/l"); open("d/l", "w").write("4"); assert open("d/g").read() == "4"
os.rename("d/g", "d/h"); os.replace("d/h", "d/f"); os.chmod("d/f", 0o600); os.utime("d/f", (5, 6))
assert os.stat("d/f").st_mtime == 6
for call, error in ((lambda: os.mkdir("d"), FileExistsError), (lambda: os.unlink("nothing"), FileNotFoundError),
                    (lambda: open("d", "w"), IsADirectoryError), (lambda: open("d/f", "x"), FileExistsError),
                    (lambda: os.rmdir("d"), OSError), (lambda: open("nothing/f", "w"), FileNotFoundError),
                    (lambda: os.open("d/l", os.O_WRONLY | os.O_NOFOLLOW), OSError)):
    try: call()
    except error: pass
    else: raise AssertionError(error)
folder = os.open("d", os.O_RDONLY); os.chdir("/"); name = os.open("n", os.O_CREAT | os.O_RDWR, 0o644, dir_fd=folder)
assert os.fstat(name).st_size == 0 and os.get_blocking(name) and not os.get_inheritable(name)
os.write(name, b"x"); os.ftruncate(name, 0); os.fchmod(name, 0o604); os.unlink("n", dir_fd=folder)
for way in (f"/proc/self/fd/{folder}", f"/dev/fd/{folder}"):
    open(way + "/w", "x").close(); os.rename(way + "/w", way + "/v"); os.chmod(way + "/v", 0o600); os.remove(way + "/v")
os.chdir(folder); open("/proc/self/cwd/w", "x").close(); os.remove("w"); os.chdir("/")
with tempfile.TemporaryDirectory() as there:
    open(there + "/a", "w").write("t"); shutil.move(there + "/a", "/proc/self/cwd/" + "%s/moved")
print(open("%s/moved").read())
""".replace("%s", str(bare.place.workspace))

    done = await bare.run(
        "/usr/bin/python3", "-I", "-S", "-c", script.replace("/proc/self/cwd/", ""), env=bare.sandbox.variables
    )

    assert (done.code, done.out) == (0, "t\n"), done.err
    assert (bare.place.workspace / "d" / "f").read_text() == "4"


async def test_programs_share_memory_by_name_and_see_nobody_elses(bare: Box) -> None:
    name = f"/dev/shm/ringfence-test-{os.getpid()}"
    Path(name).write_text("SECRET")
    try:
        done = await bare.python(
            "import multiprocessing as m, os\n"
            "with m.Pool(2) as pool: print(pool.map(abs, [-1, -2]))\n"
            f"try: print(os.open({name!r}, os.O_RDWR))\n"
            "except OSError as error: print(error.strerror)\n",
        )
    finally:
        os.unlink(name)

    assert (done.code, done.out) == (0, "[1, 2]\nPermission denied\n"), done.err


@pytest.mark.parametrize(
    "script",
    [
        "cat ~/.ssh/id_ed25519",
        "ls $REAL/.ssh",
        "cat $REAL/.ssh/id_ed25519",
        "echo x > $REAL/file",
        "echo x > /tmp/ringfence-x",
        "ln $REAL/.ssh/id_ed25519 key && cat key",
        "ln -s $REAL/.ssh/id_ed25519 key && cat key",
        "mv $REAL/.ssh s",
        "chmod 644 $REAL/.ssh/id_ed25519",
        "touch -d @1 $REAL/.ssh/id_ed25519",
        "exec 3< $REAL/.gitconfig && chmod 600 /proc/self/fd/3",
        "echo x >> $REAL/.gitconfig",
        "echo x > /proc/$PPID/comm",
        "cat /dev/pts/0",
        "head -c 1 /proc/1/environ",
    ],
)
async def test_what_lies_elsewhere_is_neither_read_nor_changed(bare: Box, script: str) -> None:
    home = bare.place.home
    before = {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in (home / ".ssh", home / ".gitconfig")}

    done = await bare.shell(script, env={**bare.sandbox.variables, "REAL": str(home)})

    assert done.code != 0
    assert "PRIVATE KEY" not in done.out
    assert {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in before} == before
    assert (home / ".ssh" / "id_ed25519").read_text() == "PRIVATE KEY"
    assert not (home / "file").exists()


async def test_home_is_private_and_shows_what_is_opened(bare: Box) -> None:
    done = await bare.shell("git config user.email && echo x > ~/mine && ls -A ~", env=bare.sandbox.variables)

    assert (done.code, done.out) == (0, "e@x\n.gitconfig\nmine\n"), done.err
    assert not (bare.place.home / "mine").exists()


async def test_nothing_is_left_of_the_private_folders(place: Place) -> None:
    sandbox = await Sandbox.start(place.plan(), tier="B")
    home = sandbox.variables["HOME"]
    await Box(sandbox, place).shell("mkdir -p ~/a/b && touch ~/a/b/c && chmod 000 ~/a", env=sandbox.variables)

    await sandbox.close()

    assert not os.path.exists(os.path.dirname(home))


async def test_a_secret_is_hidden_in_a_workspace_that_is_only_read(repository: Place) -> None:
    rules = ((":workspace", Access.READ), *RULES[1:])
    sandbox = await Sandbox.start(repository.plan(rules), tier="B")
    try:
        done = await Box(sandbox, repository).shell("cat a; cat sub/.env; echo x > b; ls")
    finally:
        await sandbox.close()

    assert done.out == "a\na\nsub\n"
    assert "sub/.env: Permission denied" in done.err
    assert "b: Permission denied" in done.err


async def test_what_takes_mounts_is_refused(place: Place) -> None:
    plan = build_plan(
        policy(),
        facts=place.facts(),
        workspace=str(place.workspace),
        binds=(Bind(source=str(place.home / ".aws"), target="/etc/aws"),),
    )

    with pytest.raises(SandboxUnavailable, match="that takes mounts"):
        await Sandbox.start(plan, tier="B")


@pytest.mark.slow
async def test_a_program_can_be_run_as_soon_as_it_has_been_written(bare: Box) -> None:
    script = """
import os, subprocess
code = open("/bin/true", "rb").read()
for number in range(100):
    file = os.open(f"p{number}", os.O_CREAT | os.O_WRONLY, 0o755); os.write(file, code); os.close(file)
    os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(f"./p{number}", ["p"], {}), 0)[1])
"""

    done = await bare.python(script)

    assert (done.code, done.err) == (0, "")
