"""The page in a real browser with a virtual authenticator: what a person does, and what a replay gets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.server.local.chromium import browser, installed
from tests.server.local.serving import Site, running

from ringfence.approvals.objects import Scope
from ringfence.approvals.transitions import State
from ringfence.approvals.voting import Terms, Threshold
from ringfence.model.vote import Authentication

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SHOTS = os.environ.get("RINGFENCE_SHOTS")


def _said(page: Page, text: str) -> None:
    page.wait_for_function("text => document.getElementById('said').textContent.includes(text)", arg=text)


def _shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def _add_passkey(page: Page, site: Site) -> None:
    page.goto(f"{site.origin}/passkeys")
    page.click("#add")
    _said(page, "the passkey was added")


def test_a_person_approves_with_a_passkey_and_denies_with_the_keyboard(tmp_path: Path) -> None:
    installed()
    by_passkey = Terms(thresholds=(Threshold(assurance=Authentication.PASSKEY),))
    with running(tmp_path) as site, browser() as (page, _, _):
        problems: list[str] = []
        page.on("console", lambda one: problems.append(one.text) if one.type in {"error", "warning"} else None)
        page.on("pageerror", lambda one: problems.append(str(one)))
        page.goto(site.address)
        page.wait_for_selector("text=Nothing is asked")
        push = site.asks("git", "push", terms=by_passkey)
        page.wait_for_selector(f"a[href='/requests/{push.id}']")
        _shot(page, "queue")
        _add_passkey(page, site)
        _shot(page, "passkeys")

        page.goto(f"{site.origin}/")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_selector("#prompt")
        # No person is quicker than the page's script.
        page.wait_for_load_state()
        lines = page.eval_on_selector_all("#prompt .line", "all => all.map(one => one.textContent)")
        _shot(page, "request")
        page.keyboard.press("s")
        page.keyboard.press("Enter")
        _said(page, "approved, session")
        page.wait_for_selector("strong.approved")
        _shot(page, "approved")
        second = site.asks("git", "tag", "v1")
        page.goto(f"{site.origin}/requests/{second.id}")
        page.fill("#reason", "not today")
        page.focus("#main")
        page.keyboard.press("d")
        page.keyboard.press("Enter")
        _said(page, "denied")
        page.goto(f"{site.origin}/history")
        _shot(page, "history")

        assert problems == []
        assert lines == list(push.prompt)
        (yes,), (no,) = site.desk.votes(push.id), site.desk.votes(second.id)
        assert (yes.approve, yes.scope, yes.channel, yes.authentication) == (
            True,
            Scope.SESSION,
            "web",
            Authentication.PASSKEY,
        )
        assert json.loads(yes.evidence)["statement"]["seen"] == push.shown == yes.seen
        assert (no.approve, no.reason, no.authentication) == (False, "not today", Authentication.ACCOUNT)
        assert yes.signature
        assert [one.state for one in site.desk.requests()] == [State.DENIED, State.APPROVED]
