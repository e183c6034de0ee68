"""Who gets in: our own page in the browser that was given the one-time address, and nobody else.

Every request names our host; what changes something comes from our own origin with the page's own token; nothing from
outside is loaded, and no script stands in a page.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "ringfence"
HOOKS = "/hooks/"
"""What programs send their signed answers to: they come under another name, without a cookie."""
TOKEN_SECONDS = 600
"""How long the printed address lets somebody in."""
STAYS_SECONDS = 12 * 3600
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
        " form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Keys:
    """The one-time token of the address, and the browsers that were let in with it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = clock() + TOKEN_SECONDS
        self._token: str | None = secrets.token_urlsafe(32)
        self._inside: dict[str, float] = {}

    @property
    def token(self) -> str:
        """The token, for the address; empty once it was used."""
        return self._token or ""

    def enter(self, token: str) -> str | None:
        """Let a browser in, once; what its cookie says, or None."""
        if self._token is None or self._clock() >= self._until or not _same(token, self._token):
            return None
        self._token = None
        cookie = secrets.token_urlsafe(32)
        self._inside[cookie] = self._clock() + STAYS_SECONDS
        return cookie

    def knows(self, cookie: str) -> bool:
        """Whether a browser was let in."""
        return any(_same(cookie, one) and self._clock() < until for one, until in self._inside.items())

    def page_token(self, cookie: str) -> str:
        """What our own page sends along with everything that changes something."""
        return hmac.digest(cookie.encode(), b"page", "sha256").hex()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def cookie_of(headers: Headers) -> str:
    """The value of our cookie; empty where there is none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


class Doors:
    """The application behind, for those who may."""

    def __init__(self, inner: ASGIApp, keys: Keys, address: str) -> None:
        self._inner = inner
        self._keys = keys
        self._origin = address
        self._host = address.removeprefix("http://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or turn away."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        problem = self._problem(scope["method"], scope["path"], Headers(scope=scope))
        if problem:
            await PlainTextResponse(f"ringfence: {problem}\n", status_code=403)(scope, receive, guarded)
        else:
            await self._inner(scope, receive, guarded)

    def _problem(self, method: str, path: str, headers: Headers) -> str:
        if path.startswith(HOOKS) and method == "POST":
            return ""
        # SECURITY: a name that an attacker makes point to the loopback is another name (DNS rebinding).
        if headers.getlist("host") != [self._host]:
            return f"this page is at {self._origin} only"
        if headers.get("origin", self._origin) != self._origin:
            return "another site may not ask this page for anything"
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return "another site may not ask this page for anything"
        if path == "/enter" and method == "GET":
            return ""
        cookie = cookie_of(headers)
        if not self._keys.knows(cookie):
            return "open the address that `ringfence ui` printed; it is good once, start it again for another"
        if method in {"GET", "HEAD"}:
            return ""
        if headers.get("origin") != self._origin or headers.get("content-type") != "application/json":
            return "what changes something has to come from this page"
        if not _same(headers.get("x-ringfence-page", ""), self._keys.page_token(cookie)):
            return "this page is out of date; load it again"
        return ""
