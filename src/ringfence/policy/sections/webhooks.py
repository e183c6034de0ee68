"""`[[approvals.webhook]]`: who else is told of a question, and whose answers it may bring."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ringfence.policy.effective import WebhookKind, WebhookRule
from ringfence.policy.schema import Table, escaped

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def webhook(table: Table) -> WebhookRule | None:
    """Read one webhook."""
    name = table.take_text("name", about="What it is called, in the record too: lower-case letters, digits and `-`.")
    kind = table.take_choice("kind", WebhookKind, about="What it speaks.")
    url = table.take_text("url", about="Where questions are sent, by HTTPS; plain HTTP only to this machine.")
    secret = table.take_text("secret", about="The name of a stored credential: the key of the signatures.")
    about = "The address of a page for people, with `{id}` for the request."
    link = table.take_text("link", about=about)
    about = "Its names of people, each with the name of a user of this machine whose answers it may bring."
    users = table.take_table("users", about=about).take_pairs()
    complete = table.require("name", "url", "secret")
    table.finish()
    if name is not None and not _NAME.fullmatch(name):
        table.fault("name", f"`{escaped(name)}` is not a name: use lower-case letters, digits and `-`")
    for key, address in (("url", url), ("link", link)):
        if address is not None and not _is_safe(address):
            table.fault(key, f"`{key}` has to be an `https://` address without a user name or a password in it")
    if not complete or name is None or url is None or secret is None:
        return None
    return WebhookRule(
        name=name,
        kind=kind or WebhookKind.GENERIC,
        url=url,
        secret=secret,
        link=link or "",
        users=users,
        origin=table.faults.origin(table.path),
    )


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = parts.scheme == "http" and (host in _LOOPBACK or (host or "").endswith(".localhost"))
    printable = address.isascii() and address.isprintable() and " " not in address
    return bool(host) and printable and (parts.scheme == "https" or plain) and parts.username is None
