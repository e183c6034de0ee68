"""Who is asked when an action needs a person, in a session with these options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from ringfence.agents.agent import AgentSetup
from ringfence.approvals.channels.channel import Channel
from ringfence.approvals.channels.deny import Nobody
from ringfence.approvals.channels.queue import Queue
from ringfence.approvals.channels.screen import CONTROLLING
from ringfence.approvals.channels.telling import Telling
from ringfence.approvals.channels.terminal import Terminal
from ringfence.model.decision import Risk
from ringfence.model.ids import new_id
from ringfence.policy.effective import WebhookRule
from ringfence.session.credentials.store import Store, machine_keyring
from ringfence.session.options import Ask
from ringfence.session.sources import Places
from ringfence.session.stage import Stage


def channel_for(ask: Ask, stage: Stage, user: str, announce: Callable[[str], None]) -> Channel:
    """The way of asking; one that never reaches anybody says so before it is asked."""
    match ask:
        case Ask.DENY:
            return Nobody("nobody is asked in this session (`--ask deny`)")
        case Ask.QUEUE:
            return Queue(announce)
        case Ask.WEB:
            return Queue(announce, name="web")
        # What the agent's own prompt does not take is asked as ever.
        case Ask.TERMINAL | Ask.DELEGATED:
            if not _has_terminal():
                return Nobody("there is no terminal to ask on")
            return Terminal(approver=f"person:{user}", new_id=new_id, colours=_colours(), relay=stage)


def telling(
    channel: Channel,
    webhooks: tuple[WebhookRule, ...],
    places: Places,
    environ: Mapping[str, str],
    announce: Callable[[str], None],
) -> Channel:
    """The same way of asking, with everybody else who is told of a question."""
    if channel.refusal or not (webhooks or environ.get("DBUS_SESSION_BUS_ADDRESS")):
        return channel
    # Only here: what speaks HTTPS takes time to load, and most sessions tell nobody.
    from ringfence.session.telling import listeners

    told = listeners(webhooks, Store(places.credentials, machine_keyring).get, environ)
    return Telling(channel, told, announce) if told else channel


def left_to_agents(ask: Ask, setup: AgentSetup, limit: Risk | None) -> tuple[str, ...]:
    """What a person has to know who wants the agent's own prompt to ask."""
    if ask is not Ask.DELEGATED:
        return ()
    why = "the policy leaves none to it (`approvals.delegate`)" if limit is None else setup.own_prompt
    if not why and not _has_terminal():
        why = "there is no terminal"
    if why or limit is None:
        return (f"no question is left to the agent's own prompt, and all are asked as with `--ask terminal`: {why}",)
    text = f"questions up to {limit.value} risk are left to the agent's own prompt; what it reports is the agent's word"
    return (text, "hooks of yours and of the repository do not run in this session, because they could answer them")


def _has_terminal() -> bool:
    try:
        os.close(os.open(CONTROLLING, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb" and sys.stderr.isatty()
