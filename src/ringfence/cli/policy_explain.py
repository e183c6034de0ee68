"""`ringfence policy explain`: one question from the command line, or many as JSON Lines."""

from __future__ import annotations

import argparse
import json
import os
import sys

import msgspec

from ringfence.cli import codes
from ringfence.cli.decision_text import block
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict, to_contract
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid
from ringfence.policy.assumed import assumed
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.protocols import NAMES
from ringfence.policy.questions import action_of
from ringfence.policy.trace import Step, trace
from ringfence.session.command_plans import Plans
from ringfence.session.loaded import Here, load_here
from ringfence.session.sources import working_folder

MAX_LINE = 1024 * 1024

_LOOKED_AT = 20
"""Rules without a say that a step names; `--json` has all of them."""


def explain(parsed: argparse.Namespace) -> int:
    """Answer; the exit code says that there was an answer, not which."""
    questions = _questions(parsed)
    here = load_here(os.environ, cwd=working_folder(), workspace=parsed.workspace, choice=parsed.policy)
    evaluator = here.evaluator()
    plans = Plans(evaluator, path=os.environ.get("PATH", ""))
    if parsed.stdin:
        return _stream(here, plans)
    try:
        action = action_of(questions[0], cwd=here.cwd, home=here.places.home)
    except ValueError as error:
        raise UsageInvalid(str(error), remedy="see `ringfence policy explain --help`") from None
    if isinstance(action, ConnectAction) and parsed.model and not evaluator.asks_models(action.host, action.port):
        raise UsageInvalid(
            f"no model is asked at `{parsed.connect}`, as far as the policy knows",
            remedy="name the host in `[model] hosts`",
        )
    asked = assumed(action, here.policy)
    decision = plans.explain(asked.action)
    if parsed.json:
        print(json.dumps({**to_contract(decision), "trace": msgspec.to_builtins(trace(decision, evaluator))}))
    else:
        _print(decision, here, trace(decision, evaluator), _speaks(decision, evaluator), asked.note)
    return codes.OK


def _questions(parsed: argparse.Namespace) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for kind in ("shell", "read", "write", "connect"):
        if getattr(parsed, kind) is not None:
            found.append({kind: getattr(parsed, kind)})
    if parsed.words:
        found.append({"argv": parsed.words})
    if parsed.mcp is not None:
        found.append(_mcp(parsed.mcp))
    if len(found) + parsed.stdin != 1:
        raise UsageInvalid(
            "`policy explain` answers one question",
            remedy="name a command behind `--`, or one of its options; see `--help`",
        )
    for key in ("method", "path", "model"):
        if getattr(parsed, key) is not None:
            if parsed.connect is None:
                raise UsageInvalid(f"`--{key}` belongs to `--connect`")
            found[0][key] = getattr(parsed, key)
    return found


def _mcp(words: list[str]) -> dict[str, object]:
    if not 2 <= len(words) <= 3:
        raise UsageInvalid("`--mcp` takes a server, a tool and perhaps its arguments as JSON")
    try:
        arguments: object = json.loads(words[2]) if len(words) == 3 else {}
    except ValueError as error:
        raise UsageInvalid(f"the arguments of `--mcp` are not JSON: {error}") from None
    return {"mcp": words[0], "tool": words[1], "arguments": arguments}


def _stream(here: Here, plans: Plans) -> int:
    """Answer each line with one line, and never stop for a bad one."""
    for line in iter(lambda: sys.stdin.buffer.readline(MAX_LINE), b""):
        if not line.endswith(b"\n") and len(line) >= MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = sys.stdin.buffer.readline(MAX_LINE)
            answer = _refused(f"the line is longer than {MAX_LINE} bytes")
        elif not line.strip():
            continue
        else:
            answer = _answer(line, here, plans)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return codes.OK


def _answer(line: bytes, here: Here, plans: Plans) -> dict[str, object]:
    try:
        question = msgspec.json.decode(line, type=dict[str, object])
        action = action_of(question, cwd=here.cwd, home=here.places.home)
        decision = plans.explain(assumed(action, here.policy).action)
        return to_contract(decision)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        return _refused(str(error))


def _refused(error: str) -> dict[str, object]:
    return {"schema": 1, "verdict": "deny", "error": visible(error), "reasons": []}


def _speaks(decision: Decision, evaluator: Evaluator) -> str:
    """What may be spoken on a connection; empty where that is no question."""
    action = decision.action
    if not isinstance(action, ConnectAction) or action.method is not None or decision.verdict is Verdict.DENY:
        return ""
    if evaluator.needs_request(action.host, action.port):
        return "HTTP and TLS, and every request is judged by itself"
    spoken = evaluator.spoken(action)
    keys = evaluator.host_keys(action)
    what = "anything" if spoken is None else ", ".join(NAMES[one] for one in spoken)
    ssh = keys and (spoken is None or {"ssh", "tcp"} & set(spoken))
    return f"{what}; an SSH server has to show {' or '.join(keys)}" if ssh else what


def _print(decision: Decision, here: Here, steps: tuple[Step, ...], speaks: str, note: str) -> None:
    palette = Palette(colour=wants_colour(sys.stdout))
    print(block(msgspec.structs.replace(decision, message=""), palette).removeprefix("ringfence: "))
    effects = ", ".join(f"{effect.kind.value} {visible(effect.object)}" for effect in decision.effects[:12])
    if effects:
        print(f"  effects {effects}")
    if note:
        print(f"  taken   {visible(note)}")
    if speaks:
        print(f"  speaks  {speaks}")
    if decision.opaque:
        print("  opaque  what it does cannot be seen completely before it runs")
    print(f"  runs    {decision.placement.value} the sandbox; risk {decision.risk.value}; preset {here.policy.preset}")
    if len(steps) == 1 and not steps[0].looks:
        return  # one part that no rule names: the lines above say all of it
    if steps:
        print("  trace")
    for step in steps:
        _print_step(step, palette)


def _print_step(step: Step, palette: Palette) -> None:
    print(f"    {step.kind:<8}  {palette.bold(visible(step.what))}")
    if step.kind == "runs":
        for effect in step.effects:
            print(f"      effect  {effect.kind.value} {visible(effect.object)}")
    for look in step.looks:
        if look.hits:
            place = palette.dim(f"({visible(look.origin.layer)}, {visible(look.origin.source)})")
            print(f"      rule    {visible(look.rule)} {place} says {look.verdict.value}")
    passed = [visible(look.rule) for look in step.looks if not look.hits]
    if passed:
        shown = ", ".join(passed[:_LOOKED_AT]) + (f" and {len(passed) - _LOOKED_AT} more" * (len(passed) > _LOOKED_AT))
        print(f"      {palette.dim(f'looked at, and does not decide: {shown}')}")
