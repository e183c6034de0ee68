"""Which commands stop for a question or never run, and which have a plan of their own."""

from __future__ import annotations

import msgspec

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.effective.files import Access, PathRule
from ringfence.policy.effective.origins import Origin
from ringfence.policy.layers import Enforcement


class CommandRule(msgspec.Struct, frozen=True, kw_only=True):
    """Commands by the beginning of their argument vector, by what they do, or by both at once."""

    id: str
    prefix: tuple[tuple[str, ...], ...] = ()
    """For each position the words that match there; empty where only effects are named."""
    effects: tuple[EffectKind, ...] = ()
    """Kinds of effect, one of which the command must have; empty where only the prefix is named."""
    objects: tuple[str, ...] = ()
    """Globs, one of which the object of that effect must fit; empty means any."""
    verdict: Verdict
    reason: str = ""
    unless: tuple[tuple[tuple[str, ...], ...], ...] = ()
    """Argument vectors, exactly as written, that the rule does not speak about. One that ends with `...` may have
    further operands, but no options."""
    undoable: tuple[str, ...] = ()
    """Globs over objects of the effects: where nothing else is at stake, a snapshot can stand in for the question."""
    match: tuple[str, ...] = ()
    not_match: tuple[str, ...] = ()
    origin: Origin
    enforcement: Enforcement | None = None
    """How strictly it is meant; as its document is, where it says nothing."""


class CommandProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A plan of its own for the commands that begin in one way: they see, reach and are told other things than the
    session's other commands."""

    id: str
    prefix: tuple[tuple[str, ...], ...]
    """For each position the words that stand there, exactly; the first names the program."""
    paths: tuple[PathRule, ...] = ()
    """Beside the policy's own."""
    hosts: tuple[str, ...] = ()
    """Destinations that it reaches without a question."""
    only_hosts: bool = False
    """Whether it reaches nothing else."""
    keep: tuple[str, ...] = ()
    """Variables of the person's that it gets beside those of every command."""
    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    """Variables that it does not get."""
    outside: bool = False
    """Whether it runs on the host, outside every sandbox."""
    reason: str = ""
    origin: Origin

    @property
    def widens(self) -> bool:
        """Whether it gives anything that the session's other commands do not have."""
        opened = any(rule.access is not Access.DENY for rule in self.paths)
        return bool(opened or self.hosts or self.keep or self.set or self.outside)


class CommandPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which commands stop for a question or never run, and which have a plan of their own."""

    rules: tuple[CommandRule, ...] = ()
    profiles: tuple[CommandProfile, ...] = ()
