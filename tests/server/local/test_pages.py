"""The page over HTTP: who is let in, and what forged, replayed, stale and copied answers get."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.server.local.authenticator import Authenticator
from tests.server.local.client import Client
from tests.server.local.serving import Site, running

from ringfence.approvals.objects import Scope
from ringfence.approvals.transitions import State
from ringfence.approvals.voting import Terms
from ringfence.model.event import VoteTaken
from ringfence.model.vote import Authentication
from ringfence.session.sources import user
from ringfence.telemetry import assertions
from ringfence.telemetry.reader import LedgerReader, Wanted

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("state")) as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> Client:
    return Client(site)


@pytest.fixture(scope="module")
def key(client: Client) -> Authenticator:
    authenticator = Authenticator()
    assert client.add(authenticator) == (200, {"text": "the passkey was added"})
    return authenticator


def _approve(client: Client, request: str, ceremony: str, assertion: dict[str, object]) -> tuple[int, str]:
    status, plain = client.post(f"/requests/{request}/approve", {"ceremony": ceremony, "assertion": assertion})
    return status, str(plain.get("text") or plain.get("problem"))


def test_a_passkey_without_user_verification_is_not_registered(client: Client) -> None:
    status, plain = client.add(Authenticator(), verified=False)

    assert status == 409
    assert "not accepted" in str(plain["problem"])


def test_an_answer_with_a_passkey_is_taken_with_its_proof(site: Site, client: Client, key: Authenticator) -> None:
    request = site.asks("git", "push", "one")

    ceremony, challenge = client.begin(request.id, request.shown, "session")
    answered = _approve(client, request.id, ceremony, key.get(challenge, site.origin))

    assert answered == (200, "approved, session")
    (vote,) = site.desk.votes(request.id)
    assert (vote.approver, vote.scope, vote.authentication, vote.channel) == (
        f"person:{user().name}",
        Scope.SESSION,
        Authentication.PASSKEY,
        "web",
    )
    assert assertions.problem(vote) == ""
    assert stat.S_IMODE(os.stat(site.state / "passkeys.json").st_mode) == 0o600


def test_a_second_passkey_takes_the_first(site: Site, client: Client, key: Authenticator) -> None:
    assert client.add(Authenticator()) == (409, {"problem": "another passkey is added with one that you have"})


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        ({"challenge": b"x" * 32}, "challenge"),
        ({"origin": "http://localhost:3000"}, "origin"),
        ({"host": "localhost"}, "RP ID"),
        ({"verified": False}, "verif"),
    ],
    ids=["another challenge", "another page", "another site", "nobody verified"],
)
def test_what_does_not_hold_is_refused_and_recorded(
    site: Site, client: Client, key: Authenticator, forged: dict[str, object], why: str
) -> None:
    request = site.asks("git", "push", why)
    ceremony, challenge = client.begin(request.id, request.shown)
    good = {"challenge": challenge, "origin": site.origin}

    status, problem = _approve(client, request.id, ceremony, key.get(**{**good, **forged}))  # type: ignore[arg-type]

    assert status == 409
    assert why.lower() in problem.lower()
    assert site.desk.votes(request.id) == ()
    reader = LedgerReader(str(site.state / "ledger.db"))
    bodies = [found.body for found in reader.events(Wanted(event="approval.vote"))]
    reader.close()
    (refused,) = [one for one in bodies if isinstance(one, VoteTaken) and one.vote.request == request.id]
    assert refused.refused in problem


def test_a_copy_of_a_passkey_is_refused(site: Site, client: Client, key: Authenticator) -> None:
    first, second = site.asks("git", "push", "original"), site.asks("git", "push", "copy")
    ceremony, challenge = client.begin(first.id, first.shown)
    original = _approve(client, first.id, ceremony, key.get(challenge, site.origin))

    ceremony, challenge = client.begin(second.id, second.shown)
    status, problem = _approve(client, second.id, ceremony, key.get(challenge, site.origin, counts=False))

    assert original == (200, "approved, once")
    assert (status, "sign count" in problem) == (409, True)


def test_a_stranger_s_passkey_is_refused(site: Site, client: Client, key: Authenticator) -> None:
    request = site.asks("git", "push", "stranger")
    ceremony, challenge = client.begin(request.id, request.shown)

    status, problem = _approve(client, request.id, ceremony, Authenticator().get(challenge, site.origin))

    assert (status, problem.partition(";")[0]) == (409, "this passkey is not registered for you")


def test_an_answer_counts_once_and_only_for_its_request(site: Site, client: Client, key: Authenticator) -> None:
    one, other = site.asks("git", "push", "a"), site.asks("git", "push", "b")
    ceremony, challenge = client.begin(one.id, one.shown)
    assertion = key.get(challenge, site.origin)

    elsewhere = _approve(client, other.id, ceremony, assertion)
    again = _approve(client, one.id, ceremony, assertion)
    fresh, challenge = client.begin(other.id, other.shown)
    replayed = _approve(client, other.id, fresh, assertion)

    assert elsewhere == (409, "this passkey signed something else")
    assert again == (409, "this was answered before, or it took too long: answer again")
    assert replayed[0] == 409
    assert {state.state for state in map(site.desk.request, (one.id, other.id)) if state} == {State.PENDING}


def test_what_was_not_shown_is_not_approved(site: Site, client: Client, key: Authenticator) -> None:
    request = site.asks("git", "push", "shown")
    ceremony, challenge = client.begin(request.id, "sha256:" + "0" * 64)

    answered = _approve(client, request.id, ceremony, key.get(challenge, site.origin))

    assert answered == (409, "what was seen is not what is asked")


def test_whoever_runs_the_session_does_not_approve_where_the_policy_says_so(
    site: Site, client: Client, key: Authenticator
) -> None:
    own = Terms(owner=f"person:{user().name}", owner_may=False)
    request = site.asks("git", "push", "own", terms=own)
    ceremony, challenge = client.begin(request.id, request.shown)

    status, problem = _approve(client, request.id, ceremony, key.get(challenge, site.origin))

    assert (status, "somebody else has to approve it" in problem) == (409, True)


def test_a_no_takes_no_passkey(site: Site, client: Client) -> None:
    request = site.asks("git", "push", "no")

    status, plain = client.post(f"/requests/{request.id}/deny", {"seen": request.shown, "reason": "not now"})

    assert (status, plain) == (200, {"text": "denied", "state": "denied"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": None},
        {"Cookie": "ringfence=guessed"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Origin": None},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Ringfence-Page": None},
        {"X-Ringfence-Page": "0" * 64},
        {"Content-Type": "text/plain"},
    ],
    ids=str,
)
def test_nobody_else_answers(site: Site, client: Client, headers: dict[str, str | None]) -> None:
    request = site.asks("git", "push", "others")

    body = json.dumps({"seen": request.shown})
    status, _, text = client.ask("POST", f"/requests/{request.id}/deny", body, headers)

    assert (status, text.startswith("ringfence: ")) == (403, True)
    assert site.desk.votes(request.id) == ()


def test_the_address_lets_one_browser_in_once(site: Site, client: Client) -> None:
    path = site.address.removeprefix(site.origin)

    assert client.ask("GET", path, headers={"Cookie": None})[0] == 403
    assert client.ask("GET", "/enter?token=guessed", headers={"Cookie": None})[0] == 403
    assert client.ask("GET", "/", headers={"Cookie": None})[0] == 403


def test_pages_forbid_what_they_do_not_need(client: Client) -> None:
    _, headers, text = client.ask("GET", "/")

    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert "server" not in headers
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"seen":1}', '{"seen":"a","more":1}', "[" * 9000])
def test_what_the_page_would_not_send_is_refused(site: Site, client: Client, body: str) -> None:
    request = site.asks("git", "push", "malformed")

    assert client.ask("POST", f"/requests/{request.id}/deny", body)[0] == 400


def test_too_much_is_refused(site: Site, client: Client) -> None:
    request = site.asks("git", "push", "much")

    assert client.ask("POST", f"/requests/{request.id}/deny", '{"seen":"' + "a" * 70000 + '"}')[0] == 413


def test_a_page_that_follows_is_told_of_a_change_and_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        client = Client(site)
        following = HTTPConnection("127.0.0.1", site.port, timeout=10)
        following.request(
            "GET", "/events", headers={"Host": site.origin.removeprefix("http://"), "Cookie": client.cookie}
        )
        stream = following.getresponse()
        first = stream.readline(), stream.readline()
        site.asks("git", "push")
        second = stream.readline(), stream.readline()
    following.close()

    assert first != second
    assert first[0].startswith(b"data: sha256:")


def test_what_the_agent_wrote_stays_text(site: Site, client: Client) -> None:
    request = site.asks("echo", "<script>alert(1)</script>")

    text = client.ask("GET", f"/requests/{request.id}")[2]

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
