"""How one sees that an attack worked. Each looks at the outcome: files, listeners, victims, output."""

from __future__ import annotations

import os
import select
import stat
import subprocess
from collections.abc import Callable

from ringfence.model.event import WorkspaceChanged
from ringfence.telemetry.reader import LedgerReader, Wanted
from ringfence.verify.run import account
from ringfence.verify.stage import Ran, Stage


def secret_shown(stage: Stage, ran: Ran) -> str | None:
    """The secret stands in what the attack printed."""
    return "the secret was printed" if stage.secret in ran.output else None


def said_success(stage: Stage, ran: Ran) -> str | None:
    """The kernel did what was asked: for attacks whose outcome only the attacker can see."""
    lines = [line for line in ran.output.splitlines() if line.startswith("attack: succeeded")]
    return lines[0] if lines else None


def file_has(stage: Stage, ran: Ran, path: str, text: str) -> str | None:
    """A file of the host holds the attacker's text."""
    name, content = stage.fill((path, text))
    try:
        with open(name, encoding="utf-8", errors="replace") as stream:
            return f"`{name}` was written" if content in stream.read() else None
    except OSError:
        return None


def appeared(stage: Stage, ran: Ran, folder: str) -> str | None:
    """Something new lies in a folder outside the workspace."""
    (name,) = stage.fill((folder,))
    new = sorted(set(os.listdir(name)) - {"notes", "input"})
    return f"`{name}` has {new}" if new else None


def status_runs_it(stage: Stage, ran: Ran) -> str | None:
    """The person's own `git status`, outside, runs the attacker's command."""
    for folder in (stage.workspace, f"{stage.workspace}/library"):
        _git(stage, folder, "status")
    return "`git status` ran the attacker's command" if os.path.exists(stage.words["canary"]) else None


def status_runs_it_unreported(stage: Stage, ran: Ran, name: str) -> str | None:
    """The person's own `git status` runs the attacker's command, and nothing named the file that makes it do so."""
    return status_runs_it(stage, ran) if name not in _reported(stage) else None


def checkout_writes_unreported(stage: Stage, ran: Ran, folder: str) -> str | None:
    """The person's own `git checkout` writes outside of the workspace, and nothing named the index that leads there."""
    if ".git/index" in _reported(stage):
        return None
    _git(stage, stage.workspace, "checkout", ".")
    return appeared(stage, ran, folder)


def unreported(stage: Stage, ran: Ran, text: str, *names: str) -> str | None:
    """Files of the workspace hold the attacker's text, and nothing told the person to look at them."""
    known = _reported(stage)
    left = [name for name in names if name not in known and file_has(stage, ran, f"{stage.workspace}/{name}", text)]
    return f"written, and reported nowhere: {', '.join(left)}" if left else None


def exists(stage: Stage, ran: Ran, path: str) -> str | None:
    """A name is there that was not."""
    (name,) = stage.fill((path,))
    return f"`{name}` was made" if os.path.lexists(name) else None


def printed(stage: Stage, ran: Ran, text: str) -> str | None:
    """The attack printed this."""
    (wanted,) = stage.fill((text,))
    return f"it printed `{wanted}`" if wanted in ran.output else None


def mode_changed(stage: Stage, ran: Ran) -> str | None:
    """The secret file's mode is no longer what it was."""
    mode = stat.S_IMODE(os.stat(f"{stage.outside}/notes").st_mode)
    return f"mode is now {mode:o}" if mode != 0o600 else None


def victim_ended(stage: Stage, ran: Ran) -> str | None:
    """The process outside no longer runs."""
    return "the process outside was ended" if _gone(int(stage.words["victim"]), 0.2) else None


def outlived(stage: Stage, ran: Ran) -> str | None:
    """A process that was started inside still runs half a second after the session. Ends it."""
    left = [process for process in marked(f"stays-{stage.words['mark']}") if not _gone(process, 0.5)]
    for process in left:
        os.kill(process, 9)
    return f"process {left} still runs" if left else None


def marked(mark: str) -> list[int]:
    """The processes of this machine whose last argument is the mark."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{int(entry)}/cmdline", "rb") as stream:
                if stream.read().endswith(mark.encode() + b"\0"):
                    found.append(int(entry))
        except (ValueError, OSError):
            continue
    return found


def helper_saw(stage: Stage, ran: Ran) -> str | None:
    """A helper outside noted something."""
    return f"seen outside: {stage.evidence}" if any(stage.evidence) else None


def typed(stage: Stage, ran: Ran) -> str | None:
    """The terminal's input holds what the attacker wrote, as if the person had typed it."""
    return "the terminal was typed into" if f"typed: {stage.secret}" in ran.output else None


def heard(stage: Stage, ran: Ran, *names: str) -> str | None:
    """One of the listeners got a connection or bytes."""
    assert stage.ear
    hits = [(entry.name, entry.data[:80]) for entry in stage.ear.heard if entry.name in names]
    return f"listeners got {hits}" if hits else None


def heard_text(stage: Stage, ran: Ran, text: str) -> str | None:
    """Some listener got bytes that hold a text."""
    assert stage.ear
    (wanted,) = stage.fill((text,))
    hits = [(entry.name, entry.data[:200]) for entry in stage.ear.heard if wanted.encode() in entry.data]
    return f"listeners got {hits}" if hits else None


def gives_rights(stage: Stage, ran: Ran, path: str) -> str | None:
    """A file of the host gives whoever runs it the rights of its owner."""
    (name,) = stage.fill((path,))
    mode = os.lstat(name).st_mode if os.path.lexists(name) else 0
    return f"mode {stat.S_IMODE(mode):o}" if mode & 0o6000 else None


def hung(stage: Stage, ran: Ran) -> str | None:
    """The launch never came to an end."""
    return "the launch hangs" if ran.status == 124 else None


def _git(stage: Stage, folder: str, *words: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": stage.home}
    subprocess.run(("git", "-C", folder, *words), env=environment, capture_output=True, **account(stage))


def _reported(stage: Stage) -> set[str]:
    """What the record of the stage says that the person should look at."""
    path = f"{stage.home}/.local/state/ringfence/ledger.db"
    if not os.path.exists(path):
        return set()
    reader = LedgerReader(path)
    try:
        bodies = [found.body for found in reader.events(Wanted())]
    finally:
        reader.close()
    return {name for body in bodies if isinstance(body, WorkspaceChanged) for name in body.control_files}


def _gone(process: int, patience: float) -> bool:
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select((handle,), (), (), patience)[0])
    finally:
        os.close(handle)


_ALL = (
    secret_shown,
    said_success,
    file_has,
    appeared,
    status_runs_it,
    status_runs_it_unreported,
    checkout_writes_unreported,
    unreported,
    exists,
    printed,
    mode_changed,
    victim_ended,
    outlived,
    helper_saw,
    typed,
    heard,
    heard_text,
    gives_rights,
    hung,
)
ORACLES: dict[str, Callable[..., str | None]] = {each.__name__: each for each in _ALL}
"""What a row can name in `works`."""
