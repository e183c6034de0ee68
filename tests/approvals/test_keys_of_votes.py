"""Votes in a store that others write to: each counts when it is by whom it names; what is forged is on record."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Time, command, counting, decision

from ringfence.approvals.channels.queue import Queue
from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate
from ringfence.approvals.objects import Grant, Request, Scope, Vote
from ringfence.approvals.permission import Permission, Quorum
from ringfence.approvals.signing import signed
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.transitions import State
from ringfence.approvals.voting import Threshold
from ringfence.model.decision import Decision, Placement, Verdict
from ringfence.model.event import VoteTaken
from ringfence.model.vote import Authentication, link, text_digest
from ringfence.telemetry.notes import NoteSigner
from ringfence.telemetry.vote_keys import KEY, KNOWN, VoteKeys
from ringfence.telemetry.votes import VoteCheck

PUSH = command("git", "push")
TWO = Permission(owner="person:ada", quorums=(Quorum(threshold=Threshold(who=("sue", "sam"), approve=2)),))


class Account:
    """Somebody's account on some machine, at the store that all share."""

    def __init__(self, folder: Path, store: SqliteStore, time: Time) -> None:
        folder.mkdir()
        self.folder = folder
        self.signer = NoteSigner(str(folder / KEY))
        self.desk = Desk(
            store, time.time_ns, counting(folder.name), signer=self.signer, check=VoteKeys(str(folder)).problem
        )

    def lists(self, other: Account, *people: str) -> None:
        with open(self.folder / KNOWN, "a") as file:
            file.write(" ".join([other.signer.key, *people]) + "\n")

    def says(self, request: Request, who: str, *, approve: bool = True) -> Vote:
        cast = self.desk.cast(said(request, who, approve=approve))
        assert cast is not None and cast.vote is not None, cast
        return cast.vote


def said(request: Request, who: str, *, approve: bool = True, scope: Scope = Scope.ONCE) -> Vote:
    name = f"{who}-{approve}-on-{request.id}"
    return Vote(id=name, request=request.id, approver=f"person:{who}", approve=approve, seen=request.shown, scope=scope)


class Scene:
    """A session of ada's, and sue and sam at machines of their own."""

    def __init__(self, folder: Path, permission: Permission = TWO) -> None:
        self.time = Time()
        self.store = SqliteStore(":memory:")
        self.ada, self.sue, self.sam, self.eve = (
            Account(folder / name, self.store, self.time) for name in ("ada", "sue", "sam", "eve")
        )
        self.recorder = Memory()
        self.gate = Gate(
            evaluate=lambda action: decision(action),
            desk=self.ada.desk,
            channel=Queue(lambda _: None),
            recorder=self.recorder,
            clock=self.time,
            site=msgspec.structs.replace(SITE, permission=permission),
        )

    async def opened(self) -> Request:
        while not self.ada.desk.requests():
            await asyncio.sleep(0.01)
        return self.ada.desk.requests()[0]

    async def refused(self) -> list[str]:
        """Why votes do not count, once one was seen that does not."""
        while not (found := [body.refused for body in self.recorder.bodies if isinstance(body, VoteTaken)]):
            await asyncio.sleep(0.01)
        return found

    def faults(self) -> list[str]:
        """What `log verify` says of the votes on record."""
        check = VoteCheck(str(self.ada.folder / "ledger.db"))
        return [wrong.text for number, body in enumerate(self.recorder.bodies) for wrong in check.take(number, body)]


async def asked(scene: Scene, act: Callable[[Request], object]) -> Decision:
    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(gate.decide(PUSH, asked_by="exec"))
        act(await scene.opened())
        return await deciding


async def test_people_at_machines_of_their_own_approve_where_the_session_knows_their_keys(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.ada.lists(scene.sue, "sue")
    scene.ada.lists(scene.sam, "sam")

    def both(request: Request) -> None:
        scene.sue.says(request, "sue")
        # Sam's machine knows no key of hers, so it cannot tell that this is the second.
        scene.sam.says(request, "sam")

    final = await asked(scene, both)

    assert (final.verdict, final.message) == (Verdict.ALLOW, "allowed by person:sue, person:sam")
    assert scene.faults() == []


async def test_one_who_may_sign_for_themselves_does_not_fill_two_places(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.ada.lists(scene.sue, "sue")

    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(gate.decide(PUSH, asked_by="exec"))
        request = await scene.opened()
        scene.sue.says(request, "sam")
        refused = await scene.refused()
        standing = scene.ada.desk.request(request.id)
        scene.sue.says(request, "sue", approve=False)
        final = await deciding

    assert refused == [f"its key is not listed for `sam` in `{KNOWN}`"]
    assert standing is not None and standing.state is State.PENDING
    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "person")


def unsigned(scene: Scene, vote: Vote) -> Vote:
    return vote


def by_an_unknown_key(scene: Scene, vote: Vote) -> Vote:
    return signed(vote, scene.eve.signer)


def with_the_key_of_another(scene: Scene, vote: Vote) -> Vote:
    forged = signed(vote, scene.eve.signer)
    return msgspec.structs.replace(forged, key=scene.sue.signer.key)


def turned(scene: Scene, vote: Vote) -> Vote:
    no = signed(msgspec.structs.replace(vote, approve=False), scene.sue.signer)
    return msgspec.structs.replace(no, approve=True)


def of_another_question(scene: Scene, vote: Vote) -> Vote:
    replayed = signed(msgspec.structs.replace(vote, request="another", seen="sha256:x"), scene.sue.signer)
    return msgspec.structs.replace(replayed, request=vote.request, seen=vote.seen)


def with_another_reason(scene: Scene, vote: Vote) -> Vote:
    return msgspec.structs.replace(signed(vote, scene.sue.signer), reason="she said so")


def with_a_passkey_that_is_none(scene: Scene, vote: Vote) -> Vote:
    claimed = msgspec.structs.replace(vote, authentication=Authentication.PASSKEY, evidence="{}")
    return signed(msgspec.structs.replace(claimed, text_digest=text_digest(claimed)), scene.sue.signer)


def with_a_signature_that_is_none(scene: Scene, vote: Vote) -> Vote:
    noise = base64.b64encode(os.urandom(64)).decode()
    return msgspec.structs.replace(vote, key=scene.sue.signer.key, signature=noise)


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (unsigned, "it is not signed"),
        (by_an_unknown_key, f"it is signed by a key that is not in `{KNOWN}`"),
        (with_the_key_of_another, "its signature does not hold"),
        (turned, "its signature does not hold"),
        (of_another_question, "its signature does not hold"),
        (with_another_reason, "its reason is not the one that was signed"),
        (with_a_passkey_that_is_none, "its passkey does not hold: it cannot be read"),
        (with_a_signature_that_is_none, "its signature does not hold"),
    ],
)
async def test_a_forged_vote_is_ignored_and_recorded_and_keeps_nobody_from_voting(
    forge: Callable[[Scene, Vote], Vote], why: str, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, Permission(owner="person:ada", approvers=(("sue",),)))
    scene.ada.lists(scene.sue, "sue")

    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(gate.decide(PUSH, asked_by="exec"))
        request = await scene.opened()
        vote = msgspec.structs.replace(said(request, "sue"), id="forged", previous=request.binding)
        vote = msgspec.structs.replace(vote, text_digest=text_digest(vote))
        with scene.store.transaction():
            scene.store.add_vote(forge(scene, vote))
        refused = await scene.refused()
        standing = scene.ada.desk.request(request.id)
        real = scene.sue.says(request, "sue")
        final = await deciding

    assert refused == [why]
    assert standing is not None and standing.state is State.PENDING
    assert (final.verdict, final.message) == (Verdict.ALLOW, "allowed by person:sue")
    assert real.previous == link(scene.store.votes(request.id)[0])
    assert scene.faults() == []


async def test_a_request_that_somebody_wrote_as_approved_is_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Permission(owner="person:ada"))

    def write(request: Request) -> None:
        with scene.store.transaction():
            scene.store.add_vote(said(request, "ada"))
            scene.store.set_state(request.id, State.APPROVED)
            scene.store.add_grant(
                Grant(
                    id="g", request=request.id, matcher=f"exact:{request.digest}", scope=Scope.ONCE,
                    session=request.session, workspace="/w", placement=Placement.INSIDE, policy=request.policy,
                    asking=request.asking, created_ns=scene.time.now_ns, expires_ns=scene.time.now_ns * 2,
                    approver="person:ada", max_uses=1,
                )
            )  # fmt: skip

    final = await asked(scene, write)

    assert (final.verdict, final.message) == (
        Verdict.DENY,
        "denied: the answer does not count: it is not signed (asked because: because)",
    )


async def test_a_remembered_answer_ends_with_the_key_that_gave_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Permission(owner="person:ada"))
    scene.ada.lists(scene.sue, "sue")

    def remember(request: Request) -> None:
        scene.sue.desk.cast(said(request, "sue", scope=Scope.REPO))

    await asked(scene, remember)
    wanted = decision(PUSH)
    used = scene.ada.desk.use_remembered(wanted, session="session-2", workspace="/w")
    (scene.ada.folder / KNOWN).write_text("")

    assert used is not None
    assert scene.ada.desk.use_remembered(wanted, session="session-2", workspace="/w") is None


def test_a_key_for_anybody_speaks_for_whoever_it_names(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    request, _ = scene.ada.desk.open(
        decision(PUSH), session="s", workspace="/w", channel="c", prompt=("may it?",), seconds=60
    )
    vote = scene.sue.says(request, "kim")

    before = scene.ada.desk.problem(vote)
    scene.ada.lists(scene.sue)
    only_verifies = scene.ada.desk.problem(vote)
    scene.ada.lists(scene.sue, "*")

    assert before == f"it is signed by a key that is not in `{KNOWN}`"
    assert only_verifies == f"its key is not listed for `kim` in `{KNOWN}`"
    assert scene.ada.desk.problem(vote) == ""
