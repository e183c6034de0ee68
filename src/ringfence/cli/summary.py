"""The summary at the end of `ringfence run`: what happened, in a few lines, and where the rest is."""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.cli.screen import Palette
from ringfence.model.decision import Verdict
from ringfence.model.display import shortened, visible
from ringfence.model.wording import action_text
from ringfence.policy.judges.model import amount
from ringfence.session.governed import Governed
from ringfence.session.tally import Tally, unreported_text

_SHOWN = 5


def summary(governed: Governed, code: int, seconds: float, palette: Palette) -> str:
    """The lines of the summary."""
    tally = governed.tally
    counts = f"{tally.verdicts[Verdict.ALLOW]} allowed, {tally.asked} asked, {tally.verdicts[Verdict.DENY]} denied"
    # A program without our hooks is held and asked about at the gateway, but its commands are not judged one by one.
    calls = f"{tally.tool_calls or 'no'} tool call{'' if tally.tool_calls == 1 else 's'} reported"
    lines = [f"ringfence: session ended with exit code {code} after {_duration(seconds)}"]
    if tally.server_calls:
        # Of a server that stands alone there are no others.
        seen = f"{tally.server_calls} call{'' if tally.server_calls == 1 else 's'} judged on the way to a server"
        calls = f"{calls}, {seen}" if tally.tool_calls else seen
    lines.append(_line("actions", f"{counts}; {calls}"))
    if tally.observed:
        lines.append(
            _line("observed", f"{tally.observed} of them would be decided otherwise by rules that only observe")
        )
    lines += host_lines(tally)
    if tally.passed_through:
        shown = [visible(host) for host in sorted(tally.passed_through)]
        lines.append(_line("unseen", f"not inspected, by `network.pass_through`: {_some(shown)}"))
    if tally.models:
        lines.append(_line("model", _models(tally)))
        if governed.setup.hooks and tally.unreported:
            lines.append(_line("", palette.yellow(unreported_text(tally.unreported))))
    for index, denial in enumerate(tally.denials[:_SHOWN]):
        rule = denial.because.rule if denial.because else "policy"
        text = f"{palette.red(shortened(action_text(denial.action), 80))} {palette.dim(f'({visible(rule)})')}"
        lines.append(_line("denied" if index == 0 else "", text))
    if len(tally.denials) > _SHOWN:
        lines.append(_line("", f"and {len(tally.denials) - _SHOWN} more"))
    for index, decision in enumerate(tally.kept[:_SHOWN]):
        text = f"{shortened(action_text(decision.action), 60)}: `{decision.next_steps[0]}`"
        lines.append(_line("kept" if index == 0 else "", text))
    if len(tally.kept) > _SHOWN:
        lines.append(_line("", f"and {len(tally.kept) - _SHOWN} more"))
    for index, (name, host) in enumerate(sorted(tally.found)[:_SHOWN]):
        text = f"{palette.yellow(visible(name))} in what was sent to {visible(host)}, recorded only"
        lines.append(_line("found" if index == 0 else "", text))
    if len(tally.found) > _SHOWN:
        lines.append(_line("", f"and {len(tally.found) - _SHOWN} more"))
    if tally.audits:
        many = "action" if tally.audits == 1 else "actions"
        look = f"`ringfence log {governed.session[:_PREFIX]} --event review`"
        lines.append(_line("audit", f"{tally.audits} {many} that a reviewer allowed, drawn for you to look at: {look}"))
    for index, ((limit, allowed, outcome), times) in enumerate(sorted(tally.limits.items())):
        often = "once" if times == 1 else f"{times} times"
        text = f"{palette.red(f'limits.{limit} = {allowed}')} was reached {often}: {outcome}"
        lines.append(_line("limits" if index == 0 else "", text))
    if governed.changes is not None:
        more = "" if governed.changes.complete else " or more"
        where = "wait to be applied to" if governed.staged else "changed in"
        lines.append(_line("files", f"{governed.changes.files}{more} {where} {visible(governed.workspace)}"))
        if governed.changes.control_files:
            count = len(governed.changes.control_files) + governed.changes.more_control_files
            names = _some([visible(name) for name in governed.changes.control_files], count)
            one = count == 1
            what_for = "it may run or be obeyed by itself" if one else "these may run or be obeyed by themselves"
            lines.append(_line("look at", f"{palette.yellow(names)} ({what_for})"))
        if governed.staged:
            short = governed.session[:_PREFIX]
            lines.append(_line("look", f"`ringfence workspace diff {short}`"))
            lines.append(_line("apply", f"`ringfence workspace apply {short}`, or `discard`"))
        elif governed.changes.files:
            lines.append(_line("undo", f"`ringfence workspace undo {governed.session[:_PREFIX]}`"))
    for notice in dict.fromkeys(governed.replaced):
        lines.append(_line("look at", palette.yellow(notice)))
    for notice in governed.kept_out:
        lines.append(_line("git", palette.yellow(notice)))
    for notice in governed.unkept:
        lines.append(_line("kept" if governed.staged else "undo", palette.yellow(notice)))
    lines.append(_line("record", f"`ringfence log {governed.session[:_PREFIX]}`"))
    return "\n".join(lines)


def host_lines(tally: Tally) -> list[str]:
    """What was reached; then, apart, what was not."""
    lists = (("", sorted(tally.hosts)), ("denied: ", tally.denied_hosts), ("not reached: ", tally.unreached))
    texts = [f"{title}{_some([visible(host) for host in hosts])}" for title, hosts in lists if hosts]
    return [_line("" if index else "hosts", text) for index, text in enumerate(texts)]


def _models(tally: Tally) -> str:
    requests, sent, received = (sum(counted[at] for counted in tally.models.values()) for at in range(3))
    many = "1 request" if requests == 1 else f"{requests} requests"
    guessed = ", some of them guessed" if tally.model_estimated else ""
    cost = f", cost {amount(tally.model_cost)}" if tally.model_cost else ""
    names = _some([visible(name) for name in sorted(tally.models)])
    return f"{many}, {sent:,} tokens in and {received:,} out{guessed}{cost}: {names}"


_PREFIX = 26


def _line(name: str, text: str) -> str:
    return f"  {name:<8} {text}"


def _some(names: Sequence[str], count: int | None = None) -> str:
    more = (len(names) if count is None else count) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
