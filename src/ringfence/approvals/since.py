"""What changed since something like this was approved: one line of a question, so that a person reads the difference.

Pure. The same action says whether a file that it runs is another one by now; a similar one says what is new in it.
Nothing here makes an answer more or less likely to count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import takewhile

from ringfence.approvals.objects import NANOSECONDS, Request
from ringfence.model.action import Action, CommandAction, ConnectAction, McpAction
from ringfence.model.display import shortened, visible
from ringfence.model.wording import action_text

LOOKED_AT = 200
"""How many approved questions are looked through, newest first."""
_WIDTH = 60
_MOST_WORDS = 400
"""Longer commands are not compared word by word."""


def since(
    action: Action, witness: str, approved: Sequence[Request], counts: Callable[[Request], bool], now_ns: int
) -> tuple[str, ...]:
    """The line; none where nothing like it was approved. `approved`: questions of this workspace, newest first.
    `counts`: whether one really was approved by somebody; asked of few."""
    same = next((one for one in approved if one.action == action and counts(one)), None)
    if same is not None:
        changed = "" if same.witness == witness else ", but A FILE THAT IT RUNS HAS CHANGED since"
        return (f"  before   exactly this was approved {_ago(same, now_ns)}{changed}",)
    like = [one for one in approved if one.action != action and _likeness(one.action, action)]
    like.sort(key=lambda one: -_likeness(one.action, action))
    likest = next(filter(counts, like), None)
    if likest is None:
        return ()
    new = _difference(likest.action, action)
    if not new:
        return ()
    was = shortened(visible(action_text(likest.action)), _WIDTH)
    return (f"  changed  since `{was}` was approved {_ago(likest, now_ns)}: {'; '.join(new)}",)


def _likeness(before: Action, now: Action) -> int:
    """How alike two actions are; 0 for not at all."""
    match before, now:
        case CommandAction(), CommandAction():
            pairs = zip(_words(before), _words(now), strict=False)
            return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        case ConnectAction(), ConnectAction():
            return int(before.host == now.host) + int((before.host, before.port) == (now.host, now.port))
        case McpAction(), McpAction():
            return int((before.server, before.tool) == (now.server, now.tool))
        case _:
            return 0


def _difference(before: Action, now: Action) -> list[str]:
    match before, now:
        case CommandAction(), CommandAction():
            return _of_commands(before, now)
        case ConnectAction(), ConnectAction():
            old, new = (f"{one.method or 'any method'} {one.path or ''}".strip() for one in (before, now))
            found = [f"port {now.port} in place of {before.port}"] if now.port != before.port else []
            return found + ([f"`{_shown(new)}` in place of `{_shown(old)}`"] if old != new else [])
        case _:
            return ["other arguments"]


def _of_commands(before: CommandAction, now: CommandAction) -> list[str]:
    gone, new = _changed_words(_words(before), _words(now))
    found = [f"now with {_listed(new)}"] if new else []
    found += [f"without {_listed(gone)}"] if gone else []
    if now.cwd != before.cwd:
        found.append(f"in `{_shown(now.cwd)}`")
    if now.executable != before.executable:
        found.append("another program of that name")
    if now.environment != before.environment:
        found.append("other variables")
    return found or ["other white space"]


def _words(action: CommandAction) -> tuple[str, ...]:
    return tuple(action.shell.split()) if action.shell is not None else action.argv


def _changed_words(before: Sequence[str], now: Sequence[str]) -> tuple[list[str], list[str]]:
    """Runs of words that are gone, and those that are new."""
    if len(before) > _MOST_WORDS or len(now) > _MOST_WORDS:
        return [], ["many other words"]
    gone, new = [], []
    for tag, a, b, c, d in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if tag != "equal":
            gone += [" ".join(before[a:b])] if b > a else []
            new += [" ".join(now[c:d])] if d > c else []
    return gone, new


def _listed(runs: Sequence[str]) -> str:
    shown = [f"`{_shown(run)}`" for run in runs[:3]]
    return ", ".join(shown) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")


def _shown(text: str) -> str:
    return shortened(visible(text), _WIDTH)


def _ago(request: Request, now_ns: int) -> str:
    minutes = max(0, now_ns - request.created_ns) // NANOSECONDS // 60
    for size, name in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = minutes // size
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
