"""The page as one application: the pages, behind their doors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import ASGIApp

from ringfence.approvals.desk import Desk
from ringfence.policy.effective import WebhookRule
from ringfence.server.local.doors import Doors, Keys
from ringfence.server.local.hooks import Hooks
from ringfence.server.local.inbox import Inbox
from ringfence.server.local.pages import Pages
from ringfence.server.local.passkeys import Passkeys
from ringfence.session.credentials.store import Store, machine_keyring
from ringfence.session.sources import Places, user


class Application(NamedTuple):
    """What is served."""

    app: ASGIApp
    token: str
    """Lets one browser in, once."""
    end: Callable[[], None]


def application(
    desk: Desk, where: Places, passkeys: str, *, address: str, webhooks: tuple[WebhookRule, ...] = ()
) -> Application:
    """The application for one user."""
    keys, name = Keys(time.monotonic), user().name
    inbox = Inbox(desk, where)
    hooks = Hooks(inbox, webhooks, Store(where.credentials, machine_keyring).get)
    pages = Pages(inbox, Passkeys(passkeys, name), keys, hooks, user=name, origin=address)
    return Application(app=Doors(pages.app(), keys, address), token=keys.token, end=pages.end)
