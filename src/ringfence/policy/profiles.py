"""Which commands have a plan of their own, whether they may have it, and the policy that this plan is made of.

Pure: what is known of the program and of its folder comes in as facts that were looked up outside. A command gets the
wider plan only as it is written in the policy; whatever could make the program do somebody else's work is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ringfence.model.action import EffectKind
from ringfence.model.canonical import digest
from ringfence.model.decision import Decision, Placement, Reason, Verdict
from ringfence.policy.effective import (
    CommandProfile,
    HostRule,
    NetworkPolicy,
    Policy,
)
from ringfence.policy.evaluate import strictest_first
from ringfence.policy.paths import BINDING
from ringfence.policy.shell.parse import parse
from ringfence.policy.shell.tree import Feed

_WORD = re.compile(r"[A-Za-z0-9_.@:+,= -]{0,200}")
_ZONE = re.compile(r"(?:[A-Za-z0-9_+-]+/)*[A-Za-z0-9_+-]*")
_TEXT = re.compile(r"[^\0]{0,1000}", re.DOTALL)

# SECURITY: a value with a slash would make the C library read translations and time zones that were written inside,
# and translated formats write memory.
HARMLESS = {
    **dict.fromkeys(("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CI"), _WORD),
    **dict.fromkeys(("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "LC_MONETARY"), _WORD),
    **dict.fromkeys(("LC_NUMERIC", "LC_TIME", "GIT_TERMINAL_PROMPT"), _WORD),
    "TZ": _ZONE,
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE"), _TEXT),
    **dict.fromkeys(("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE"), _TEXT),
}
"""Variables that whoever starts the command may change, with the values they may have: they are shown or stored, and
start nothing."""

UNCHANGED = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})
"""What every shell changes; left out without a word, because nothing depends on it."""

GIT_SETTINGS = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("safe.bareRepository", "explicit"),
    ("submodule.recurse", "false"),
    ("push.recurseSubmodules", "no"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("protocol.http.allow", "always"),
    ("protocol.ssh.allow", "always"),
    ("protocol.git.allow", "always"),
)
"""What Git is told in a wider plan, above every settings file: nothing that lies in the workspace is run."""

_ABOUT_REPOSITORIES = frozenset({"git", "gh", "hub", "glab", "tea", "jj"})
_FOREIGN = frozenset({EffectKind.CONFIGURE, EffectKind.PRIVILEGE})


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a command from outside."""

    executable: str | None
    """Where the program really is, as the session's own PATH finds it; nothing where it is not found there."""
    is_installed: bool
    """Whether nothing inside can write to it, or put another in its place."""
    changed: tuple[str, ...] = ()
    """Names of variables that differ from the session's, and do not reach a command with a plan of its own."""
    in_workspace: bool = True
    """Whether the folder lies in the workspace."""
    own_repository: bool = False
    """Whether the folder belongs to a repository below the workspace, which whoever runs inside may have made."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The profiles that a command gets, or why it does not run."""

    profiles: tuple[CommandProfile, ...] = ()
    refused: str = ""
    notices: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """Variables that do not reach the command."""

    @property
    def widens(self) -> bool:
        """Whether the command gets anything that others do not have."""
        return any(profile.widens for profile in self.profiles)

    @property
    def outside(self) -> bool:
        """Whether it runs without a sandbox."""
        return any(profile.outside for profile in self.profiles)


def matching(profiles: Iterable[CommandProfile], argv: Sequence[str]) -> tuple[CommandProfile, ...]:
    """The profiles for a command, by its words alone. Several of them hold together."""
    if not argv:
        return ()
    words = (posixpath.basename(argv[0]), *argv[1:])
    return tuple(
        profile
        for profile in profiles
        if len(words) >= len(profile.prefix)
        and all(word in position for word, position in zip(words, profile.prefix, strict=False))
    )


def plain_words(script: str, home: str) -> tuple[str, ...] | None:
    """The argument vector of a script that starts one program and does nothing else; nothing for every other one."""
    found = parse(script, home=home)
    if len(found.commands) != 1 or found.redirects or found.issues or found.functions or found.aliases:
        return None
    command = found.commands[0]
    alone = not (command.assignments or command.scope or command.link or command.function)
    words = [word.text for word in command.words if word.text is not None and not word.glob]
    if not alone or command.feed is not Feed.INHERITED or len(words) != len(command.words) or not words:
        return None
    # Only a name is looked for on PATH, where the stand-in is.
    return None if "/" in words[0] else tuple(words)


def choose(policy: Policy, decision: Decision, argv: Sequence[str], facts: Facts) -> Chosen:
    """The plan of a command. `decision` is the policy's about it, with what the command does."""
    found = matching(policy.commands.profiles, argv)
    if not found:
        return Chosen()
    names = ", ".join(f"`{profile.id}`" for profile in found)
    if facts.executable is None or not facts.is_installed:
        what = facts.executable or argv[0]
        text = f"profile {names} is for the installed program, and `{what}` could be written by what runs inside"
        return Chosen(notices=(f"{text}: it has the plan of every other command",))
    chosen = Chosen(profiles=found, dropped=_dropped(facts.changed))
    if chosen.outside and not policy.ways.outside:
        text = (
            f"profile {names} runs it outside the sandbox, which nothing permits: that takes `sandbox.outside = true`"
        )
        return Chosen(profiles=found, refused=text)
    why = _misused(decision, argv, facts) if chosen.widens else ""
    return msgspec.structs.replace(chosen, refused=f"profile {names} opens more to it, and {why}" if why else "")


def _dropped(changed: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in changed if name not in UNCHANGED))


def _misused(decision: Decision, argv: Sequence[str], facts: Facts) -> str:
    """Why a command could do other than its own work, or nothing."""
    # SECURITY: the wider plan is for the program, never for what its arguments, its variables or its folder make it
    # start: each of these is the agent's to write (T2).
    if not facts.in_workspace:
        return "its folder is not in the workspace"
    if facts.own_repository and posixpath.basename(argv[0]) in _ABOUT_REPOSITORIES:
        return "its folder belongs to a repository below the workspace, whose settings could have been written inside"
    loading = [name for name in _dropped(facts.changed) if _steers(name, posixpath.basename(argv[0]))]
    if loading:
        return f"the variable `{loading[0]}` changes what it does: leave it out"
    program = posixpath.basename(argv[0])
    foreign = [
        effect
        for effect in decision.effects
        if effect.kind in _FOREIGN or (effect.kind is EffectKind.EXECUTE and effect.object != program)
    ]
    if foreign:
        return f"its arguments make it {foreign[0].kind.value} `{foreign[0].object}`: leave those out"
    if decision.opaque:
        return "what its arguments make it do cannot be told: write them plainly"
    return ""


def _steers(name: str, program: str) -> bool:
    """Whether a variable is known to change what programs, or this program, run and read."""
    upper = name.upper()
    if upper in _ASIDE:
        return False
    own = program.upper().replace("-", "_")
    return upper.startswith((f"{own}_", "LD_", "DYLD_", "GIT_", "SSH_")) or upper in _LOADERS


_ASIDE = frozenset({"GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER"})
"""What agents set everywhere, so that nothing waits for a person: it is left out and changes no result."""
_LOADERS = frozenset(
    {
        *("BASH_ENV", "ENV", "HOME", "IFS", "NODE_OPTIONS"),
        *("NODE_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PERL5LIB", "PERL5OPT", "RUBYOPT", "RUBYLIB"),
        *("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "GCONV_PATH", "LOCPATH", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    }
)


def harmless(changed: Mapping[str, str]) -> dict[str, str]:
    """Of the variables that somebody changed, those that a command with a plan of its own gets."""
    return {name: value for name, value in changed.items() if name in HARMLESS and HARMLESS[name].fullmatch(value)}


def with_profiles(policy: Policy, profiles: Sequence[CommandProfile]) -> Policy:
    """The policy of a plan of its own: the session's, with what the profiles add and take away."""
    observed = None if policy.observed is None else with_profiles(policy.observed, profiles)
    environment = policy.environment
    found = msgspec.structs.replace(
        policy,
        digest="",
        filesystem=(*policy.filesystem, *(rule for one in profiles for rule in one.paths)),
        network=_network(policy.network, profiles),
        environment=msgspec.structs.replace(
            environment,
            keep=(*environment.keep, *(name for one in profiles for name in one.keep)),
            set=(*environment.set, *(pair for one in profiles for pair in one.set)),
            remove=(*environment.remove, *(name for one in profiles for name in one.remove)),
        ),
        ways=msgspec.structs.replace(policy.ways, publish=(), nested_namespaces=False),
        observed=observed,
    )
    return msgspec.structs.replace(found, digest=digest(found))


def _network(network: NetworkPolicy, profiles: Sequence[CommandProfile]) -> NetworkPolicy:
    only = [profile for profile in profiles if profile.only_hosts]
    # What an administrator's profile leaves, a person's cannot add to.
    binding = [profile for profile in only if profile.origin.layer in BINDING]
    counted = [one for one in profiles if one.origin.layer in BINDING] if binding else profiles
    hosts = tuple(
        HostRule(
            id=f"profile.{profile.id}",
            hosts=profile.hosts,
            verdict=Verdict.ALLOW,
            reason=f"named in profile `{profile.id}`",
            origin=profile.origin,
        )
        for profile in counted
        if profile.hosts
    )
    if not only:
        return msgspec.structs.replace(network, rules=(*network.rules, *hosts))
    stopping = tuple(rule for rule in network.rules if rule.verdict is Verdict.DENY)
    return msgspec.structs.replace(
        network,
        default=Verdict.DENY,
        default_origin=(binding or only)[0].origin,
        rules=(*stopping, *hosts),
        host_ports=(),
    )


def told(decision: Decision, chosen: Chosen) -> Decision:
    """The decision with what its plan has to say: which profile holds, or why the command does not run."""
    if not chosen.profiles:
        return decision
    verdict = Verdict.DENY if chosen.refused else Verdict.ALLOW
    reasons = [_reason(profile, verdict, chosen.refused) for profile in chosen.profiles]
    denied = bool(chosen.refused)
    return msgspec.structs.replace(
        decision,
        verdict=Verdict.DENY if denied else decision.verdict,
        override=decision.override and not denied,
        # SECURITY: a plan of its own reaches what the snapshot of the workspace does not hold.
        undoable=False,
        placement=Placement.OUTSIDE if chosen.outside else Placement.INSIDE,
        reasons=strictest_first((*decision.reasons, *reasons)),
        message=f"denied: {chosen.refused}" if denied else decision.message,
        next_steps=("run it as its profile names it, or ask whoever wrote the profile",)
        if denied
        else decision.next_steps,
    )


def _reason(profile: CommandProfile, verdict: Verdict, refused: str) -> Reason:
    opened = [*(f"{rule.access.value} {rule.pattern}" for rule in profile.paths), *profile.hosts, *profile.keep]
    opened += [name for name, _ in profile.set]
    where = "outside the sandbox" if profile.outside else "with a plan of its own"
    text = refused or f"it runs {where}" + (f" ({', '.join(opened)})" if opened else "")
    return Reason(
        rule=f"profile.{profile.id}",
        layer=profile.origin.layer,
        source=profile.origin.source,
        verdict=verdict,
        text=f"{text}: {profile.reason}" if profile.reason and not refused else text,
    )
