"""Messages to webhooks and to the desktop, really sent: to a server on the loopback, to a program."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from tests.approvals.made import Time, command, decision, desk_at

from ringfence.approvals.channels import webhook
from ringfence.approvals.channels.signatures import Seen
from ringfence.approvals.objects import Request
from ringfence.approvals.prompt import prompt
from ringfence.egress.credentials.secret import Secret
from ringfence.policy.effective import Origin, WebhookRule
from ringfence.session import telling

Received = list[tuple[dict[str, str], bytes]]


class _Receiver(BaseHTTPRequestHandler):
    received: ClassVar[Received] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(307 if self.path == "/elsewhere" else 204)
        self.send_header("location", "/hook")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    _Receiver.received.clear()
    made = HTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_PAUSES", ())


def request() -> Request:
    wanted = decision(command("git", "push", "<b>&"))
    return desk_at(":memory:", Time()).open(
        wanted, session="s", workspace="/w", channel="queue", prompt=prompt(wanted), seconds=60
    )[0]


def rule(url: str) -> WebhookRule:
    return WebhookRule(name="chat", url=url, secret="key", origin=Origin(layer="user", source="policy.toml:1"))


async def test_a_webhook_gets_a_signed_message(server: HTTPServer) -> None:
    asked = request()
    (listener,) = telling.listeners([rule(f"http://127.0.0.1:{server.server_port}/hook")], lambda _: Secret("k"), {})

    problem = await listener.tell(asked)

    ((headers, body),) = _Receiver.received
    assert problem == ""
    assert body == webhook.generic(asked, "", brings=False)
    assert Seen().problem(b"k", headers, body, now=int(headers["ringfence-timestamp"])) == ""


async def test_a_redirect_is_not_followed(server: HTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/elsewhere"
    (listener,) = telling.listeners([rule(url)], lambda _: Secret("k"), {})

    assert await listener.tell(request()) == "it answered 307"
    assert len(_Receiver.received) == 1


async def test_without_its_key_nothing_is_sent(server: HTTPServer) -> None:
    (listener,) = telling.listeners([rule(f"http://127.0.0.1:{server.server_port}/hook")], lambda _: None, {})

    assert (
        await listener.tell(request()) == "no credential is called `key`; add it with `ringfence credentials add key`"
    )
    assert _Receiver.received == []


async def test_the_desktop_is_told_in_text_that_is_no_option_and_no_markup(tmp_path: Path) -> None:
    program, told = tmp_path / "notify-send", tmp_path / "told"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {told}\n")
    program.chmod(0o755)

    problem = await telling.desktop(str(program), {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"})(request())

    assert problem == ""
    assert told.read_text().splitlines() == [
        "--app-name=ringfence",
        "--urgency=normal",
        "--",
        "ringfence asks",
        request().prompt[0].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    ]
