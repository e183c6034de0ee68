"""What a person sees when they are asked: the effect first, then exactly what would run, and which rule asked.

Lines of plain text, the same for every way of asking. Their digest is what a vote is bound to.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from ringfence.approvals import matchers
from ringfence.approvals.objects import ONCE_SECONDS
from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    EffectKind,
    FileAction,
    McpAction,
    OpaqueAction,
    RequestFacts,
)
from ringfence.model.decision import Decision, Placement, Verdict
from ringfence.model.display import visible, visible_argv

_VERBS = {EffectKind.CONNECT: "connect to", EffectKind.EXECUTE: "run", EffectKind.PUBLISH: "publish to"}
_OVERRIDE = ("  override a yes overrides a rule that denies: it holds once, and needs a reason, which goes on record",)
_LISTING = (
    "  lasts    a yes takes these tools, however it is given: nobody is asked about this server again, in this session",
    "           and in later ones, until its tools are others; a no leaves the agent without them",
)
_GRAVEST_FIRST = (
    EffectKind.PRIVILEGE,
    EffectKind.DESTROY,
    EffectKind.PUBLISH,
    EffectKind.CONFIGURE,
    EffectKind.CONNECT,
    EffectKind.DELETE,
    EffectKind.WRITE,
    EffectKind.EXECUTE,
    EffectKind.READ,
)
SHOWN = 6000
"""Characters of a command that are shown. Beyond, its beginning and end are, and it says so."""


def prompt(decision: Decision, *, lasts: bool = True, since: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The lines that describe what is asked. `lasts`: whether an answer can reach beyond this one action. `since`:
    what changed since something like it was approved."""
    return (
        headline(decision),
        "",
        *(f"  {line}" for line in _exactly(decision.action)),
        *since,
        "",
        *(f"  {line}" for line in _why(decision)),
        f"  risk     {decision.risk.value}; {_where(decision)}",
        *_reach(decision, lasts=lasts),
    )


def _reach(decision: Decision, *, lasts: bool) -> tuple[str, ...]:
    """How far an answer reaches."""
    if not lasts:
        return ()
    return (
        *(f"  {line}" for line in _opens(decision)),
        *_lasting(decision),
    )


def _lasting(decision: Decision) -> tuple[str, ...]:
    """For how long an answer can hold."""
    if decision.override:
        return _OVERRIDE
    if _is_listing(decision.action):
        return _LISTING
    return (f"  session  would remember: {matchers.in_words(decision.action)}",)


def headline(decision: Decision) -> str:
    """The effect in one line."""
    shown = sorted(decision.effects, key=lambda effect: _GRAVEST_FIRST.index(effect.kind))[:4]
    effects = ", ".join(f"{_VERBS.get(effect.kind, effect.kind.value)} {visible(effect.object)}" for effect in shown)
    more = f" and {len(decision.effects) - 4} more" if len(decision.effects) > 4 else ""
    what = effects + more or _kind(decision.action)
    return f"the agent wants to {what}" + (" (not everything it does could be analysed)" if decision.opaque else "")


def _kind(action: Action) -> str:
    match action:
        case CommandAction():
            return "run a command"
        case ConnectAction():
            return f"connect to {visible(action.host)}:{action.port}"
        case FileAction():
            return f"{action.operation.value} {visible(action.path)}"
        case McpAction() if _is_listing(action):
            return f"see the tools of {visible(action.server)}, which are not those that they were"
        case McpAction():
            return f"use {visible(action.tool)} of {visible(action.server)}"
        case OpaqueAction():
            return f"use the tool {visible(action.tool)}"
        case _:
            assert_never(action)


def _exactly(action: Action) -> list[str]:
    match action:
        case CommandAction():
            lines = [f"command  {_whole(visible(action.shell) if action.shell else visible_argv(action.argv))}"]
            if action.shell:
                lines.append(f"run by   {_whole(visible_argv(action.argv))}")
            if action.executable and (action.executable,) != action.argv[:1]:
                lines.append(f"program  {visible(action.executable)}")
            lines.append(f"folder   {visible(action.cwd)}")
            return lines + [f"sets     {visible(name)}={_whole(visible(value))}" for name, value in action.environment]
        case ConnectAction():
            request = f"{action.method or 'any method'} {visible(action.path or '')}".strip()
            lines = [f"to       {visible(action.host)}:{action.port}", f"request  {request}"]
            return lines + [f"does     {visible(one)}" for one in _operations(action)]
        case FileAction():
            return [f"file     {visible(action.path)}"]
        case McpAction() if _is_listing(action):
            return [f"server   {visible(action.server)}", *_changed_tools(action.arguments)]
        case McpAction():
            return [
                f"tool     {visible(action.server)} / {visible(action.tool)}",
                f"with     {_whole(visible(action.arguments))}",
            ]
        case OpaqueAction():
            return [f"tool     {visible(action.tool)}", f"with     {_whole(visible(action.arguments))}"]
        case _:
            assert_never(action)


def _is_listing(action: Action) -> bool:
    """Whether it is about what a server says of its tools, before the agent is shown it."""
    return isinstance(action, McpAction) and action.facts is not msgspec.UNSET and action.facts.listing


class _Texts(msgspec.Struct, frozen=True, kw_only=True):
    was: str = ""
    now: str = ""


class _Changed(msgspec.Struct, frozen=True, kw_only=True):
    added: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    said: dict[str, _Texts] = {}


def _changed_tools(arguments: str) -> list[str]:
    """Which tools are others than before, and what was and is said about each."""
    try:
        changed = msgspec.json.decode(arguments, type=_Changed)
    except msgspec.MsgspecError:
        return [f"with     {_whole(visible(arguments))}"]
    lines = []
    for word, names in (("changed ", changed.altered), ("new     ", changed.added)):
        for name in (name for name in names if name in changed.said):
            texts = changed.said[name]
            lines.append(f"{word} {visible(name)}")
            lines += [
                f"  {label}    {visible(text)}" for label, text in (("was", texts.was), ("now", texts.now)) if text
            ]
        rest = [name for name in names if name not in changed.said]
        if rest:
            lines.append(f"{word} {_whole(', '.join(map(visible, rest)))} (what is said about them is not shown here)")
    if changed.removed:
        lines.append(f"gone     {_whole(', '.join(map(visible, changed.removed)))}")
    return lines


def _whole(text: str) -> str:
    # SECURITY: padding must not push the harmful part out of sight without a word.
    if len(text) <= SHOWN:
        return text
    half = SHOWN // 2
    return f"{text[:half]} [... {len(text) - SHOWN} CHARACTERS ARE NOT SHOWN HERE ...] {text[-half:]}"


def _why(decision: Decision) -> list[str]:
    return [
        f"because  {visible(reason.text) or 'a rule asks'} (rule {visible(reason.rule)}, {visible(reason.layer)},"
        f" {visible(reason.source)})"
        for reason in decision.reasons
        if reason.verdict is (Verdict.DENY if decision.override else decision.verdict)
    ]


def _opens(decision: Decision) -> list[str]:
    """What a yes to a command answers as well."""
    if not isinstance(decision.action, CommandAction):
        return []
    hosts = [visible(effect.object) for effect in decision.effects if effect.kind is EffectKind.CONNECT]
    return [f"opens    {', '.join(hosts)} for {ONCE_SECONDS // 60} minutes"] if hosts else []


def _where(decision: Decision) -> str:
    return "inside the sandbox" if decision.placement is Placement.INSIDE else "OUTSIDE THE SANDBOX"


def _operations(action: ConnectAction) -> tuple[str, ...]:
    """What the request does beside reading or writing, where that was looked for."""
    facts = action.facts if isinstance(action.facts, RequestFacts) else RequestFacts()
    return tuple(one for one in facts.operations if one not in ("read", "write"))
