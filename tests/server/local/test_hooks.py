"""Signed answers of webhooks, over HTTP: who counts, and what is ignored and recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.approvals.channels.test_signatures import slack
from tests.server.local.serving import Site, running

from ringfence.approvals.channels.signatures import signed
from ringfence.approvals.objects import Request
from ringfence.approvals.transitions import State
from ringfence.egress.credentials.secret import Secret
from ringfence.model.decision import Risk
from ringfence.model.event import VoteTaken
from ringfence.model.vote import Authentication
from ringfence.session.credentials.store import Keeper, Store
from ringfence.telemetry.reader import LedgerReader, Wanted

pytestmark = pytest.mark.slow
KEY = b"between us"
POLICY = """
extends = ["workspace"]
[[approvals.webhook]]
name = "pager"
url = "https://pager.test/"
secret = "hook-key"
users = { "sue@example.com" = "sue" }
[[approvals.webhook]]
name = "chat"
kind = "slack"
url = "https://chat.test/"
secret = "hook-key"
users = { U1 = "bob" }
"""
NONCES = (f"nonce-{number:020}" for number in count())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    state: Path = tmp_path_factory.mktemp("state")
    Store(str(state / "ringfence" / "credentials.json"), lambda: None).add(
        "hook-key", Secret(KEY.decode()), Keeper.FILE
    )
    with running(state, POLICY) as site:
        yield site


def send(site: Site, name: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", site.port, timeout=10)
    try:
        connection.request("POST", f"/hooks/{name}", body, {"Host": "tunnel.example", **headers})
        answer = connection.getresponse()
        plain = json.loads(answer.read())
        return answer.status, plain.get("problem") or plain["state"]
    finally:
        connection.close()


def answer(request: Request, said: str = "approve", user: str = "sue@example.com") -> bytes:
    return json.dumps({"request": request.id, "answer": said, "user": user, "seen": request.shown}).encode()


def good(body: bytes, *, key: bytes = KEY, ago: int = 0) -> dict[str, str]:
    return signed(key, body, now=int(time.time()) - ago, nonce=next(NONCES))


def recorded(site: Site, request: Request) -> list[str]:
    reader = LedgerReader(str(site.state / "ledger.db"))
    bodies = [found.body for found in reader.events(Wanted(event="approval.vote"))]
    reader.close()
    return [one.refused for one in bodies if isinstance(one, VoteTaken) and one.vote.request == request.id]


def test_a_signed_yes_of_a_named_person_is_a_vote_once(site: Site) -> None:
    request = site.asks("git", "push", "hook")
    body = answer(request)
    headers = good(body)

    first, again = send(site, "pager", body, headers), send(site, "pager", body, headers)

    assert first == (200, "approved")
    assert again == (401, "ignored: it came before")
    (vote,) = site.desk.votes(request.id)
    assert (vote.approver, vote.channel, vote.authentication) == (
        "person:sue",
        "webhook:pager",
        Authentication.SIGNED,
    )


def test_a_button_of_slack_counts_with_its_signature_only(site: Site) -> None:
    request = site.asks("git", "push", "slack")
    value = json.dumps({"request": request.id, "answer": "deny", "seen": request.shown})
    payload = {"type": "block_actions", "user": {"id": "U1"}, "actions": [{"value": value}]}
    body = urlencode({"payload": json.dumps(payload)}).encode()
    forged = {**slack(body, int(time.time())), "x-slack-signature": "v0=0"}

    refused = send(site, "chat", body, forged)
    taken = send(site, "chat", body, slack(body, int(time.time())))

    assert refused == (401, "ignored: its signature does not hold")
    assert taken == (200, "denied")
    assert recorded(site, request) == ["its signature does not hold"]


@pytest.mark.parametrize("ago", [301, -301])
def test_an_old_or_early_message_is_ignored_and_recorded(site: Site, ago: int) -> None:
    request = site.asks("git", "push", f"old {ago}")
    body = answer(request)

    assert send(site, "pager", body, good(body, ago=ago))[0] == 401
    assert send(site, "pager", body, good(body, key=b"guessed"))[0] == 401
    assert recorded(site, request) == ["it is older or newer than 5 minutes", "its signature does not hold"]
    assert site.desk.votes(request.id) == ()


def test_high_risk_is_not_approved_this_way_and_can_be_denied(site: Site) -> None:
    request = site.asks("git", "push", "high", risk=Risk.HIGH)
    yes, no = answer(request), answer(request, "deny")

    refused, taken = send(site, "pager", yes, good(yes)), send(site, "pager", no, good(no))

    assert refused[0] == 403
    assert taken == (200, "denied")


def test_somebody_who_is_not_named_does_not_answer(site: Site) -> None:
    request = site.asks("git", "push", "unnamed")
    body = answer(request, user="U1")

    assert send(site, "pager", body, good(body))[0] == 403
    now = site.desk.request(request.id)
    assert now is not None and now.state is State.PENDING


@pytest.mark.parametrize(
    ("name", "body", "status"), [("nobody", b"{}", 404), ("pager", b"{}", 400), ("pager", b"x" * 70000, 413)]
)
def test_what_is_no_answer_is_ignored(site: Site, name: str, body: bytes, status: int) -> None:
    assert send(site, name, body, good(body))[0] == status
