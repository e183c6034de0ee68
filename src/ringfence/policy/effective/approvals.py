"""Who answers questions, how many have to agree, and how long an answer lasts."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.model.decision import Risk
from ringfence.model.vote import Authentication
from ringfence.policy.effective.origins import Origin


class Remember(StrEnum):
    """How far an answer may reach, narrowest first."""

    ONCE = "once"
    SESSION = "session"
    REPO = "repo"


class Assurance(StrEnum):
    """The weakest way of showing who one is that counts, of those that a policy can demand."""

    ACCOUNT = "account"
    SIGNED = "signed"
    PASSKEY = "passkey"


class Delegate(StrEnum):
    """The highest risk at which a question is left to the agent's own prompt, least first."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"


class QuorumRule(msgspec.Struct, frozen=True, kw_only=True):
    """A set of people of whom enough have to agree."""

    who: tuple[str, ...]
    approve: int = 1
    deny: int = 1
    assurance: Authentication = Authentication.ACCOUNT
    risk: Risk = Risk.LOW
    """The lowest risk that it is about."""
    rules: tuple[str, ...] = ()
    """The rules whose questions it is about; empty for all."""
    origin: Origin


class WebhookKind(StrEnum):
    """What a webhook speaks."""

    GENERIC = "generic"
    SLACK = "slack"


class WebhookRule(msgspec.Struct, frozen=True, kw_only=True):
    """Somewhere that is told of every question, and that may bring answers of the people it names."""

    name: str
    kind: WebhookKind = WebhookKind.GENERIC
    url: str
    secret: str
    """The name of a stored credential: the key of the signatures, both ways."""
    link: str = ""
    """The address of a page for people, with `{id}` for the request."""
    users: tuple[tuple[str, str], ...] = ()
    """Its names of people, and theirs on this machine. It brings answers of nobody else."""
    origin: Origin


class StepRule(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the ladder: who is asked as well, and when."""

    who: tuple[str, ...]
    after_seconds: int = 0
    origin: Origin


class ReviewerKind(StrEnum):
    """What reviews: the interface of a model, a program, or a table of features."""

    RESPONSES = "openai-responses"
    CHAT = "openai-chat"
    ANTHROPIC = "anthropic"
    COMMAND = "command"
    FEATURES = "features"


class ReviewerRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who reviews what is not worth a person's time."""

    kind: ReviewerKind
    url: str = ""
    model: str = ""
    key_variable: str = ""
    """The variable of the person's environment with the key; the value is nowhere in a policy."""
    argv: tuple[str, ...] = ()
    instructions: str = ""
    """Rules of the organisation, in words."""
    seconds: int = 90
    origin: Origin


class ApprovalPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long a question waits, who may answer it, and how long its answer lasts."""

    timeout_seconds: int = 300
    """An unanswered request is a deny after this."""
    remember: Remember = Remember.REPO
    """The widest scope that an answer may have."""
    remember_days: int = 30
    """How long an answer for a repository lasts at most."""
    approvers: tuple[tuple[str, ...], ...] = ()
    """People (`NAME`) and groups (`@GROUP`) of this machine who may approve. Every list has to hold; none means
    anybody who can answer at all."""
    overriders: tuple[tuple[str, ...], ...] = ()
    """Likewise for overriding a rule that is enforced softly."""
    self_approval: bool = True
    """Whether whoever runs a session may approve its questions."""
    quorums: tuple[QuorumRule, ...] = ()
    """Sets of people that all have to be met, by different people."""
    steps: tuple[StepRule, ...] = ()
    """The ladder; empty for everybody at once."""
    break_glass: tuple[tuple[str, ...], ...] | None = None
    """Lists of people; whoever is on every one may go ahead without approval. None for nobody."""
    break_glass_minutes: int = 60
    denials_in_a_row: int = 3
    """After so many denied questions in a row, nothing is asked any more in this turn of the agent."""
    denials_of_50: int = 10
    """Likewise, of the last 50."""
    wait_seconds: int = 0
    """After this, whoever waits is told that the question is queued, and it stays open. 0 for never."""
    webhooks: tuple[WebhookRule, ...] = ()
    """Who else is told of a question, and may bring an answer."""
    delegate: Risk | None = None
    """The highest risk at which a question is left to the agent's own prompt, in a session that asks so. None for
    never."""
    reviewer: ReviewerRule | None = None
    reviewer_ceiling: Risk | None = Risk.LOW
    """The greatest risk that a reviewer may allow; none at all where it is missing."""
    reviewer_audit_percent: int = 0
