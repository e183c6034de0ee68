"""`ringfence approvals break-glass`, `glasses`, `end-glass` and `review`: going ahead without approval, and looking at
it afterwards."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Protocol

import msgspec

from ringfence.approvals.glass import Glass
from ringfence.approvals.objects import BREAK_GLASS_SECONDS, BreakGlass
from ringfence.approvals.permission import Permission
from ringfence.approvals.stores.store import Store
from ringfence.cli import codes
from ringfence.cli.approvals_record import put_on_record
from ringfence.cli.failure import Arguments
from ringfence.cli.moments import local, span
from ringfence.model import ids
from ringfence.model.display import visible
from ringfence.model.event import BreakGlassChanged
from ringfence.model.situations import LedgerBroken, UsageInvalid
from ringfence.model.vote import PERSON
from ringfence.session.answering import permission_of
from ringfence.session.policy_files import load_policy
from ringfence.session.sources import Places, situation, user, working_folder
from ringfence.session.workspaces import find_workspace

PARTS = ("break-glass", "glasses", "end-glass", "review")
"""The subcommands that are here."""


class _Part(Protocol):
    def __call__(self, name: str, text: str, *, named: bool = True) -> Arguments: ...


def add(part: _Part) -> None:
    """Add their arguments."""
    broken = part("break-glass", "go ahead without approval in this workspace, for a time", named=False)
    broken.add_argument("--reason", required=True, help="why, for the record and the review")
    broken.add_argument("--ticket", default="", help="the incident that it belongs to")
    broken.add_argument("--for", dest="span", default="30m", metavar="SPAN", help="how long, one hour at most")
    part("glasses", "list each time that it was done, and whether it was reviewed", named=False)
    part("end-glass", "end it ahead of time")
    review = part("review", "say what was found when it was looked at afterwards")
    outcome = review.add_mutually_exclusive_group(required=True)
    outcome.add_argument("--justified", dest="justified", action="store_true", help="it had to be done")
    outcome.add_argument("--unjustified", dest="justified", action="store_false", help="it had not to be done")
    review.add_argument("--reason", required=True, help="what was found")


def run(part: str, words: Mapping[str, object], store: Store, where: Places) -> int:
    """Run one of them."""
    return _Command(Glass(store, time.time_ns, ids.new_id), where, as_json=bool(words["json"])).run(part, words)


class _Command:
    def __init__(self, glass: Glass, where: Places, *, as_json: bool) -> None:
        self._glass = glass
        self._places = where
        self._json = as_json
        self._who = f"{PERSON}{user().name}"

    def run(self, part: str, words: Mapping[str, object]) -> int:
        """Run what was named."""
        match part:
            case "glasses":
                return self._list()
            case "break-glass":
                broken = self._break(words)
                self._record_broken(broken)
                self._print(broken, f"the glass is broken until {local(broken.expires_ns)}: {broken.id}")
                self._note("every question in this workspace is answered with yes, and marked; somebody else has to")
                self._note(f"review it afterwards: `ringfence approvals review {broken.id}`")
            case "end-glass":
                ended = self._glass.end(self._one(words).id)
                self._record(ended, "ended", "")
                self._print(ended, f"{ended.id} is over, and waits for its review")
            case _:
                reviewed = self._review(words)
                self._print(reviewed, f"{reviewed.id} is reviewed")
        return codes.OK

    def _break(self, words: Mapping[str, object]) -> BreakGlass:
        workspace = find_workspace(None, working_folder(), self._places.home)
        seconds = span(str(words["span"]))
        permission, minutes = self._permission(workspace)
        if seconds > minutes * 60:
            raise UsageInvalid(f"the policy lets a broken glass last {minutes} minutes", remedy=f"`--for {minutes}m`")
        return self._glass.smash(
            who=self._who,
            reason=str(words["reason"]),
            ticket=str(words["ticket"]),
            workspace=workspace,
            seconds=seconds,
            permission=permission,
        )

    def _review(self, words: Mapping[str, object]) -> BreakGlass:
        found = self._one(words)
        permission, _ = self._permission(found.workspace)
        reason, justified = str(words["reason"]), bool(words["justified"])
        reviewed = self._glass.review(
            found.id, who=self._who, justified=justified, reason=reason, permission=permission
        )
        self._record(reviewed, "reviewed", reason, outcome="justified" if justified else "unjustified")
        return reviewed

    def _list(self) -> int:
        now = time.time_ns()
        for one in self._glass.all():
            text = f"{one.id}  {one.state(now):<10}  {local(one.created_ns)}  {visible(one.who)}: {visible(one.reason)}"
            self._print(one, text)
        if not self._glass.all() and not self._json:
            self._note("the glass was never broken")
        return codes.OK

    def _permission(self, workspace: str) -> tuple[Permission, int]:
        said = load_policy(self._places, workspace, situation=situation(workspace)).approvals
        return permission_of(said, owner=self._who), min(said.break_glass_minutes, BREAK_GLASS_SECONDS // 60)

    def _one(self, words: Mapping[str, object]) -> BreakGlass:
        prefix = str(words["id"])
        found = [one for one in self._glass.all() if one.id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        number = "no broken glass" if not found else "more than one broken glass"
        remedy = "list them with `ringfence approvals glasses`"
        raise UsageInvalid(f"{number} has an id that begins with `{visible(prefix)}`", remedy=remedy)

    def _record_broken(self, broken: BreakGlass) -> None:
        try:
            self._record(broken, "broken", broken.reason)
        except LedgerBroken:
            # SECURITY: no record, no broken glass.
            self._glass.end(broken.id)
            raise

    def _record(self, glass: BreakGlass, change: str, reason: str, *, outcome: str = "") -> None:
        put_on_record(
            self._places.ledger,
            glass.id,
            BreakGlassChanged(
                glass=glass.id,
                change=change,
                actor=self._who,
                reason=reason,
                workspace=glass.workspace,
                ticket=glass.ticket,
                outcome=outcome,
            ),
        )

    def _print(self, glass: BreakGlass, text: str) -> None:
        plain = {"schema": 1, **msgspec.to_builtins(glass), "state": glass.state(time.time_ns())}
        print(msgspec.json.encode(plain).decode() if self._json else text)

    def _note(self, text: str) -> None:
        if not self._json:
            print(text, file=sys.stderr)
