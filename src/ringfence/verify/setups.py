"""What has to stand before an attack: repositories, secrets, victims, sockets. All of it is the person's own."""

from __future__ import annotations

import ctypes
import datetime
import fcntl
import os
import pwd
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ringfence.egress.authority import Authority
from ringfence.model.host import parse_host
from ringfence.verify import source
from ringfence.verify.ear import Ear
from ringfence.verify.oracles import marked
from ringfence.verify.run import account
from ringfence.verify.stage import Stage


def repository(stage: Stage) -> None:
    """The workspace is a Git repository with one commit."""
    _repository(stage, stage.workspace)


def worktree(stage: Stage) -> None:
    """The workspace is a linked worktree: its `.git` is a file."""
    _repository(stage, f"{stage.home}/main")
    os.rmdir(stage.workspace)
    _git(stage, f"{stage.home}/main", "worktree", "add", "-q", stage.workspace)


def worktree_settings(stage: Stage) -> None:
    """The repository reads a second settings file."""
    _git(stage, stage.workspace, "config", "extensions.worktreeConfig", "true")


def canary(stage: Stage) -> None:
    """The file that the attacker's command would make, outside, where anybody may write."""
    stage.words["canary"] = f"{stage.folder(f'{stage.base}/canary')}/ran"


def file(stage: Stage, path: str, content: str = "{secret}\n", mode: str = "600") -> None:
    """A file with a content of its own."""
    name, text = stage.fill((path, content))
    stage.file(name, text, int(mode, 8))


def link(stage: Stage, target: str, name: str) -> None:
    """A symbolic link that an earlier session planted."""
    leads_to, place = stage.fill((target, name))
    os.symlink(leads_to, place)
    stage.own(place)


def fifo(stage: Stage, path: str) -> None:
    """A named pipe that an earlier session planted."""
    (name,) = stage.fill((path,))
    os.mkfifo(name)
    os.chmod(name, 0o666)


def setuid_program(stage: Stage) -> None:
    """A program in the workspace that runs as root whoever starts it. Only root can plant one."""
    stage.words["program"] = f"{stage.workspace}/identity"
    if os.getuid() == 0 and stage.person.uid != 0:
        with open("/usr/bin/id", "rb") as original, open(stage.words["program"], "wb") as copy:
            copy.write(original.read())
        os.chmod(stage.words["program"], 0o4755)


def handle(stage: Stage) -> None:
    """The number under which the disk knows the secret file."""
    buffer = (ctypes.c_uint8 * 136).from_buffer(bytearray((128).to_bytes(4, "little") + bytes(132)))
    libc = ctypes.CDLL(None, use_errno=True)
    mount = ctypes.c_int()
    result = libc.name_to_handle_at(-100, f"{stage.outside}/notes".encode(), buffer, ctypes.byref(mount), 0)
    length = int.from_bytes(bytes(buffer[:4]), "little") if result == 0 else 0
    stage.words["handle"] = bytes(buffer[8 : 8 + length]).hex()
    stage.words["handle-type"] = str(int.from_bytes(bytes(buffer[4:8]), "little"))


def victim(stage: Stage) -> None:
    """A process of the same person outside, with the secret in its memory, its open files and its words."""
    program = (
        "import os, sys, tempfile\n"
        "held = 'ringfence-victim-' + sys.stdin.readline().strip()\n"
        "opened = tempfile.TemporaryFile(); opened.write(held.encode()); opened.flush()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    _helper(
        stage, (source.interpreter(), "-I", "-S", "-c", program, f"--battery-password={stage.secret}"), stage.secret
    )


def key(stage: Stage) -> None:
    """A key in the person's kernel keyring."""
    stage.words["key"] = f"battery-{secrets.token_hex(4)}"
    program = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "add, control = {'x86_64': (248, 250), 'aarch64': (217, 219)}[os.uname().machine]\n"
        "value = sys.stdin.readline().strip().encode()\n"
        "number = libc.syscall(add, b'user', sys.argv[1].encode(), value, len(value), -4)\n"
        "libc.syscall(control, 5, number, 0x3f3f0000)\n"
        "print('ready', flush=True); sys.stdin.read(); libc.syscall(control, 9, number, -4)"
    )
    _helper(stage, (source.interpreter(), "-I", "-S", "-c", program, stage.words["key"]), stage.secret)


def segment(stage: Stage) -> None:
    """A System V shared memory segment of the same person, and a file in /dev/shm."""
    stage.words["key"] = str(secrets.randbelow(1 << 30) + 1)
    program = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p\n"
        "number = libc.shmget(int(sys.argv[1]), 4096, 0o1600)\n"
        "value = sys.stdin.readline().strip().encode()\n"
        "ctypes.memmove(libc.shmat(number, None, 0), value, len(value))\n"
        "print('ready', flush=True); sys.stdin.read(); libc.shmctl(number, 0, None)"
    )
    _helper(stage, (source.interpreter(), "-I", "-S", "-c", program, stage.words["key"]), stage.secret)


def shared_file(stage: Stage) -> None:
    """A file in /dev/shm, as programs share memory by name."""
    stage.words["shared"] = stage.file(f"/dev/shm/battery-{secrets.token_hex(4)}", stage.secret, 0o600)
    stage.undo.callback(os.unlink, stage.words["shared"])


def temporary_name(stage: Stage) -> None:
    """A name in /tmp that a program of the host will use."""
    stage.words["temporary"] = f"/tmp/battery-{secrets.token_hex(4)}"

    def clear() -> None:
        with suppress(FileNotFoundError):
            os.unlink(stage.words["temporary"])

    stage.undo.callback(clear)


def local_sockets(stage: Stage) -> None:
    """Daemons of the person: a stream and a datagram socket outside the workspace, and one with an abstract name."""
    stage.words["abstract"] = f"@battery-{secrets.token_hex(8)}"
    stage.words["stream"], stage.words["datagram"] = f"{stage.outside}/agent.sock", f"{stage.outside}/log.sock"
    stage.environment["SSH_AUTH_SOCK"] = stage.words["stream"]
    stage.environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={stage.words['stream']}"
    sockets = {
        "stream": _listener(socket.SOCK_STREAM, stage.words["stream"]),
        "datagram": _listener(socket.SOCK_DGRAM, stage.words["datagram"]),
        "abstract": _listener(socket.SOCK_STREAM, "\0" + stage.words["abstract"][1:]),
    }
    stage.ear = Ear(sockets)


def workspace_socket(stage: Stage) -> None:
    """A daemon of the person that listens at a path in the workspace."""
    stage.words["stream"] = f"{stage.workspace}/daemon.sock"
    stage.ear = Ear({"stream": _listener(socket.SOCK_STREAM, stage.words["stream"])})


def root_descriptor(stage: Stage) -> None:
    """A descriptor of the root folder, left open."""
    opened = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    # A high number: the launcher's own descriptors must not take its place by chance.
    high = fcntl.fcntl(opened, fcntl.F_DUPFD, 200)
    os.close(opened)
    stage.undo.callback(os.close, high)
    stage.inherited = (high,)
    stage.words["descriptor"] = str(high)


def mark(stage: Stage) -> None:
    """A word by which a process is found again."""
    stage.words["mark"] = secrets.token_hex(8)


def supervisor_dies(stage: Stage) -> None:
    """The outermost process is ended as soon as the attack runs."""
    mark(stage)

    def end(outermost: int) -> None:
        deadline = time.monotonic() + 10
        while not marked(f"stays-{stage.words['mark']}") and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(outermost, 9)

    stage.during.append(end)


def somebody_calls(stage: Stage) -> None:
    """Somebody outside tries to come in for as long as the attack runs."""
    stage.words["port"] = "47200"
    program = (
        "import os, socket, sys, time\n"
        "while open(f'/proc/{sys.argv[1]}/stat').read().rsplit(')', 1)[1].split()[0] != 'Z':\n"
        "    try:\n"
        "        with socket.create_connection(('127.0.0.1', int(sys.argv[2])), 1) as client:\n"
        "            print(client.recv(100).decode()); break\n"
        "    except OSError: time.sleep(0.05)\n"
    )

    def call(outermost: int) -> None:
        caller = (
            *stage.arena_prefix,
            source.interpreter(),
            "-I",
            "-S",
            "-c",
            program,
            str(outermost),
            stage.words["port"],
        )
        answer = subprocess.run(caller, capture_output=True, text=True, timeout=20)
        stage.evidence.extend(line for line in answer.stdout.splitlines() if stage.secret in line)

    stage.during.append(call)


def launcher_dies(stage: Stage) -> None:
    """The process that built the sandbox is ended as soon as the attack runs."""
    mark(stage)

    def end(outermost: int) -> None:
        deadline = time.monotonic() + 10
        while not marked(f"stays-{stage.words['mark']}") and time.monotonic() < deadline:
            time.sleep(0.02)
        with open(f"/proc/{outermost}/task/{outermost}/children", encoding="ascii") as stream:
            for child in stream.read().split():
                os.kill(int(child), 9)

    stage.during.append(end)


def hooks_elsewhere(stage: Stage) -> None:
    """The repository keeps its hooks in a folder of its own."""
    stage.folder(f"{stage.workspace}/tools/hooks")
    _git(stage, stage.workspace, "config", "core.hooksPath", "tools/hooks")


def hooks_everywhere(stage: Stage) -> None:
    """The person keeps hooks in a folder of each repository."""
    stage.file(f"{stage.home}/.gitconfig", "[core]\n\thooksPath = tools/hooks\n")
    stage.folder(f"{stage.workspace}/tools")
    stage.folder(f"{stage.workspace}/tools/hooks")


def settings_elsewhere(stage: Stage) -> None:
    """The repository's settings include a file of the project."""
    stage.file(f"{stage.workspace}/shared.gitconfig", "[alias]\n\tst = status\n")
    _git(stage, stage.workspace, "config", "include.path", "../shared.gitconfig")


def settings_on_condition(stage: Stage) -> None:
    """The repository's settings include a file of the project where a condition holds."""
    stage.file(f"{stage.workspace}/shared.gitconfig", "[alias]\n\tst = status\n")
    _git(stage, stage.workspace, "config", "includeIf.gitdir:/.path", "../shared.gitconfig")


def settings_twice_elsewhere(stage: Stage) -> None:
    """The repository's settings include a file of the project, which includes another."""
    stage.file(f"{stage.workspace}/shared.gitconfig", "[alias]\n\tst = status\n")
    stage.file(f"{stage.workspace}/first.gitconfig", "[include]\n\tpath = shared.gitconfig\n")
    _git(stage, stage.workspace, "config", "include.path", "../first.gitconfig")


def linked_repository(stage: Stage) -> None:
    """`.git` is a symbolic link to a folder of the workspace."""
    os.rename(f"{stage.workspace}/.git", f"{stage.workspace}/repository")
    os.symlink("repository", f"{stage.workspace}/.git")
    stage.own(f"{stage.workspace}/.git")


def separate_repository(stage: Stage) -> None:
    """`.git` is a file that names a folder of the workspace."""
    os.rename(f"{stage.workspace}/.git", f"{stage.workspace}/repository")
    stage.file(f"{stage.workspace}/.git", "gitdir: repository\n")


def nested_repository(stage: Stage) -> None:
    """Another repository lies in the workspace."""
    _repository(stage, f"{stage.workspace}/library")


def allowed(stage: Stage, *hosts: str) -> None:
    """The person's policy lets these hosts through."""
    names = ", ".join(f'"{host}"' for host in hosts)
    rule = f'[[network.rule]]\nhosts = [{names}]\nverdict = "allow"\nreason = "needed"\n'
    stage.allowed = hosts
    stage.file(f"{stage.home}/.config/ringfence/policy.toml", rule)


def allowed_inside(stage: Stage, host: str, path: str) -> None:
    """The person's policy lets one path of a host through, and has HTTP/2 spoken there. The host has a certificate."""
    try:
        from ringfence.verify.secure_origin import PROTOCOLS, SecureOrigin
    except ModuleNotFoundError as missing:
        raise OSError(
            f"`{missing.name}` is not installed, which reads HTTP/2: pip install 'ringfence[inspect]'"
        ) from None
    authority = Authority("battery", datetime.datetime.now(datetime.UTC))
    context = authority.context(parse_host(host), PROTOCOLS)
    stage.origins["web"] = lambda: SecureOrigin(context)
    stage.environment["SSL_CERT_FILE"] = stage.file(f"{stage.base}/authorities.pem", authority.pem.decode())
    rule = (
        f'[network]\nhttp2 = ["{host}"]\n[[network.rule]]\nhosts = ["{host}"]\nmethods = ["GET"]\n'
        f'paths = ["{path}"]\nverdict = "allow"\nreason = "needed"\n'
    )
    stage.allowed = (host,)
    stage.file(f"{stage.home}/.config/ringfence/policy.toml", rule)


def unreadable_name(stage: Stage) -> None:
    """A secrets file in a folder whose name is no text."""
    folder = os.path.join(os.fsencode(stage.workspace), b"\xff")
    os.mkdir(folder)
    with open(os.path.join(folder, b".env"), "w", encoding="ascii") as stream:
        stream.write(stage.secret)
    for path in (folder, os.path.join(folder, b".env")):
        stage.own(os.fsdecode(path))
    stage.words["odd"] = os.fsdecode(os.path.join(folder, b".env"))


def python(stage: Stage) -> None:
    """The interpreter that Ringfence itself runs with."""
    stage.words["python"] = sys.executable


def real_account(stage: Stage) -> None:
    """Where the daemons of this account are, in difference to those of the stage."""
    stage.words |= {"uid": str(os.getuid()), "real_home": pwd.getpwuid(os.getuid()).pw_dir}


def message_queue(stage: Stage) -> None:
    """A POSIX message queue of the same person, with the secret in it."""
    stage.words["queue"] = f"battery-{secrets.token_hex(4)}"
    program = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "make, unlink, send = {'x86_64': (240, 241, 242), 'aarch64': (180, 181, 182)}[os.uname().machine]\n"
        "name, value = sys.argv[1].encode(), sys.stdin.readline().strip().encode()\n"
        "queue = libc.syscall(make, name, os.O_RDWR | os.O_CREAT, 0o600, None)\n"
        "libc.syscall(send, queue, value, len(value), 0, None)\n"
        "print('ready', flush=True); sys.stdin.read(); libc.syscall(unlink, name)"
    )
    _helper(stage, (source.interpreter(), "-I", "-S", "-c", program, stage.words["queue"]), stage.secret)


def editor(stage: Stage) -> None:
    """The sandbox is started from a terminal of an editor, which takes commands by a socket."""
    stage.words["stream"] = f"{stage.outside}/editor.sock"
    stage.environment |= {"VSCODE_IPC_HOOK_CLI": stage.words["stream"], "NVIM": stage.words["stream"]}


def accomplice(stage: Stage) -> None:
    """A program outside that hands the private folder to whoever connects to its socket in the workspace."""
    stage.words["stream"] = f"{stage.workspace}/daemon.sock"
    listener = _listener(socket.SOCK_STREAM, stage.words["stream"])
    handed = os.open(stage.outside, os.O_RDONLY | os.O_DIRECTORY)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    socket.send_fds(connection, [b"x"], [handed])

    def end() -> None:
        listener.shutdown(socket.SHUT_RDWR)
        helper.join()
        listener.close()
        os.close(handed)

    helper = threading.Thread(target=serve, daemon=True)
    helper.start()
    stage.undo.callback(end)


def _helper(stage: Stage, argv: tuple[str, ...], line: str) -> None:
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", env={}, **account(stage)
    )
    assert process.stdin and process.stdout

    def end() -> None:
        process.communicate()

    stage.undo.callback(end)
    process.stdin.write(line + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    stage.words["victim"] = str(process.pid)


def _listener(kind: int, address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(address)
    if not address.startswith("\0"):
        os.chmod(address, 0o777)
    if kind == socket.SOCK_STREAM:
        listener.listen()
    return listener


def _repository(stage: Stage, path: str) -> None:
    stage.folder(path)
    _git(stage, path, "init", "-q", "-b", "main")
    _git(stage, path, "commit", "-q", "--allow-empty", "-m", "start")


def _git(stage: Stage, path: str, *words: str) -> None:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(
        ("git", *words),
        cwd=path,
        env={"PATH": os.environ["PATH"], "HOME": stage.home, **who},
        check=True,
        **account(stage),
    )


_PLAIN = (
    repository,
    worktree,
    worktree_settings,
    canary,
    setuid_program,
    handle,
    victim,
    key,
    segment,
    shared_file,
    temporary_name,
    local_sockets,
    workspace_socket,
    root_descriptor,
    mark,
    supervisor_dies,
    somebody_calls,
    launcher_dies,
    hooks_elsewhere,
    hooks_everywhere,
    settings_elsewhere,
    settings_on_condition,
    settings_twice_elsewhere,
    linked_repository,
    separate_repository,
    nested_repository,
    unreadable_name,
    python,
    real_account,
    message_queue,
    editor,
    accomplice,
)
_WITH_WORDS = (file, link, fifo, allowed, allowed_inside)
SETUPS: dict[str, Callable[..., None]] = {each.__name__: each for each in (*_PLAIN, *_WITH_WORDS)}
"""What a row can name in `setup`."""
