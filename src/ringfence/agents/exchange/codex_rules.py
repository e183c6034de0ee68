"""Codex's `prefix_rule`, `network_rule` and `host_executable` as parts of a policy.

`allow` there means outside the sandbox without a question; here it means without a question, and always inside.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from ringfence.agents.exchange.carried import Written, carry
from ringfence.agents.exchange.draft import Draft
from ringfence.agents.exchange.starlark_rules import Call, evaluated
from ringfence.model.decision import Verdict
from ringfence.policy.schema import escaped

AGENT = "codex"
VERDICTS = {"allow": Verdict.ALLOW, "prompt": Verdict.ASK, "forbidden": Verdict.DENY}
"""What Codex says about commands."""
NETWORK_VERDICTS = {"allow": Verdict.ALLOW, "prompt": Verdict.ASK, "deny": Verdict.DENY, "forbidden": Verdict.DENY}
OUTSIDE = "runs inside the sandbox without a question; Codex runs it outside"

_PARAMETERS = {
    "prefix_rule": ("pattern", "decision", "match", "not_match", "justification"),
    "host_executable": ("name", "paths"),
    "network_rule": ("host", "protocol", "decision", "justification"),
}
_PORTS = {"http": ":80", "https": ":443", "socks5_tcp": ""}
Pattern = tuple[tuple[str, ...], ...]


class _Wrong(Exception):
    """A call that Codex would not accept either; the text says why."""


class PrefixRule(msgspec.Struct, frozen=True, kw_only=True):
    """A `prefix_rule`, checked."""

    pattern: Pattern
    verdict: Verdict
    match: tuple[tuple[str, ...], ...] = ()
    not_match: tuple[tuple[str, ...], ...] = ()
    justification: str = ""

    def hits(self, argv: Sequence[str]) -> bool:
        """Whether it hits an argument vector, as Codex sees it: word by word from the start."""
        pairs = zip(self.pattern, argv, strict=False)
        return len(argv) >= len(self.pattern) and all(word in words for words, word in pairs)


def import_rules(draft: Draft, source: bytes, *, file: str) -> None:
    """Everything that a rules file says."""
    for call in evaluated(source, file=file):
        try:
            _import_call(draft, call, f"{file}:{call.line}")
        except _Wrong as wrong:
            draft.fault(file, call.line, 1, str(wrong))


def carry_prefix(draft: Draft, rule: PrefixRule, origin: str) -> None:
    """A checked rule into the draft."""
    item = shown(rule)
    carried = carry(
        draft,
        Written(
            agent=AGENT,
            item=item,
            prefix=rule.pattern,
            verdict=rule.verdict,
            reason=rule.justification,
            match=tuple(shlex.join(argv) for argv in rule.match),
            not_match=tuple(shlex.join(argv) for argv in rule.not_match),
            origin=origin,
        ),
    )
    if carried and rule.verdict is Verdict.ALLOW:
        draft.tighten(origin, item, OUTSIDE)


def shown(rule: PrefixRule) -> str:
    """A rule in one line, for messages."""
    words = " ".join(one[0] if len(one) == 1 else f"({'|'.join(one)})" for one in rule.pattern)
    word = next(word for word, verdict in VERDICTS.items() if verdict is rule.verdict)
    return f"{word} `{escaped(words)}`"


def _import_call(draft: Draft, call: Call, origin: str) -> None:
    given = _arguments(call)
    match call.function:
        case "prefix_rule":
            carry_prefix(draft, _prefix_rule(given), origin)
        case "network_rule":
            _import_network(draft, given, origin)
        case "host_executable":
            name = _text(given, "name")
            reason = "a rule here holds for a program by its name, wherever it lies; `allow` only for system folders"
            draft.lose(origin, f"host_executable `{escaped(name)}`", reason, restricts=False)
        case other:
            raise _Wrong(f"`{escaped(other)}` is not a function of Codex rules")


def _arguments(call: Call) -> dict[str, object]:
    names = _PARAMETERS.get(call.function, ())
    if len(call.positional) > len(names):
        raise _Wrong(f"`{call.function}` takes at most {len(names)} arguments")
    given = dict(zip(names, call.positional, strict=False))
    for name, value in call.named.items():
        if name not in names:
            raise _Wrong(f"`{call.function}` has no parameter `{escaped(name)}`")
        if name in given:
            raise _Wrong(f"`{call.function}` is given `{name}` twice")
        given[name] = value
    return {name: value for name, value in given.items() if value is not None}


def _prefix_rule(given: dict[str, object]) -> PrefixRule:
    rule = PrefixRule(
        pattern=_pattern(given.get("pattern")),
        verdict=_verdict(given, VERDICTS, default="allow"),
        match=_examples(given, "match"),
        not_match=_examples(given, "not_match"),
        justification=_justification(given),
    )
    for argv in rule.match:
        if not rule.hits(argv):
            raise _Wrong(f"the rule does not hit its `match` example `{escaped(shlex.join(argv))}`")
    for argv in rule.not_match:
        if rule.hits(argv):
            raise _Wrong(f"the rule hits its `not_match` example `{escaped(shlex.join(argv))}`")
    return rule


def _pattern(value: object) -> Pattern:
    if not isinstance(value, list) or not value:
        raise _Wrong("`pattern` is a list of words, and not empty")
    positions = []
    for element in value:
        words = element if isinstance(element, list) else [element]
        if not words or not all(isinstance(word, str) for word in words):
            raise _Wrong("each element of `pattern` is a word or a list of words")
        positions.append(tuple(words))
    return tuple(positions)


def _examples(given: dict[str, object], name: str) -> tuple[tuple[str, ...], ...]:
    value = given.get(name, [])
    if not isinstance(value, list):
        raise _Wrong(f"`{name}` is a list of commands")
    return tuple(_example(one, name) for one in value)


def _example(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise _Wrong(f"`{name}` holds a command that is not complete: {error}") from None
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise _Wrong(f"`{name}` holds commands, each a text or a list of words")
    return tuple(value)


def _import_network(draft: Draft, given: dict[str, object], origin: str) -> None:
    host, protocol = _text(given, "host"), _text(given, "protocol")
    verdict = _verdict(given, NETWORK_VERDICTS, default=None)
    item = f"network_rule {verdict.value} `{escaped(host)}` for {escaped(protocol)}"
    if protocol not in {*_PORTS, "socks5_udp"}:
        raise _Wrong("`protocol` is one of `http`, `https`, `socks5_tcp`, `socks5_udp`")
    if "*" in host:
        raise _Wrong("`host` names one host, without `*`")
    if verdict is Verdict.ALLOW and protocol == "socks5_udp":
        draft.lose(origin, item, "no UDP leaves the sandbox, except through the resolver of names", restricts=False)
        return
    if verdict is Verdict.ALLOW:
        host = f"[{host}]{_PORTS[protocol]}" if ":" in host and _PORTS[protocol] else f"{host}{_PORTS[protocol]}"
    draft.add_host(host, verdict, origin, item, reason=_justification(given))
    if verdict is Verdict.ALLOW and _PORTS[protocol]:
        draft.tighten(origin, item, f"opens port {_PORTS[protocol][1:]} only")
    elif verdict is not Verdict.ALLOW:
        draft.tighten(origin, item, "holds for every protocol and port")


def _verdict(given: dict[str, object], words: dict[str, Verdict], *, default: str | None) -> Verdict:
    value = given.get("decision", default)
    if not isinstance(value, str) or value not in words:
        listed = ", ".join(f"`{word}`" for word in words)
        raise _Wrong(f"`decision` is one of {listed}")
    return words[value]


def _justification(given: dict[str, object]) -> str:
    value = given.get("justification", "")
    if not isinstance(value, str) or ("justification" in given and not value.strip()):
        raise _Wrong("`justification` is a text, and not empty")
    return value


def _text(given: dict[str, object], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise _Wrong(f"`{name}` is a text, and not empty")
    return value
