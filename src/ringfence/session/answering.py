"""What a policy says about answers, in the words of approvals; the key that signs them; and where they are kept."""

from __future__ import annotations

import os
import time

from ringfence.approvals.breaker import Limits
from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import Scope
from ringfence.approvals.permission import Permission, Quorum
from ringfence.approvals.stores.store import Store
from ringfence.approvals.voting import Step, Threshold
from ringfence.model.ids import new_id
from ringfence.policy.effective import ApprovalPolicy
from ringfence.session.sources import Places, is_member
from ringfence.telemetry.notes import NoteSigner
from ringfence.telemetry.vote_keys import KEY, VoteKeys


def permission_of(said: ApprovalPolicy, *, owner: str) -> Permission:
    """What a policy lets answers do in a session that `owner` runs."""
    return Permission(
        widest=Scope(said.remember.value),
        days=said.remember_days,
        approvers=said.approvers,
        overriders=said.overriders,
        owner=owner,
        self_approval=said.self_approval,
        quorums=tuple(
            Quorum(
                threshold=Threshold(who=one.who, approve=one.approve, deny=one.deny, assurance=one.assurance),
                risk=one.risk,
                rules=one.rules,
            )
            for one in said.quorums
        ),
        steps=tuple(Step(who=one.who, after_seconds=one.after_seconds) for one in said.steps),
        break_glass=said.break_glass,
        delegate_up_to=said.delegate,
        is_member=is_member,
    )


def breaker_limits(said: ApprovalPolicy) -> Limits:
    """How many denials are too many."""
    return Limits(in_a_row=said.denials_in_a_row, of_recent=said.denials_of_50)


def desk_of(store: Store, where: Places) -> Desk:
    """The desk of this user: it signs with their key, knows the keys of others, and the groups of this machine."""
    signer = NoteSigner(os.path.join(where.state, KEY))
    check = VoteKeys(where.state).problem
    return Desk(store, time.time_ns, new_id, signer=signer, is_member=is_member, check=check)
