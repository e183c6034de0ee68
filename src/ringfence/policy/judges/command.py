"""Commands: every program that the command starts meets every rule, and what it does meets the rules for files, hosts
and effects.

This decides what to ask. What is possible is decided by the sandbox and the gateway, whatever this overlooks.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator

from ringfence.model.action import CommandAction, ConnectAction, Effect, EffectKind, FileAction, FileOperation
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.commands import CommandTable, Hit, is_undoable
from ringfence.policy.effective import Policy
from ringfence.policy.globs import is_glob
from ringfence.policy.judges.connect import ConnectJudge
from ringfence.policy.judges.file import FileJudge
from ringfence.policy.judges.finding import UNCERTAIN, Concerning, Finding, built_in, reason
from ringfence.policy.judges.undoing import loses_kept_only
from ringfence.policy.schema import escaped
from ringfence.policy.shell.analysis import (
    SHELLS,
    STANDARD_INPUT,
    Analysis,
    Invocation,
    Opened,
    analyse,
)
from ringfence.policy.shell.folders import Place
from ringfence.policy.shell.tree import Issue, Word
from ringfence.policy.tools import known_name
from ringfence.policy.tools.environment import concern
from ringfence.policy.tools.kinds import placed
from ringfence.policy.tools.reading import Fact, Role

_SENTENCE = frozenset(" \t\r\n;|&<>")
"""An argument of an unknown program with one of these is a script, a pattern or a message rather than the name of a
secret. To be wrong here costs an early word only: the sandbox does not show the file."""
_EVERYDAY_NAMES = frozenset({"test", "install", "script", "watch", "split", "time", "run", "host", "link", "join"})
"""Names of tools that are words of everyday language too: a file of that name deceives nobody."""
_SEARCHES = frozenset({"find", "fd", "fdfind", "locate", "grep", "egrep", "fgrep", "rg", "ag", "ack", "plocate"})
_HARMLESS_BESIDE = frozenset(
    [
        "cat",
        "less",
        "more",
        "most",
        "head",
        "tail",
        "true",
        "false",
        "bat",
        "delta",
        "gzip",
        "gunzip",
        "pigz",
        "bzip2",
        "xz",
        "lzma",
        "zstd",
        "lz4",
        "lzop",
        "brotli",
        "unzip",
        "zcat",
        "tar",
        "sort",
        "uniq",
        "wc",
        "tr",
        "cut",
        "column",
        "nl",
        "fold",
        "fmt",
        "date",
        "basename",
        "dirname",
        "echo",
        "printf",
        "vi",
        "vim",
        "nvim",
        "nano",
        "emacs",
        "code",
        "diff",
        "colordiff",
        "ssh",
        "test",
        "hostname",
        "uname",
        "git",
        "ls",
        "find",
        "grep",
        "which",
        "nproc",
        "ldd",
        "df",
        "du",
        "free",
        "stat",
        "file",
        "realpath",
    ]
)
"""Viewers, editors and filters that options name every day."""
_METADATA = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "metadata.azure.internal", "instance-data"}
    | {"instance-data.ec2.internal", "metadata.platformequinix.com", "metadata.tencentyun.com"}
)
_SET_ID = re.compile(r"[-/+]?[2467][0-7]{3}|[-/+]?[augo]*[ug]\+s|[-/][ug]=s")
_COPIES = frozenset({"cp", "mv", "install", "ln"})
_SHELL_FILE = re.compile(r"/(?:usr/)?(?:local/)?bin/(?:ba|da|z|k|fi)?sh")
_LOOPBACK = frozenset({"localhost", "ip6-localhost", "::1", "0.0.0.0", "::", "0"})  # noqa: S104 - judged, not bound
_CHANGES = frozenset({EffectKind.WRITE, EffectKind.DELETE})
_WRITTEN_PATH = re.compile(
    r"""(?P<home>~|\$HOME\b|\$\{HOME\b[^}]{0,40}\})?["']?(?P<path>(?:/["']?[\w.@%+*?\[\]!-]+["']?)+/?)"""
)
"""A path as it is written in a script, from home where that stands in front of it."""
_ALL = re.compile(r"(?:^|/)[*?.]*\*[*?]*/?$")
"""A glob that takes every name in a folder."""
_HISTORY = re.compile(r"/\.git/(?:\*|objects|refs|logs|HEAD|packed-refs|modules|worktrees|lfs)(?:$|/)")
_TESTS_OF_FIND = frozenset({"-name", "-iname", "-path", "-ipath", "-wholename", "-regex", "-iregex", "-empty", "-newer",
                            "-mtime", "-mmin", "-ctime", "-cmin", "-atime", "-amin", "-size", "-perm", "-user",
                            "-xtype", "-lname"})  # fmt: skip
_BEFORE_PATH = frozenset(" \t\n\"'=:(<>;|&")
_LONGEST_PATH = 4096
_MOST_WRITTEN = 256
_CHECKED_WHEN_CONNECTING = (Verdict.ASK, Verdict.ALLOW)
_Said = Reason | Concerning


class CommandJudge:
    """The command rules of a policy, and its path and host rules for what commands do."""

    def __init__(self, policy: Policy, files: FileJudge, connections: ConnectJudge, *, home: str) -> None:
        self._table = CommandTable(policy.commands.rules, home=home)
        self._files = files
        self._connections = connections
        self._home = home

    def judge(self, action: CommandAction) -> Finding:
        """The finding about a command."""
        if action.shell is None and not action.argv:
            return Finding(reasons=(built_in("commands.empty", Verdict.DENY, "there is no command"),), opaque=True)
        analysis = analyse(action, home=self._home)
        said = tuple(self._reasons(analysis, action))
        concerning = tuple(one for one in said if isinstance(one, Concerning))
        reasons = tuple(one.reason if isinstance(one, Concerning) else one for one in said)
        if not reasons:
            text = "no rule stops it; it runs inside the sandbox, which holds it"
            reasons = (built_in("commands.default", Verdict.ALLOW, text),)
        opaque = bool(analysis.issues) or any(map(_is_opaque, analysis.invocations))
        names = (*(name for name, _ in action.environment), *(name for name, _ in analysis.assignments))
        # A variable can lead Git to another repository.
        undoable = not opaque and not any(map(_leads, names)) and self._undoable(analysis, reasons)
        return Finding(
            reasons=reasons,
            effects=tuple(_effects(analysis)),
            opaque=opaque,
            undoable=undoable,
            concerning=concerning,
        )

    def _undoable(self, analysis: Analysis, reasons: tuple[Reason, ...]) -> bool:
        """Whether everything that is asked about is lost in the workspace only, and of a kind that a snapshot keeps."""
        asked = {one for one in reasons if one.verdict is Verdict.ASK}
        losing, explained = set[int](), set[Reason]()
        for number, invocation in enumerate(analysis.invocations):
            for hit in self._table.hits(invocation):
                if (why := _hit(hit)) not in asked:
                    continue
                if not (hit.certain and is_undoable(hit)):
                    return False
                explained.add(why)
                losing.add(number)
        return bool(asked) and asked <= explained and loses_kept_only(analysis, losing, self._files.in_workspace)

    def _reasons(self, analysis: Analysis, action: CommandAction) -> Iterator[_Said]:
        for issue in analysis.issues:
            yield _unclear(issue)
        for text in analysis.fetched:
            why = f"it runs code from the network that nobody has seen: `{escaped(text)}`"
            yield built_in("commands.network-pipe-shell", Verdict.DENY, why)
        for text in analysis.shells_given:
            why = f"it hands a shell to whoever is on the other side of a connection: `{escaped(text)}`"
            yield built_in("commands.reverse-shell", Verdict.DENY, why)
        for name in analysis.endless:
            why = f"the function `{escaped(name)}` starts itself without end"
            yield built_in("commands.fork-bomb", Verdict.DENY, why)
        for invocation in analysis.invocations:
            yield from self._invocation(invocation, analysis)
        for opened in analysis.opened:
            yield from self._opened(opened, analysis)
        if action.shell is not None and _opens_unknown(analysis):
            yield from self._indirect(action.shell)
        for name, value in (
            *((name, Word(text=text, raw=text)) for name, text in action.environment),
            *analysis.assignments,
        ):
            concerned = concern(name, value)
            if concerned is not None:
                yield built_in(f"environment.{escaped(name)}", Verdict.ASK, f"`{escaped(name)}` {concerned}")

    def _indirect(self, shell: str) -> Iterator[Reason]:
        """What is denied and named in a script that opens what only running it tells, by a loop or an array."""
        for match in itertools.islice(_WRITTEN_PATH.finditer(shell), _MOST_WRITTEN):
            text = match["path"].replace('"', "").replace("'", "")
            begins = match.start() == 0 or shell[match.start() - 1] in _BEFORE_PATH
            path = text if begins and not match["home"] else f"{self._home}{text}"
            certain = begins or bool(match["home"])
            if len(path) > _LONGEST_PATH:
                continue
            found = None if is_glob(path) and not certain else self._files.in_command(path, change=False, glob=True)
            if found is not None:
                why = f"it opens what is only known when it runs, and names what is denied: {found.text}"
                yield built_in("filesystem.indirect", Verdict.ASK, why)
                return

    def _invocation(self, invocation: Invocation, analysis: Analysis) -> Iterator[_Said]:
        for hit in self._table.hits(invocation):
            yield _hit(hit)
        if invocation.name in _SEARCHES:
            yield from self._search(invocation)
        reading = invocation.reading
        if _is_opaque(invocation):
            yield from self._opaque(invocation, analysis)
        if reading is not None:
            for fact in reading.facts:
                if fact.role is Role.PATH:
                    yield from self._path(fact, invocation.place, analysis, invocation.number)
                    if invocation.name in _COPIES and _SHELL_FILE.fullmatch(fact.object):
                        text = f"it gives a shell, `{escaped(fact.object)}`, another name"
                        yield built_in("commands.disguise", Verdict.ASK, text)
                    if fact.kind is EffectKind.DELETE and not _picks(invocation):
                        yield from self._everything(fact, invocation.place)
                elif _is_destination(fact):
                    yield from self._connection(fact)
            for rule, verdict, text in reading.concerns:
                yield built_in(rule, verdict, text)
            for path in reading.mentions:
                found = self._files.denied_by_rule(path)
                if found is not None:
                    yield _about_file(found, path, change=False)
            if invocation.side_door and invocation.program and invocation.name not in _HARMLESS_BESIDE:
                yield _side_door(invocation)
        elif not invocation.function and invocation.program:
            yield from _unknown(invocation)

    def _opaque(self, invocation: Invocation, analysis: Analysis) -> Iterator[_Said]:
        """The arguments of what no table explains, or of code that is not seen, as far as they name what is denied."""
        for text in {text for word in invocation.words[1:] for text in _named(word.text)}:
            if len(text) > 4096 or text.startswith("-") or _SENTENCE & set(text):
                continue
            for path in _paths(text, invocation, analysis):
                found = self._files.denied_by_rule(path)
                if found is not None:
                    yield _about_file(found, path, change=False)

    def _search(self, invocation: Invocation) -> Iterator[Reason]:
        """A search for secrets beyond the workspace: nobody looks for `id_rsa` in `/` by accident."""
        texts = [word.text for word in invocation.words[1:] if word.text]
        if "-perm" in texts and any(map(_SET_ID.fullmatch, texts)) and any(text.startswith("/") for text in texts):
            text = "it searches the system for programs that give the rights of another user"
            yield built_in("commands.privilege-search", Verdict.ASK, text)
        wide = next((text for text in texts if self._files.beyond(text)), None)
        if wide is None:
            return
        sought = next((text for text in texts if text != wide and self._files.is_secret_name(text)), None)
        if sought is not None:
            text = f"it searches `{escaped(wide)}` for secrets: `{escaped(sought)}`"
            yield built_in("commands.secret-search", Verdict.ASK, text)

    def _path(self, fact: Fact, place: Place, analysis: Analysis, number: int) -> Iterator[_Said]:
        word = fact.word
        if word is None or word.text is None:
            if word is not None and (found := self._files.process(word.raw)) is not None:
                yield found
            return
        if not word.text or len(word.text) > 4096 or "\0" in word.text:
            return
        likely, otherwise = place.resolve(word.text)
        if word.text.startswith("~/"):  # the shell left it alone, and many programs expand it themselves
            likely = (*likely, self._home + word.text[1:])
        for path in likely:
            yield from self._file(fact.kind, path, analysis.links.followed(path, number), glob=word.glob)
        for path in otherwise:
            found = self._files.denied_by_rule(path)
            if found is not None:
                yield _about_file(found, path, change=False)

    def _everything(self, fact: Fact, place: Place) -> Iterator[Reason]:
        """The whole workspace deleted: itself, `*` in it, or what holds the history in `.git`."""
        word = fact.word
        if word is None or word.text is None or "{}" in word.raw:
            return
        paths = place.resolve(word.text)[0]
        whole = word.text.rstrip("/").rpartition("/")[0] or "." if word.glob and _ALL.search(word.text) else word.text
        if any(self._files.is_workspace(path) for path in place.resolve(whole)[0]):
            text = "it deletes the whole workspace, with what is not committed"
            yield built_in("commands.destroy-workspace", Verdict.ASK, text)
        elif any(_HISTORY.search(path) for path in paths):
            text = f"deleting `{escaped(word.text)}` loses the history that is only there"
            yield built_in("commands.destroy-repository", Verdict.ASK, text)

    def _file(self, kind: EffectKind, path: str, followed: str | None, *, glob: bool) -> Iterator[_Said]:
        for one in (path, followed):
            if one is None:
                continue
            found = self._files.in_command(one, change=kind in _CHANGES, glob=glob)
            if found is not None:
                yield found if glob else _about_file(found, one, change=kind in _CHANGES)
            elif kind is EffectKind.DELETE and posixpath.basename(one.rstrip("/")) == ".git":
                text = f"deleting `{escaped(one)}` loses the history that is only there"
                yield built_in("commands.destroy-repository", Verdict.ASK, text)

    def _connection(self, fact: Fact) -> Iterator[_Said]:
        word = fact.word
        if word is None or word.text is None:
            if fact.role is Role.HOST:
                text = f"where it connects to is only known when it runs: `{escaped(fact.object)}`"
                yield built_in("network.dynamic", Verdict.ASK, text)
            return
        host = word.text.lower().rstrip(".")
        if host in _LOOPBACK or host.startswith("127.") or host.endswith(".localhost"):
            return
        if host in _METADATA:
            text = f"`{escaped(host)}` is where a cloud hands out credentials"
            yield built_in("address.metadata", Verdict.DENY, text)
        action = ConnectAction(host=host, port=fact.port or 443)
        finding = self._connections.judge(action)
        for found in finding.reasons:
            if found.verdict is Verdict.ALLOW:
                continue
            if found.rule in {"network.host", "network.port"}:
                yield built_in(found.rule, Verdict.ASK, found.text)
            elif found.verdict is Verdict.DENY or (
                fact.role is Role.HOST and not self._connections.needs_request(host, fact.port or 443)
            ):
                yield Concerning(reason=found, action=action)

    def _opened(self, opened: Opened, analysis: Analysis) -> Iterator[_Said]:
        redirect = opened.redirect
        if redirect.network:
            yield from self._bash_connection(redirect.target)
            if any(_is_bare_shell(invocation) for invocation in analysis.invocations):
                why = f"it hands a shell to whoever is on the other side of `{escaped(redirect.target.raw)}`"
                yield built_in("commands.reverse-shell", Verdict.DENY, why)
            return
        kind = EffectKind.WRITE if redirect.write else EffectKind.READ
        target = placed(redirect.target)
        yield from self._path(Fact(kind, "", Role.PATH, target), opened.place, analysis, opened.number)

    def _bash_connection(self, target: Word) -> Iterator[_Said]:
        parts = (target.text or "").split("/")
        host = parts[3] if len(parts) > 4 else None
        port = int(parts[4]) if len(parts) > 4 and parts[4].isdecimal() and len(parts[4]) < 6 else 0
        word = Word(text=host, raw=target.raw)
        yield from self._connection(Fact(EffectKind.CONNECT, target.raw, Role.HOST, word, port))
        if host is not None and host not in _LOOPBACK:
            text = f"the shell itself opens a connection: `{escaped(target.raw)}`"
            yield built_in("commands.shell-connection", Verdict.ASK, text)


def asks_hosts(analysis: Analysis) -> bool:
    """Whether host rules have a say in what is decided about a command."""
    facts = (fact for one in analysis.invocations if one.reading is not None for fact in one.reading.facts)
    return any(map(_is_destination, facts)) or any(opened.redirect.network for opened in analysis.opened)


def asks_paths(analysis: Analysis) -> bool:
    """Whether path rules may have a say in what is decided about a command."""
    # INVARIANT: every way on which `CommandJudge` comes to ask about a path begins with one of these.
    return bool(analysis.opened) or any(
        one.reading is None
        or _is_opaque(one)
        or one.name in _SEARCHES
        or bool(one.reading.mentions)
        or any(fact.role is Role.PATH for fact in one.reading.facts)
        for one in analysis.invocations
    )


def _is_destination(fact: Fact) -> bool:
    return fact.role is not Role.PATH and fact.role is not Role.PHRASE


def _picks(invocation: Invocation) -> bool:
    """Whether it deletes only some of what it is given: `find` with a test that is not turned round."""
    texts = [word.text for word in invocation.words]
    return invocation.name == "find" and any(
        text in _TESTS_OF_FIND and before not in {"!", "-not"} for before, text in itertools.pairwise(texts)
    )


def _opens_unknown(analysis: Analysis) -> bool:
    """Whether anything reads or changes a file whose name is not certain."""
    facts = (fact for one in analysis.invocations if one.reading is not None for fact in one.reading.facts)
    return any(fact.role is Role.PATH and fact.word is not None and fact.word.text is None for fact in facts) or any(
        opened.redirect.target.text is None for opened in analysis.opened
    )


def _unknown(invocation: Invocation) -> Iterator[Reason]:
    """What is to be said about a program that no table explains."""
    name = invocation.program
    if not name.isascii():
        text = f"the name of the program, `{escaped(name)}`, has letters that look like others"
        yield built_in("commands.homoglyph", Verdict.ASK, text)
    elif invocation.side_door:
        yield _side_door(invocation)
    elif invocation.disguised and known_name(name) is not None and name not in _EVERYDAY_NAMES:
        text = f"`{escaped(invocation.path or name)}` bears the name of a tool and is not that tool"
        yield built_in("commands.name-shadow", Verdict.ASK, text)


def _is_bare_shell(invocation: Invocation) -> bool:
    """Whether a shell runs what it reads."""
    reading = invocation.reading
    return (
        invocation.name in SHELLS and reading is not None and any(one.object == STANDARD_INPUT for one in reading.facts)
    )


def _side_door(invocation: Invocation) -> Reason:
    text = f"an option makes another program run `{escaped(invocation.path or invocation.program)}`"
    return built_in("commands.side-door", Verdict.ASK, text)


def _about_file(found: Reason, path: str, *, change: bool) -> Concerning:
    operation = FileOperation.WRITE if change else FileOperation.READ
    return Concerning(reason=found, action=FileAction(operation=operation, path=path))


def _paths(text: str, invocation: Invocation, analysis: Analysis) -> Iterator[str]:
    likely, otherwise = invocation.place.resolve(text)
    for path in (*likely, *otherwise):
        yield path
        followed = analysis.links.followed(path, invocation.number)
        if followed is not None:
            yield followed


def _named(text: str | None) -> Iterator[str]:
    """The texts in an argument that may be a path: itself, the value of `--option=x` or `if=x`, and `@x`."""
    if text is None or not text:
        return
    yield text
    for mark in "=@":
        _, found, value = text.partition(mark)
        if found and value:
            yield value.removeprefix("@")


def _is_opaque(invocation: Invocation) -> bool:
    """Whether it does more than its words tell: no table has them, or it runs code that they only name."""
    reading = invocation.reading
    return (
        reading is None
        or reading.opaque
        or any(fact.kind is EffectKind.EXECUTE and fact.object != STANDARD_INPUT for fact in reading.facts)
    )


def _unclear(issue: Issue) -> Reason:
    text = f"what it runs cannot be seen before it runs: {escaped(issue.text)}"
    return built_in(f"commands.{issue.kind.value}", Verdict.ASK, text)


def _leads(variable: str) -> bool:
    return variable.startswith("GIT_")


def _hit(hit: Hit) -> Reason:
    rule = hit.rule
    named = " ".join(words[0] for words in rule.prefix) or " or ".join(rule.effects)
    text = rule.reason or f"a rule names `{named}`"
    if hit.object:
        text = f"{text} (`{escaped(hit.object)}`)"
    if hit.certain:
        return reason(rule.id, rule.origin, rule.verdict, text)
    return reason(rule.id, rule.origin, Verdict.ASK, f"{UNCERTAIN}{text}")


def effects_of(invocation: Invocation) -> Iterator[Effect]:
    """What one program does: that it runs, and the effects that its table names."""
    if invocation.program or invocation.path is None:
        yield Effect(kind=EffectKind.EXECUTE, object=invocation.path or invocation.words[0].raw)
    if invocation.reading is not None:
        for fact in invocation.reading.facts:
            yield Effect(kind=fact.kind, object=_object(fact, invocation.place))


def _effects(analysis: Analysis) -> Iterator[Effect]:
    for invocation in analysis.invocations:
        yield from effects_of(invocation)
    for opened in analysis.opened:
        kind = EffectKind.WRITE if opened.redirect.write else EffectKind.READ
        yield Effect(kind=kind, object=opened.redirect.target.text or opened.redirect.target.raw)


def _object(fact: Fact, place: Place) -> str:
    """The object as it is recorded: paths absolute where that is certain."""
    if fact.role is not Role.PATH or fact.word is None or fact.word.text is None or len(place.folders) != 1:
        return fact.object
    return posixpath.normpath(posixpath.join(place.folders[0], fact.word.text))
