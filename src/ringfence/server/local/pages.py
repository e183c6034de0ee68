"""The pages and what they send: the queue, one request, the history, the passkeys.

A yes needs a passkey that signs what was seen; a no needs nothing, because it only makes things safer. Nothing here
decides: a vote goes to the desk, which knows whose counts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
import webauthn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from webauthn.helpers import base64url_to_bytes, options_to_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from ringfence.approvals.asked import asked
from ringfence.approvals.desk import Cast
from ringfence.approvals.objects import Request
from ringfence.approvals.transitions import State
from ringfence.model import ids
from ringfence.model.assertion import Evidence, Statement
from ringfence.model.situations import RingfenceError
from ringfence.model.vote import Authentication, Scope, Vote
from ringfence.server.local import views
from ringfence.server.local.ceremonies import Ceremonies, Ceremony
from ringfence.server.local.doors import COOKIE, STAYS_SECONDS, Keys, cookie_of
from ringfence.server.local.hooks import Hooks
from ringfence.server.local.inbox import CHANNEL, Inbox
from ringfence.server.local.passkeys import HOST, Passkey, PasskeyRefused, Passkeys, public_key

_SHOWN = 200
_BODY_BYTES = 65536
_LOOK_SECONDS = 0.25
_STREAMS = 16
_Body = TypeVar("_Body")
_Plain = dict[str, object]


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    seen: str
    reason: str = ""


class _Wanted(_Said, frozen=True, kw_only=True, forbid_unknown_fields=True):
    scope: Scope = Scope.ONCE


class _Asserted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ceremony: str
    assertion: _Plain


class _Added(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ceremony: str
    credential: _Plain
    assertion: _Plain | None = None


class _Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Refused(Exception):
    """What is answered instead, with its status."""

    def __init__(self, problem: str, status: int = 409) -> None:
        super().__init__(problem)
        self.status = status


class Pages:
    """The application behind the doors."""

    def __init__(self, inbox: Inbox, passkeys: Passkeys, keys: Keys, hooks: Hooks, *, user: str, origin: str) -> None:
        self._inbox = inbox
        self._hooks = hooks
        self._desk = inbox.desk
        self._passkeys = passkeys
        self._keys = keys
        self._user = user
        self._origin = origin
        self._ceremonies = Ceremonies(time.monotonic)
        self._streams = 0
        self._ending = False
        self._templates = Environment(
            loader=PackageLoader("ringfence.server.local"), autoescape=True, undefined=StrictUndefined
        )

    def end(self) -> None:
        """Let go of the pages that follow what changes."""
        self._ending = True

    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/", self._queue),
                Route("/enter", self._enter),
                Route("/history", self._history),
                Route("/events", self._events),
                Route("/requests/{id}", self._request),
                Route("/requests/{id}/deny", self._deny, methods=["POST"]),
                Route("/requests/{id}/begin", self._begin, methods=["POST"]),
                Route("/requests/{id}/approve", self._approve, methods=["POST"]),
                Route("/passkeys", self._passkeys_page),
                Route("/passkeys/begin", self._begin_adding, methods=["POST"]),
                Route("/passkeys/add", self._add, methods=["POST"]),
                Route("/hooks/{name}", self._hooks.take, methods=["POST"]),
                Mount("/static", StaticFiles(packages=[("ringfence.server.local", "static")])),
            ],
            exception_handlers={_Refused: _refused, RingfenceError: _failed},
        )

    async def _enter(self, asked: Asked) -> Response:
        cookie = self._keys.enter(asked.query_params.get("token", ""))
        if cookie is None:
            raise _Refused("this address was used before, or is too old: start `ringfence ui` again", 403)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, cookie, max_age=STAYS_SECONDS, httponly=True, samesite="strict")
        return answer

    async def _queue(self, asked: Asked) -> Response:
        await self._inbox.sweep()
        found = [one for one in self._desk.unfinished() if one.state is State.PENDING]
        heading = "1 open request" if len(found) == 1 else f"{len(found)} open requests"
        return self._list(asked, found, here="queue", heading=heading, nothing="Nothing is asked at the moment.")

    async def _history(self, asked: Asked) -> Response:
        found = list(self._desk.requests())
        return self._list(asked, found, here="history", heading="All requests", nothing="Nothing was asked so far.")

    def _list(self, asked: Asked, found: list[Request], *, here: str, heading: str, nothing: str) -> Response:
        return self._page(
            asked,
            "queue.html",
            here=here,
            heading=heading,
            nothing=nothing,
            requests=[views.card(one) for one in found[:_SHOWN]],
            cut=_SHOWN if len(found) > _SHOWN else 0,
        )

    async def _request(self, asked_for: Asked) -> Response:
        await self._inbox.sweep()
        request = self._named(asked_for)
        return self._page(
            asked_for,
            "request.html",
            here="request",
            one=views.card(request),
            lines=request.prompt,
            votes=[views.vote_line(vote, self._desk.problem(vote)) for vote in self._desk.votes(request.id)],
            wanted=f"Who has to answer: {asked(request.terms, self._desk.step_of(request))}.",
            scopes=views.scopes(request),
            override=request.override,
            has_passkey=bool(self._passkeys.all()),
        )

    async def _passkeys_page(self, asked: Asked) -> Response:
        known = [views.passkey_line(one) for one in self._passkeys.all()]
        return self._page(asked, "passkeys.html", here="passkeys", passkeys=known)

    async def _events(self, asked: Asked) -> Response:
        if self._streams >= _STREAMS:
            raise _Refused("too many pages are open", 429)
        return StreamingResponse(self._changes(asked), media_type="text/event-stream")

    async def _changes(self, asked: Asked) -> AsyncIterator[str]:
        """The version of what is shown, whenever it changes."""
        self._streams += 1
        try:
            version = ""
            while not self._ending and not await asked.is_disconnected():
                await self._inbox.sweep()
                if (now := self._inbox.version()) != version:
                    version = now
                    yield f"data: {version}\n\n"
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._streams -= 1

    async def _deny(self, asked: Asked) -> Response:
        said = await _body(asked, _Said)
        request = self._named(asked)
        vote = Vote(
            id=ids.new_id(),
            request=request.id,
            approver=f"person:{self._user}",
            approve=False,
            seen=said.seen,
            reason=said.reason,
            channel=CHANNEL,
        )
        return await self._cast(vote)

    async def _begin(self, asked: Asked) -> Response:
        wanted = await _body(asked, _Wanted)
        request = self._named(asked)
        known = self._passkeys.all()
        if not known:
            raise _Refused("a yes on this page takes a passkey: add one first")
        if request.state is not State.PENDING:
            raise _Refused(f"this request is {request.state} already")
        statement = Statement(
            vote=ids.new_id(),
            request=request.id,
            seen=wanted.seen,
            approver=f"person:{self._user}",
            approve=True,
            scope=wanted.scope,
            reason=wanted.reason,
            nonce=secrets.token_urlsafe(32),
        )
        self._ceremonies.begin(statement.vote, statement.challenge, statement)
        return JSONResponse({"ceremony": statement.vote, "options": _assertion_options(statement.challenge, known)})

    async def _approve(self, asked: Asked) -> Response:
        sent = await _body(asked, _Asserted)
        request = self._named(asked)
        statement = self._ended(sent.ceremony).statement
        if statement is None or statement.request != request.id:
            raise _Refused("this passkey signed something else")
        vote = Vote(
            id=statement.vote,
            request=request.id,
            approver=statement.approver,
            approve=statement.approve,
            seen=statement.seen,
            scope=statement.scope,
            reason=statement.reason,
            channel=CHANNEL,
            authentication=Authentication.PASSKEY,
        )
        try:
            used = self._passkeys.check(sent.assertion, challenge=statement.challenge, origin=self._origin)
        except PasskeyRefused as refused:
            await self._inbox.refused(request, vote, refused.message)
            raise
        proof = msgspec.json.encode(_evidence(statement, self._origin, used, sent.assertion)).decode()
        return await self._cast(msgspec.structs.replace(vote, evidence=proof))

    async def _cast(self, vote: Vote) -> Response:
        cast = await self._inbox.cast(vote)
        assert cast is not None, "a request was found, and requests are never removed"
        if cast.problem:
            raise _Refused(cast.problem)
        return JSONResponse({"text": _told(cast), "state": cast.request.state.value})

    async def _begin_adding(self, asked: Asked) -> Response:
        await _body(asked, _Nothing)
        known = self._passkeys.all()
        challenge, name = secrets.token_bytes(32), ids.new_id()
        options = webauthn.generate_registration_options(
            rp_id=HOST,
            rp_name="Ringfence",
            user_name=self._user,
            user_id=self._user.encode(),
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                user_verification=UserVerificationRequirement.REQUIRED, resident_key=ResidentKeyRequirement.PREFERRED
            ),
            exclude_credentials=_descriptors(known),
        )
        self._ceremonies.begin(name, challenge)
        # SECURITY: whoever sits down at an unlocked screen must not add a key of their own beside yours.
        prove = _assertion_options(challenge, known) if known else None
        return JSONResponse({"ceremony": name, "options": json.loads(options_to_json(options)), "prove": prove})

    async def _add(self, asked: Asked) -> Response:
        sent = await _body(asked, _Added)
        ceremony = self._ended(sent.ceremony)
        if ceremony.statement is not None:
            raise _Refused("this passkey signed something else")
        if self._passkeys.all():
            if sent.assertion is None:
                raise _Refused("another passkey is added with one that you have")
            self._passkeys.check(sent.assertion, challenge=ceremony.challenge, origin=self._origin)
        self._passkeys.register(
            sent.credential, challenge=ceremony.challenge, origin=self._origin, now_ns=time.time_ns()
        )
        return JSONResponse({"text": "the passkey was added"})

    def _ended(self, name: str) -> Ceremony:
        ceremony = self._ceremonies.end(name)
        if ceremony is None:
            raise _Refused("this was answered before, or it took too long: answer again")
        return ceremony

    def _named(self, asked: Asked) -> Request:
        request = self._desk.request(asked.path_params["id"])
        if request is None:
            raise _Refused("there is no such request", 404)
        return request

    def _page(self, asked: Asked, template: str, **values: object) -> Response:
        page_token = self._keys.page_token(cookie_of(asked.headers))
        text = self._templates.get_template(template).render(
            page_token=page_token, user=self._user, version=self._inbox.version(), **values
        )
        return HTMLResponse(text)


async def _body(asked: Asked, kind: type[_Body]) -> _Body:
    """What was sent, whole and well-formed, or nothing."""
    read = bytearray()
    async for piece in asked.stream():
        read += piece
        if len(read) > _BODY_BYTES:
            raise _Refused("this is too much", 413)
    try:
        return msgspec.json.decode(bytes(read), type=kind)
    except msgspec.MsgspecError as wrong:
        raise _Refused(f"this is not what the page sends: {wrong}", 400) from wrong


def _descriptors(known: tuple[Passkey, ...]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one.credential)) for one in known]


def _assertion_options(challenge: bytes, known: tuple[Passkey, ...]) -> object:
    options = webauthn.generate_authentication_options(
        rp_id=HOST,
        challenge=challenge,
        allow_credentials=_descriptors(known),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return json.loads(options_to_json(options))


def _evidence(statement: Statement, origin: str, used: Passkey, assertion: _Plain) -> Evidence:
    response = assertion["response"]
    assert isinstance(response, dict), "an assertion without a response does not hold"
    return Evidence(
        statement=statement,
        origin=origin,
        credential=used.credential,
        public_key=public_key(used),
        client_data=str(response["clientDataJSON"]),
        authenticator_data=str(response["authenticatorData"]),
        signature=str(response["signature"]),
    )


def _told(cast: Cast) -> str:
    if cast.waits:
        return "your vote is taken, and others are needed as well"
    scope = f", {cast.grant.scope}" if cast.grant else ""
    return f"{cast.request.state}{scope}" if cast.counted else f"it was {cast.request.state} before"


async def _refused(_: Asked, refused: Exception) -> Response:
    assert isinstance(refused, _Refused)
    return JSONResponse({"problem": str(refused)}, status_code=refused.status)


async def _failed(_: Asked, failed: Exception) -> Response:
    assert isinstance(failed, RingfenceError)
    remedy = f"; {failed.remedy}" if failed.remedy else ""
    return JSONResponse({"problem": f"{failed.message}{remedy}"}, status_code=409)
