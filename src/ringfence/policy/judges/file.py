"""Files: the most specific path rule decides; what no rule opens is not there inside the sandbox."""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase

from ringfence.model.action import Effect, EffectKind, FileAction, FileOperation
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.control_files import protected, rows_with
from ringfence.policy.effective import Access, Policy
from ringfence.policy.globs import components, is_glob
from ringfence.policy.judges.finding import Finding, built_in, reason
from ringfence.policy.paths import SYSTEM_RULES, anchored, normalise, path_table
from ringfence.policy.schema import escaped

_MOST_KNOWN = 4096
"""Answers about paths that are kept; agents ask about the same few again and again."""
_SECRET_WORDS = re.compile(
    r"passw(?:or)?d\b|\bsecrets?\b|api[_-]?key|private[_ -]key|\bid_(?:rsa|dsa|ecdsa|ed25519)|credentials?\b"
    r"|\btokens?\b"
    r"|\.kdbx|\.pem\b|\.p12|\.pfx|\.gnupg|access_tokens|aws_secret|cookies\.sqlite|login data|wallet\.dat|shadow\b"
)
_PROCESS = re.compile(r"/proc/[^/]+/(?:task/[^/]+/)?(?:environ|mem|auxv|kcore)|/proc/kcore|/dev/k?mem")
_THROUGH = re.compile(r"/proc/[^/.][^/]*/(?:task/[^/]+/)?(root|cwd)(?=/|$)(.*)", re.DOTALL)
_MOST_THROUGH = 8
"""So many of them are followed in one path; what has more is asked about."""
_ANYTHING = frozenset({"*", "**", "?*", "*.*"})
_KIND = {FileOperation.READ: EffectKind.READ, FileOperation.WRITE: EffectKind.WRITE}


class FileJudge:
    """The path rules of a policy."""

    def __init__(self, policy: Policy, *, home: str, workspace: str) -> None:
        self._written = path_table(policy.filesystem, home, workspace)
        self._workspace = normalise(workspace)
        named = policy.control_files
        self._control_files = rows_with(named.rows, named.exempt)
        self._named = {row.pattern: origin for row, origin in zip(named.rows, named.origins, strict=True)}
        self._system = path_table(SYSTEM_RULES, home, workspace)
        self._told: dict[str, Reason | None] = {}
        self._known: dict[tuple[str, bool, bool], Reason | None] = {}
        denied = [rule.pattern for rule in policy.filesystem if rule.access is Access.DENY]
        plain = [one for text in denied if not is_glob(text) for one in anchored(text, home=home, workspace=workspace)]
        self._home = home
        self._secrets = frozenset(text.rpartition("/")[2].lower() for text in denied)
        self._denied = tuple(components(text) for text in plain)
        self._secret_names = tuple(text[3:] for text in denied if text.startswith("**/") and not is_glob(text[3:]))

    def judge(self, action: FileAction) -> Finding:
        """The finding about a tool that reads or writes a file itself."""
        if not action.path.startswith("/"):
            text = f"path `{escaped(action.path)}` is not absolute"
            return Finding(reasons=(built_in("filesystem.relative", Verdict.DENY, text),), opaque=True)
        effect = Effect(kind=_KIND[action.operation], object=action.path)
        return Finding(reasons=(self.reason(action.path, action.operation),), effects=(effect,))

    def reason(self, path: str, operation: FileOperation) -> Reason:
        """The one reason that decides about an absolute path."""
        if "\0" in path:
            return built_in("filesystem.invalid", Verdict.DENY, "a path cannot hold a null character")
        match = self._written.match(path) or self._system.match(path)
        shown = f"`{escaped(path)}`"
        if match is None:
            text = f"no rule opens {shown}: it is outside the workspace and not there inside the sandbox"
            return built_in("filesystem.default", Verdict.DENY, text)
        rule = match.rule
        name = f"filesystem.{rule.access.value}:{rule.pattern}"
        why = f": {rule.reason}" if rule.reason else ""
        match rule.access:
            case Access.DENY:
                return reason(name, rule.origin, Verdict.DENY, f"{shown} can be neither read nor written{why}")
            case Access.READ if operation is FileOperation.WRITE:
                return reason(name, rule.origin, Verdict.DENY, f"{shown} can be read, not written{why}")
            case _:
                if operation is FileOperation.WRITE and (held := self._control_file(path)) is not None:
                    return held
                return reason(name, rule.origin, Verdict.ALLOW, f"{shown} may be {_done(operation)}{why}")

    def _control_file(self, path: str) -> Reason | None:
        """What the sandbox keeps read-only, said before it is tried."""
        inside = normalise(path).removeprefix(f"{self._workspace}/")
        row = None if inside.startswith("/") else protected(inside, self._control_files)
        if row is None:
            return None
        text = f"`{escaped(inside)}` is a control file: {row.why}; it cannot be changed in a session"
        name, origin = f"control-file:{row.pattern}", self._named.get(row.pattern)
        return built_in(name, Verdict.DENY, text) if origin is None else reason(name, origin, Verdict.DENY, text)

    def in_command(self, path: str, *, change: bool, glob: bool) -> Reason | None:
        """What stops a command from opening a path, or nothing.

        A command that reads what is not there inside the sandbox simply does not find it: only what a rule denies in so
        many words is said. What it would change outside the opened folders is said, with all that a glob may become.
        """
        key = (path, change, glob)
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._in_command(path, change=change, glob=glob)
        return self._known[key]

    def _in_command(self, path: str, *, change: bool, glob: bool) -> Reason | None:
        if (beyond := self._through(path)) is not None:
            path = beyond
        if glob and (found := self._glob(path)) is not None:
            return found
        if not change:
            return self.denied_by_rule(path) or _of_process(path)
        if self._workspace.startswith(f"{normalise(path).rstrip('/')}/"):
            text = f"`{escaped(path)}` holds the workspace"
            return built_in("filesystem.above", Verdict.DENY, f"{text}; it is no business of a session")
        found = self.reason(path, FileOperation.WRITE)
        return None if found.verdict is Verdict.ALLOW else found

    def _glob(self, path: str) -> Reason | None:
        """The denial of something that a glob may become."""
        names = components(normalise(path))
        for denied in self._denied:
            if len(denied) <= len(names) and all(map(_may_be, denied, names)):
                return self.reason("/" + "/".join(denied), FileOperation.READ)
        if names and names[-1] in _ANYTHING:
            return None
        for name in self._secret_names:
            if names and _may_be(name, names[-1]):
                return self.denied_by_rule(f"{posixpath.dirname(path)}/{name}")
        return None

    def is_workspace(self, path: str) -> bool:
        """Whether a path is the workspace itself."""
        return normalise(path) == self._workspace

    def in_workspace(self, path: str) -> bool:
        """Whether a path is the workspace or lies in it."""
        return path == self._workspace or path.startswith(f"{self._workspace}/")

    def process(self, text: str) -> Reason | None:
        """The reason about a file of a process whose number is only known when it runs."""
        path = text.strip("\"'")
        beyond = self._through(path)
        return _of_process(path) if beyond is None else self.in_command(beyond, change=False, glob=is_glob(beyond))

    def _through(self, path: str) -> str | None:
        """Where `/proc/PID/root` and `/proc/PID/cwd` lead: the whole system, and a folder of the session."""
        current = path
        for _ in range(_MOST_THROUGH):
            if "/proc" not in current:
                break
            plain = re.sub(r"/(?:\.?/)+", "/", current)
            found = _THROUGH.fullmatch(plain) or _THROUGH.fullmatch(normalise(plain))
            if found is None:
                break
            current = (found[2] or "/") if found[1] == "root" else f"{self._workspace}{found[2]}"
        return None if current is path else current

    def beyond(self, text: str) -> bool:
        """Whether a path is the whole system, or home folders, or lies in a home without being the workspace's."""
        path = normalise(text) if text.startswith("/") else ""
        inside = path == self._workspace or path.startswith(f"{self._workspace}/")
        homes = ("/home", "/root", "/Users", self._home)
        return bool(path) and not inside and (path == "/" or path.startswith(homes) or path.startswith("/."))

    def is_secret_name(self, text: str) -> bool:
        """Whether a text is the name of something that rules keep unreadable, or a word for such things."""
        name = text.strip("*").lower().rpartition("/")[2]
        return bool(_SECRET_WORDS.search(name)) or (len(name) > 3 and name in self._secrets)

    def denied_by_rule(self, path: str) -> Reason | None:
        """The reason of a rule that denies a path in so many words; nothing where no rule names it."""
        if path not in self._told:
            if len(self._told) >= _MOST_KNOWN:
                self._told.clear()
            match = self._written.match(path)
            denied = match is not None and match.rule.access is Access.DENY
            self._told[path] = self.reason(path, FileOperation.READ) if denied else None
        return self._told[path]


def _of_process(path: str) -> Reason | None:
    """What `/proc` shows of a process besides what is harmless."""
    if not _PROCESS.fullmatch(normalise(path)) and not _THROUGH.fullmatch(normalise(path)):
        return None
    text = f"`{escaped(path)}` shows the variables or the memory of a process, among them what may be secret"
    return built_in("filesystem.process", Verdict.ASK, text)


def _may_be(name: str, glob: str) -> bool:
    """Whether a name component of a glob may become a name; as in Bash, it takes no leading dot."""
    return name == glob or (is_glob(glob) and fnmatchcase(name, glob) and (name[:1] != "." or glob[:1] == "."))


def _done(operation: FileOperation) -> str:
    return "read" if operation is FileOperation.READ else "written"
