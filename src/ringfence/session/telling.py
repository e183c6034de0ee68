"""Sends a question to the webhooks of the policy and to the desktop: outside of every sandbox, by this process."""

from __future__ import annotations

import asyncio
import http.client
import secrets
import shutil
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from ringfence.approvals.channels import signatures, webhook
from ringfence.approvals.channels.telling import Listener
from ringfence.approvals.objects import Request
from ringfence.egress.credentials.secret import Secret
from ringfence.policy.effective import WebhookKind, WebhookRule

_SECONDS = 5.0
_PAUSES = (1.0, 3.0)
_NOTIFY = "notify-send"

SecretOf = Callable[[str], Secret | None]
"""The value of a stored credential."""


def listeners(rules: Sequence[WebhookRule], secret_of: SecretOf, environ: Mapping[str, str]) -> tuple[Listener, ...]:
    """Everybody who is told."""
    hooks = tuple(Listener(name=f"webhook `{rule.name}`", tell=_teller(rule, secret_of)) for rule in rules)
    program = shutil.which(_NOTIFY, path="/usr/bin:/bin")
    has_desktop = bool(environ.get("DBUS_SESSION_BUS_ADDRESS")) and program is not None
    return (*hooks, Listener(name="the desktop", tell=desktop(str(program), environ))) if has_desktop else hooks


def desktop(program: str, environ: Mapping[str, str]) -> Callable[[Request], Awaitable[str]]:
    """Shows a notification: the first line of the question, and where to answer. Nothing can be answered there."""
    kept = {
        name: environ[name] for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DISPLAY") if name in environ
    }

    async def tell(request: Request) -> str:
        # SECURITY: after `--`, so that no text is an option; and escaped, because the body may be read as markup.
        gist = request.prompt[0].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        words = ["--app-name=ringfence", "--urgency=normal", "--", "ringfence asks", gist]
        started = await asyncio.create_subprocess_exec(
            program, *words, env=kept, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_SECONDS):
                code = await started.wait()
        except BaseException:
            started.kill()
            raise
        return "" if code == 0 else f"`{_NOTIFY}` ended with {code}"

    return tell


def _teller(rule: WebhookRule, secret_of: SecretOf) -> Callable[[Request], Awaitable[str]]:
    async def tell(request: Request) -> str:
        secret = await asyncio.to_thread(secret_of, rule.secret)
        if secret is None:
            return f"no credential is called `{rule.secret}`; add it with `ringfence credentials add {rule.secret}`"
        make = webhook.slack if rule.kind is WebhookKind.SLACK else webhook.generic
        body = make(request, rule.link, brings=bool(rule.users))
        problem = ""
        for pause in (0.0, *_PAUSES):
            await asyncio.sleep(pause)
            problem = await asyncio.to_thread(_send, rule.url, body, secret.reveal().encode())
            if not problem:
                return ""
        return problem

    return tell


def _send(url: str, body: bytes, secret: bytes) -> str:
    """Send one message; why it did not arrive, or nothing. Redirects are not followed: the policy named it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    signed = signatures.signed(secret, body, now=int(time.time()), nonce=secrets.token_urlsafe(24))
    connection = http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS, context=context)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, {"content-type": "application/json", **signed})
        status = connection.getresponse().status
        return "" if 200 <= status < 300 else f"it answered {status}"
    except (OSError, http.client.HTTPException) as failure:
        return str(failure) or type(failure).__name__
    finally:
        connection.close()
