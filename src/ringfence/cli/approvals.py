"""`ringfence approvals`: open requests and their answers, and the grants that were made."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from ringfence.approvals import amendments
from ringfence.approvals.desk import Cast, Desk
from ringfence.approvals.objects import Grant, Request, Scope
from ringfence.approvals.records import granted
from ringfence.approvals.stores.opening import open_store
from ringfence.approvals.transitions import State
from ringfence.cli import approvals_examples, approvals_glass, approvals_opening, codes
from ringfence.cli.approvals_inbox import Inbox
from ringfence.cli.approvals_page import gist, left, vote_line
from ringfence.cli.failure import Arguments
from ringfence.cli.moments import local, span
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid
from ringfence.session.answering import desk_of
from ringfence.session.sources import Places, places

_Found = TypeVar("_Found", Request, Grant)


def main(words: Sequence[str]) -> int:
    """Run the command."""
    parsed = _arguments().parse_args(words)
    where = places(os.environ)
    if not parsed.part and (parsed.plain or approvals_opening.is_terminal()):
        return approvals_opening.run(where, plain=parsed.plain)
    if parsed.plain:
        raise UsageInvalid("`--plain` is a way to answer, and takes no command", remedy="`ringfence approvals --plain`")
    store = open_store(where.approvals)
    try:
        if parsed.part in approvals_glass.PARTS:
            return approvals_glass.run(parsed.part, vars(parsed), store, where)
        return _Command(desk_of(store, where), where, as_json=parsed.json).run(parsed.part or "list", parsed)
    finally:
        store.close()


def _arguments() -> Arguments:
    about = "Answer requests on the screen; without a terminal, list them. The commands do one thing each."
    arguments = Arguments(prog="ringfence approvals", description=about)
    arguments.add_argument("--plain", action="store_true", help="answer in plain lines of text, as for screen readers")
    arguments.set_defaults(part="", all=False, json=False)
    parts = arguments.add_subparsers(metavar="COMMAND")

    def part(name: str, text: str, *, named: bool = True) -> Arguments:
        command: Arguments = parts.add_parser(name, help=text, description=text)
        command.set_defaults(part=name)
        command.add_argument("--json", action="store_true", help="one JSON object a line")
        if named:
            command.add_argument("id", metavar="ID", help="the id, or its beginning")
        return command

    part("list", "list open requests", named=False).add_argument("--all", action="store_true", help="and closed ones")
    part("show", "show what is asked")
    approve = part("approve", "approve a request")
    approve.add_argument("--scope", choices=[scope.value for scope in Scope], default=Scope.ONCE.value)
    approve.add_argument("--for", dest="span", metavar="SPAN", help="how long it holds: `8h`, `30d`")
    about = "remember it for every command that begins with the first N words of this one, and does no more"
    approve.add_argument("--words", type=int, metavar="N", help=about)
    approve.add_argument("--reason", default="", help="why, for the record")
    part("deny", "deny a request").add_argument("--reason", default="", help="why, for the record")
    part("grants", "list grants that hold", named=False).add_argument(
        "--all", action="store_true", help="and ended ones"
    )
    part("revoke", "revoke a grant")
    approvals_glass.add(part)
    return arguments


class _Command:
    def __init__(self, desk: Desk, where: Places, *, as_json: bool) -> None:
        self._desk = desk
        self._inbox = Inbox(desk, where, channel="command")
        self._places = where
        self._json = as_json

    def run(self, part: str, parsed: object) -> int:
        """Run what was named."""
        action: Callable[[dict[str, object]], int] = getattr(self, f"_{part}")
        return action(vars(parsed))

    def _list(self, words: dict[str, object]) -> int:
        self._inbox.sweep()
        everything = map(self._inbox.current, self._desk.requests())
        found = [request for request in everything if words["all"] or request.state is State.PENDING]
        for request in found:
            self._print(_plain(request), f"{request.id}  {request.state:<11}  {left(request)}  {gist(request)}")
        if not found and not self._json:
            print("no request is open", file=sys.stderr)
        return codes.OK

    def _show(self, words: dict[str, object]) -> int:
        request = self._one_request(words)
        votes = self._desk.votes(request.id)
        plain = {**_plain(request), "votes": msgspec.to_builtins(votes), "asked": self._inbox.asked(request)}
        lines = [f"request {request.id}, {request.state}", "", *request.prompt]
        lines += ["", *(vote_line(one, self._desk.problem(one)) for one in votes)] if votes else []
        if request.state is State.PENDING:
            lines += ["", f"  asked    {self._inbox.asked(request)}"]
            few = request.begins[: amendments.FEWEST]
            if few:
                lines += self._examples(request, len(few))
                lines += [f"           with `approve {request.id} --scope repo --words {len(few)}`"]
            elif request.why_exact:
                lines += [f"  remember exactly this only: {visible(request.why_exact)}"]
        self._print(plain, "\n".join(lines))
        return codes.OK

    def _approve(self, words: dict[str, object]) -> int:
        seconds = span(str(words["span"])) if words["span"] else None
        number = words["words"]
        count = number if isinstance(number, int) else None
        return self._vote(words, approve=True, scope=Scope(str(words["scope"])), seconds=seconds, count=count)

    def _deny(self, words: dict[str, object]) -> int:
        return self._vote(words, approve=False, scope=Scope.ONCE, seconds=None)

    def _vote(
        self, words: dict[str, object], *, approve: bool, scope: Scope, seconds: int | None, count: int | None = None
    ) -> int:
        request = self._one_request(words)
        if not self._json:
            # What is approved is what was seen: it is printed, and the vote carries the digest of what was printed.
            print("\n".join([*request.prompt, *self._examples(request, count), ""]))
        cast = self._inbox.answer(
            request, approve=approve, scope=scope, reason=str(words["reason"]), seconds=seconds, words=count
        )
        return self._told(cast)

    def _examples(self, request: Request, count: int | None) -> list[str]:
        """What an answer for the first words of a command would mean, tried out."""
        if count is None or amendments.refusal(request, count):
            return []
        return approvals_examples.lines(request, count, approvals_examples.examples(request, count, self._places))

    def _told(self, cast: Cast) -> int:
        plain = {**_plain(cast.request), "counted": cast.counted, "grant": cast.grant.id if cast.grant else None}
        self._print(plain, self._inbox.told(cast))
        return codes.OK if cast.counted or cast.waits else codes.FAILED

    def _grants(self, words: dict[str, object]) -> int:
        now = time.time_ns()
        everything = [(grant, self._state(grant, now)) for grant in self._desk.grants()]
        found = [(grant, state) for grant, state in everything if words["all"] or state == "active"]
        for grant, state in found:
            request = self._desk.request(grant.request)
            whole = gist(request) if request is not None else visible(grant.matcher)
            what = amendments.in_words(grant.matcher) or whole
            text = f"{grant.id}  {state:<7}  {grant.scope:<7}  until {local(grant.expires_ns)}  {what}"
            self._print(_plain_grant(grant, state), text)
        if not found and not self._json:
            print("no grant holds", file=sys.stderr)
        return codes.OK

    def _revoke(self, words: dict[str, object]) -> int:
        prefix = str(words["id"])
        grant = _one(self._desk.grants(prefix), prefix, "grant", "`ringfence approvals grants --all`")
        if not self._desk.revoke(grant.id):
            print(f"ringfence: {grant.id} was revoked before", file=sys.stderr)
            return codes.FAILED
        self._inbox.record(grant.session, granted(grant, "revoked"))
        revoked = msgspec.structs.replace(grant, revoked_ns=time.time_ns())
        self._print(_plain_grant(revoked, "revoked"), f"{grant.id} is revoked")
        return codes.OK

    def _one_request(self, words: dict[str, object]) -> Request:
        prefix = str(words["id"])
        return self._inbox.current(
            _one(self._desk.requests(prefix), prefix, "request", "`ringfence approvals list --all`")
        )

    def _state(self, grant: Grant, now_ns: int) -> str:
        state = grant.state(now_ns)
        over = grant.scope is not Scope.REPO and not self._inbox.is_recorded(grant.session)
        return "ended" if over and state == "active" else state

    def _print(self, plain: dict[str, object], text: str) -> None:
        print(msgspec.json.encode(plain).decode() if self._json else text)


def _one(found: Sequence[_Found], prefix: str, noun: str, listing: str) -> _Found:
    if len(found) == 1:
        return found[0]
    number = f"no {noun}" if not found else f"more than one {noun}"
    raise UsageInvalid(f"{number} has an id that begins with `{prefix}`", remedy=f"list them with {listing}")


def _plain(request: Request) -> dict[str, object]:
    return {"schema": 1, **msgspec.to_builtins(request)}


def _plain_grant(grant: Grant, state: str) -> dict[str, object]:
    return {"schema": 1, **msgspec.to_builtins(grant), "state": state}
