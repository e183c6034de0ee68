"""Sessions on file systems that refuse, lie, or are full, and in trees that were laid out to mislead.

Each run is refused with its reason or completes, and nothing outside the workspace changes: the world around it is
hashed before and after. Mounts are made in a mount namespace of the test's own. For NFS, of which no server is needed
here, a FUSE file system stands in that keeps no attributes and shows hard links as files of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Done
from tests.debian import program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0 or sys.platform != "linux", reason="only root makes these mounts"),
]

_ACT = """
import os
def attempt(act):
    try:
        act()
    except OSError as error:
        print(type(error).__name__, error.errno)
outside = os.environ['HOME'] + '/.bash' + 'rc'
attempt(lambda: open('a', 'w').write('two'))
attempt(lambda: open('new', 'w').write('n'))
attempt(lambda: os.mkdir('d'))
attempt(lambda: open('d/big', 'wb').write(os.urandom(300_000)))
attempt(lambda: os.symlink(os.path.dirname(outside), 'out'))
attempt(lambda: open('out/planted', 'w').write('x'))
attempt(lambda: os.link('a', 'hard'))
attempt(lambda: open(outside, 'a').write('x'))
attempt(lambda: open(b'line\\n\\xff', 'w').write('x'))
attempt(lambda: os.mkfifo('d/pipe'))
attempt(lambda: os.unlink('d/pipe'))
"""


class Place:
    """A home with a workspace, seen from a mount namespace of its own."""

    def __init__(self, root: Path, account: pwd.struct_passwd, holder: int) -> None:
        self.root = root
        self.home = root / "home"
        self.workspace = self.home / "project"
        self._account = account
        self._holder = holder

    def mount(self, script: str) -> None:
        """Run a script in the namespace, as root, in the root of the place."""
        words = ("nsenter", "-m", "-t", str(self._holder), "sh", "-ec", f'cd "{self.root}"; W=home/project; {script}')
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr

    def start(self, *words: str, given: str = "") -> subprocess.Popen[str]:
        account = self._account
        who = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
        return subprocess.Popen(
            ("nsenter", "-m", "-t", str(self._holder), *who, *words),
            cwd="/",
            env={
                "HOME": str(self.home),
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "XDG_STATE_HOME": str(self.root / "state"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
        )

    def types(self, *words: str, given: str = "") -> Done:
        """A command of ours, whose workspace is named."""
        with self.start(sys.executable, "-m", "ringfence", *words) as running:
            out, err = running.communicate(given, timeout=60)
        assert "Traceback" not in err, err
        return Done(running.returncode, out, err)

    def run(self, mode: str, given: str = _ACT) -> Done:
        where = ("--workspace", str(self.workspace))
        return self.types("run", mode, *where, "--", "python3", "-", given=given)

    def after(self, what: str, session: str, *more: str) -> Done:
        return self.types("workspace", what, "--workspace", str(self.workspace), *more, session)

    def tree(self, below: Path | None = None) -> dict[str, tuple[int, bytes]]:
        """Everything below a folder as the namespace sees it; below the workspace unless told."""
        top = f"/proc/{self._holder}/root{below or self.workspace}"
        found = {}
        for folder, folders, files in os.walk(top):
            if below is not None:
                folders[:] = [name for name in folders if f"{folder}/{name}"[len(top) :] not in _INSIDE]
            for name in (*folders, *files):
                path = f"{folder}/{name}"
                found[path[len(top) :]] = (os.lstat(path).st_mode, _content(path))
        return found

    def world(self) -> dict[str, tuple[int, bytes]]:
        """Everything outside the workspace, but our own state."""
        return self.tree(self.root)


_INSIDE = ("/home/project", "/state", "/inside")


def _content(path: str) -> bytes:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return os.fsencode(os.readlink(path))
    return hashlib.sha256(Path(path).read_bytes()).digest() if stat.S_ISREG(mode) else b""


def _session(done: Done) -> str:
    found = re.search(r"ringfence log (\w+)", done.err)
    assert found, done.err
    return found[1]


@pytest.fixture
def place() -> Iterator[Place]:
    account = pwd.getpwnam("nobody")
    root = Path(tempfile.mkdtemp(prefix="ringfence-test-"))
    (root / "home" / "project").mkdir(parents=True)
    (root / "home" / ".ssh").mkdir()
    (root / "home" / ".ssh" / "id_ed25519").write_text("key")
    (root / "home" / ".bashrc").write_text("mine")
    (root / "inside").mkdir()
    (root / "state").mkdir()
    (root / "home" / "project" / "a").write_text("one")
    (root / "inside" / "a").write_text("one")
    _given_to(account, root)
    with subprocess.Popen(("unshare", "-m", "sh", "-c", "echo; exec sleep 120"), stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        place = Place(root, account, holder.pid)
        with place.start(sys.executable, "-c", "import ringfence") as probe:
            readable = probe.wait(30) == 0
        try:
            if not readable:
                pytest.skip("nobody cannot read this checkout or its interpreter")
            yield place
        finally:
            holder.kill()
    shutil.rmtree(root, ignore_errors=True)


def _given_to(account: pwd.struct_passwd, root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


_WRITABLE = {
    "fuse": "rm $W/a; bindfs -o allow_other inside $W",
    "like NFS": "rm $W/a; bindfs -o allow_other --xattr-none --hide-hard-links inside $W",
    "overlay": "mkdir u; mount -t tmpfs t u; mkdir u/u u/w; chown nobody: u/u;"
    " mount -t overlay -o lowerdir=inside,upperdir=u/u,workdir=u/w o $W; umount -l u; rmdir u",
}


@pytest.mark.parametrize("kind", _WRITABLE)
def test_a_session_on_a_writable_mount_is_undone_or_applied(place: Place, kind: str) -> None:
    program("bindfs", "bindfs")
    place.mount(_WRITABLE[kind])
    before, world = place.tree(), place.world()

    direct = place.run("--direct")
    changed = place.tree()
    undone = place.after("undo", _session(direct))
    back = place.tree()
    staged = place.run("--staged")
    untouched = place.tree()
    applied = place.after("apply", _session(staged), "--yes")

    assert (direct.code, undone.code, staged.code) == (0, 0, 0), (direct.err, undone.err, staged.err)
    assert {"/new", "/d/big", "/out", "/hard", "/line\n\udcff"} <= changed.keys()
    assert (back, untouched) == (before, before)
    assert (applied.code, "refused  out" in applied.err + applied.out) == (1, True)
    assert place.tree().keys() == {"/a", "/new", "/d", "/d/big", "/hard"}
    assert place.world() == world


def test_a_session_on_a_read_only_mount_changes_nothing_and_says_why_nothing_is_applied(place: Place) -> None:
    place.mount("mount --bind inside $W; mount -o remount,bind,ro $W")
    before, world = place.tree(), place.world()

    direct = place.run("--direct")
    staged = place.run("--staged")
    applied = place.after("apply", _session(staged), "--yes")

    assert (direct.code, "OSError 30" in direct.out, "0 changed" in direct.err) == (0, True, True)
    assert (applied.code, "new: read-only file system" in applied.out + applied.err) == (1, True)
    assert (place.tree(), place.world()) == (before, world)


def test_an_undo_on_a_full_disk_says_what_it_could_not_put_back(place: Place) -> None:
    fill = "dd if=/dev/zero of=$W/fill bs=4k count=100 2>/dev/null || true"
    place.mount(f"mount -t tmpfs -o size=256k t $W; printf one > $W/a; chown -R nobody: $W; {fill}")
    world = place.world()

    direct = place.run("--direct")
    undone = place.after("undo", _session(direct))

    assert (direct.code, "OSError 28" in direct.out) == (0, True)
    assert (undone.code, "a: no space left on device" in undone.out + undone.err) == (1, True)
    assert place.tree().keys() == {"/a", "/fill"}
    assert place.world() == world


_REFUSED = {
    "nothing answers behind the mount": (
        "rm $W/a; bindfs -f inside $W & sleep 1; kill -9 $!; wait $! || true",
        "transport endpoint is not connected",
    ),
    "something is mounted inside": (
        'mount -t tmpfs t $W; D=$(printf \'%s/x\\ny\' $W); mkdir "$D"; mount -t tmpfs t "$D"',
        "is mounted in it",
    ),
    **{
        f"the state disk has {size}": (f"mount -t tmpfs -o size={size} t state; chown nobody: state", "disk is full")
        for size in ("32k", "48k", "64k")
    },
    "the state disk is read-only": ("mount -t tmpfs -o ro t state", "Read-only file system"),
}


@pytest.mark.parametrize("kind", _REFUSED)
def test_a_staged_session_that_cannot_be_kept_is_refused_with_the_reason(place: Place, kind: str) -> None:
    program("bindfs", "bindfs")
    script, reason = _REFUSED[kind]
    place.mount(script)
    world = place.world()

    done = place.run("--staged")

    assert (done.code, reason in done.err, "what to do" in done.err) == (125, True, True), done.err
    assert place.world() == world


def test_a_state_disk_on_which_nothing_more_can_be_made_is_said_wherever_it_runs_out(place: Place) -> None:
    before, world = place.tree(), place.world()
    for inodes in range(5, 26, 5):
        place.mount(f"mount -t tmpfs -o nr_inodes={inodes} t state; chown nobody: state")

        done = place.run("--staged")

        assert (done.code, "what to do" in done.err) in {(125, True), (0, False)}, (inodes, done.err)
    assert (place.tree(), place.world()) == (before, world)


def test_a_direct_session_on_a_full_state_disk_is_refused(place: Place) -> None:
    place.mount("mount -t tmpfs -o size=64k t state; chown nobody: state")
    world = place.world()

    done = place.run("--direct")

    assert (done.code, "what to do" in done.err and "full" in done.err) == (125, True), done.err
    assert place.world() == world


def test_a_dead_mount_inside_the_workspace_is_named_as_the_cause(place: Place) -> None:
    program("bindfs", "bindfs")
    place.mount("mkdir $W/in; bindfs -f inside $W/in & sleep 1; kill -9 $!; wait $! || true")

    done = place.run("--direct")

    assert (done.code, "does not answer any more" in done.err) == (125, True), done.err
    assert not (place.workspace / "new").exists()


def test_links_pipes_and_other_names_of_secrets_lead_no_session_astray(place: Place) -> None:
    project = place.workspace
    os.link(place.home / ".ssh" / "id_ed25519", project / "innocent")
    (project / "loop").symlink_to(".")
    (project / "l1").symlink_to("l2")
    (project / "l2").symlink_to("l1")
    (project / ".vscode").symlink_to(place.home / ".ssh")
    (project / "sub" / ".git").mkdir(parents=True)
    for name in (".gitignore", ".env", "sub/.git/HEAD", "sub/.git/config", "sub/.gitignore"):
        os.mkfifo(project / name)
    _given_to(pwd.getpwnam("nobody"), place.root)
    before, world = place.tree(), place.world()
    act = _ACT + "attempt(lambda: open('innocent').read())\nattempt(lambda: open('innocent', 'w').write('evil'))\n"

    direct = place.run("--direct", act)
    undone = place.after("undo", _session(direct))

    assert (direct.code, undone.code) == (0, 0), (direct.err, undone.err)
    assert direct.out.splitlines()[-2:] == ["PermissionError 13", "OSError 30"]
    assert "other names (hard links) of files that are denied: `innocent`" in direct.err
    assert place.tree() == before
    assert place.world() == world


_DEEP = "import os\nfor _ in range(3_000):\n    os.mkdir('d')\n    os.chdir('d')\nopen('x', 'w')\n"


def test_a_layer_deeper_than_any_path_is_discarded_whole(place: Place) -> None:
    before, world = place.tree(), place.world()

    staged = place.run("--staged", _DEEP)
    discarded = place.after("discard", _session(staged), "--yes")

    assert (staged.code, discarded.code) == (0, 0), (staged.err, discarded.err)
    assert "more than 256 folders deep" in staged.err
    assert not list((place.root / "state").glob("ringfence/staged/*/*"))
    assert (place.tree(), place.world()) == (before, world)


_SWAP = """
import os, sys, time
os.chdir(sys.argv[1])
os.makedirs('.vscode', exist_ok=True)
os.makedirs('sub/.git/hooks', exist_ok=True)
for name in ('.vscode', 'sub/.git'):
    os.symlink(sys.argv[2], name + '.link')
print(flush=True)
while True:
    for name in ('.vscode', 'sub/.git'):
        for old, new in ((name, name + '.old'), (name + '.link', name), (name, name + '.link'), (name + '.old', name)):
            time.sleep(0.0002)
            try:
                os.rename(old, new)
            except OSError:
                pass
"""
_THROUGH = """
import os
for name in ('.vscode', 'sub/.git', 'sub/.git.link', '.vscode.link', 'sub/.git/hooks'):
    try:
        open(name + '/planted', 'w').write('x')
    except OSError:
        pass
"""


def test_folders_that_are_swapped_while_they_are_mounted_lead_nowhere(place: Place) -> None:
    world = place.world()
    outside = str(place.home / ".ssh")

    with place.start("python3", "-c", _SWAP, str(place.workspace), outside) as swapping:
        assert swapping.stdout is not None
        swapping.stdout.readline()
        try:
            codes = {place.run(mode, _THROUGH).code for mode in ("--direct", "--staged") * 2}
        finally:
            with contextlib.suppress(ProcessLookupError):
                swapping.kill()

    assert codes <= {0, 125}
    assert place.world() == world
