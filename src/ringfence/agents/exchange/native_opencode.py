"""For opencode: `opencode.json`, in which the last pattern that fits decides, so that the strictest comes last.

opencode has no sandbox: what a policy allows inside one asks here.
"""

from __future__ import annotations

import json

from ringfence.agents.exchange.native import (
    Losses,
    Native,
    NativeAgent,
    NativeFile,
    expressible_commands,
    expressible_hosts,
    host_item,
    lose_environment,
    lose_mcp,
    lose_rest,
    path_item,
)
from ringfence.agents.exchange.spellings import is_option, spelled
from ringfence.model.decision import Verdict
from ringfence.policy.effective import Access, PathRule, Policy

PLACE = "/etc/opencode/opencode.json"
SCHEMA = "https://opencode.ai/config.json"
LIMITS = (
    "there is no sandbox: what a command or a tool server does is not held by anything",
    "rules match the text of a command: a path to the program, a variable or `sh -c` gets around them",
    "the variable OPENCODE_PERMISSION overrides this file; start opencode with a clean environment",
    "hosts are not told apart: fetching asks or is denied as a whole",
)

_ACTIONS = {Verdict.ALLOW: "allow", Verdict.ASK: "ask", Verdict.DENY: "deny"}
_CLASS = "?"
"""What stands for one character, also where ours names a few."""


def native_opencode(policy: Policy) -> Native:
    """The file for opencode."""
    losses = Losses()
    permission = {
        "bash": _bash(policy, losses),
        "read": _reading(policy, losses),
        "edit": _editing(policy, losses),
        "external_directory": _outside(policy, losses),
        "webfetch": _ACTIONS[_fetching(policy, losses)],
        "websearch": "ask",
    }
    lose_environment(policy, losses, settable=False)
    lose_mcp(policy, losses)
    lose_rest(policy, losses)
    content = json.dumps({"$schema": SCHEMA, "permission": permission}, indent=2, ensure_ascii=True) + "\n"
    return Native(
        agent=NativeAgent.OPENCODE,
        files=(NativeFile(name="opencode.json", place=PLACE, content=content),),
        unmapped=losses.unmapped,
        stricter=losses.stricter,
        limits=LIMITS,
    )


def _bash(policy: Policy, losses: Losses) -> dict[str, str]:
    losses.tighten("policy", "commands that no rule names", "ask, because nothing holds them")
    found = {"*": "ask"}
    for item, rule in sorted(expressible_commands(policy, losses), key=lambda one: one[1].verdict.strictness):
        origin = rule.origin.source
        if rule.verdict is Verdict.ALLOW:
            losses.lose(origin, item, "allowed inside a sandbox only, and opencode has none", restricts=False)
            continue
        if rule.verdict is Verdict.ASK:
            continue  # every command asks already
        texts = spelled(rule)
        if not texts:
            losses.lose(origin, item, "it has more spellings than anybody reads", restricts=True)
        for text in texts:
            found.pop(text, None)
            found[text] = "deny"
        if any(is_option(word) for position in rule.prefix for word in position):
            losses.lose(origin, item, "options in a bundle, such as `-xfd`, are not seen", restricts=True)
    return found


def _reading(policy: Policy, losses: Losses) -> dict[str, str]:
    return {"*": "allow", **dict.fromkeys(_closed(policy, losses), "deny")}


def _editing(policy: Policy, losses: Losses) -> dict[str, str]:
    writes = any(rule.access is Access.WRITE and rule.pattern == ":workspace" for rule in policy.filesystem)
    if not writes:
        return {"*": "deny"}
    kept = [rule for rule in policy.filesystem if rule.access is Access.READ and _is_inside(rule)]
    found = {"*": "allow"}
    found.update(dict.fromkeys((text for rule in kept for text in _texts(rule.pattern)), "deny"))
    return {**found, **dict.fromkeys(_closed(policy, None), "deny")}


def _closed(policy: Policy, losses: Losses | None) -> list[str]:
    texts = []
    for rule in policy.filesystem:
        if rule.access is Access.DENY:
            texts.extend(_texts(rule.pattern))
            if losses is not None and "[" in rule.pattern:
                losses.tighten(
                    rule.origin.source, path_item(rule), "closes more: opencode has no classes of characters"
                )
    return texts


def _outside(policy: Policy, losses: Losses) -> dict[str, str]:
    """Folders outside the workspace, which ask unless a policy closes them."""
    found = {"*": "ask"}
    for rule in policy.filesystem:
        if _is_inside(rule):
            continue
        if rule.access is Access.DENY:
            found.update(dict.fromkeys(_texts(rule.pattern), "deny"))
        else:
            losses.tighten(rule.origin.source, path_item(rule), "asks: one permission is for reading and writing there")
    return found


def _is_inside(rule: PathRule) -> bool:
    return not rule.pattern.startswith(("/", "~", ":tmp", ":home"))


def _texts(pattern: str) -> list[str]:
    """A path pattern as opencode matches it, in which `*` crosses folders: the path, and what is below it."""
    head, _, rest = pattern.partition("/")
    match head:
        case ":workspace":
            bases = [rest] if rest else []
        case ":home":
            bases = [f"~/{rest}"]
        case ":tmp":
            bases = [f"/tmp/{rest}", f"/var/tmp/{rest}"]  # noqa: S108 - names of places
        case "**":
            bases = [rest, f"*/{rest}"]
        case _:
            bases = [pattern]
    plain = [_without_classes(base.replace("**", "*")).rstrip("/") for base in bases]
    return [text for base in plain for text in (base, f"{base}/*")] or ["*"]


def _without_classes(text: str) -> str:
    found, at = "", 0
    while at < len(text):
        end = text.find("]", at + 2) if text[at] == "[" else -1
        found, at = (found + _CLASS, end + 1) if end > 0 else (found + text[at], at + 1)
    return found


def _fetching(policy: Policy, losses: Losses) -> Verdict:
    """One verdict for all hosts: the strictest that holds for hosts that no rule names."""
    for rule in expressible_hosts(policy, losses):
        reason = "opencode does not tell hosts apart"
        losses.lose(rule.origin.source, host_item(rule), reason, restricts=rule.verdict is not Verdict.ALLOW)
    strict = Verdict.DENY in {policy.network.default, policy.network.floor}
    return Verdict.DENY if strict else Verdict.ASK
