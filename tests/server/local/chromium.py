"""A real headless Chromium with an authenticator of its own, for pages that take passkeys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import CDPSession, Page, sync_playwright
from tests.debian import program

_AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def installed() -> str:
    """Where it is; skips where it cannot be had."""
    return program("chromium-headless-shell", "chromium-headless-shell")


@contextmanager
def browser() -> Iterator[tuple[Page, CDPSession, str]]:
    """A page, the way to its authenticator, and the authenticator's id."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=installed(), args=["--no-sandbox"])
        try:
            page = chromium.new_context(viewport={"width": 1000, "height": 800}).new_page()
            devtools = page.context.new_cdp_session(page)
            devtools.send("WebAuthn.enable")
            added = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": _AUTHENTICATOR})
            yield page, devtools, added["authenticatorId"]
        finally:
            chromium.close()
