"""What credentials add to a session: values read at its start, variables inside, and the step of the gateway."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from functools import cache

from ringfence.egress.credentials.secret import Credential
from ringfence.egress.credentials.steps import Wallet
from ringfence.egress.databases.bound import Databases, database_trust
from ringfence.egress.inspection import Amendment
from ringfence.model.action import FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.model.event import DecisionMade
from ringfence.model.host import Destination
from ringfence.policy.credentials import CredentialTable, overlap
from ringfence.policy.effective import Attach, CredentialForm, Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.session.credentials.loading import Loaded, hidden, load, missing_variables
from ringfence.session.credentials.sources import Outside
from ringfence.session.credentials.store import Store, machine_keyring
from ringfence.session.outside_environment import outside_environment
from ringfence.session.sources import Places
from ringfence.session.tally import Tally


def outside_of(places: Places, environ: Mapping[str, str], workspace: str, evaluator: Evaluator) -> Outside:
    """What sources need to know: the world outside, and what a program inside could read by itself."""

    def can_read(path: str) -> bool:
        action = FileAction(operation=FileOperation.READ, path=path)
        return evaluator.evaluate(action).verdict is not Verdict.DENY

    return Outside(
        environ=outside_environment(environ, workspace),
        home=places.home,
        workspace=workspace,
        store=Store(places.credentials, machine_keyring),
        can_read=can_read,
    )


class Governing:
    """The credentials of one session. Making it reads files, opens the keyring and runs commands."""

    def __init__(self, policy: Policy, outside: Outside) -> None:
        self._policy = policy.credentials
        self._wallets: list[Wallet] = []
        self._loaded = load(policy.credentials, outside, os.urandom)
        self.notices = (*self._loaded.notices, *unseen(policy))
        self.placeholders = tuple(one.placeholder for one in self._loaded.credentials)
        self.removed = missing_variables(policy.credentials, self._loaded)

    def inside(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables inside: placeholders instead of values, and what makes Git show them."""
        return {**hidden(environment, self._loaded), **git_variables(self._loaded)}

    def amendments(self, tally: Tally) -> tuple[Amendment, ...]:
        """The gateway's step."""
        wallet = Wallet.of(
            CredentialTable(self._policy),
            self._loaded.credentials,
            tally.record_soon,
            lambda decision: tally.record_soon(DecisionMade(decision=decision, asked_by="gateway")),
            os.urandom,
        )
        self._wallets.append(wallet)
        return (wallet,)

    def values(self) -> tuple[tuple[str, str], ...]:
        """The name of each credential with each of its values."""
        found = []
        for one in self._loaded.credentials:
            found.append((one.name, one.secret.reveal()))
            if one.aws is not None and one.aws.session is not None:
                found.append((one.name, one.aws.session.reveal()))
        return tuple(found)

    def standing_in(self) -> tuple[bytes, ...]:
        """All that looks like a credential inside and is none, with what servers made."""
        made = [one for wallet in self._wallets for one in wallet.minted.credentials()]
        found: list[str] = []
        for one in (*self._loaded.credentials, *made):
            found.append(one.placeholder)
            if one.standing is not None:
                found.append(one.standing.secret.reveal())
                found += [one.standing.session.reveal()] if one.standing.session is not None else []
        return tuple(text.encode() for text in found)

    def databases(self, tally: Tally) -> Databases | None:
        """The databases of the policy, each with the credentials that are there."""
        table = CredentialTable(self._policy)
        known = self._loaded.credentials

        def bound(to: Destination) -> tuple[Credential, ...] | None:
            rules = {rule.id for rule in table.of_database(to.host, to.port)}
            return tuple(one for one in known if one.name in rules) if rules else None

        return Databases(bound=bound, used=tally.record_soon, trust=cache(database_trust))


def unseen(policy: Policy) -> Iterator[str]:
    """A notice for each credential that goes nowhere because its host is not looked into."""
    for rule in policy.credentials.rules:
        for pattern in policy.network.pass_through:
            if any(overlap(host, pattern) for host in rule.hosts):
                source = policy.origin_of(f"network.pass_through.{pattern}").source
                where = f"{source} passes `{pattern}` through"
                yield f"credential `{rule.id}` ({rule.origin.source}) is not put into what is not looked into: {where}"


def git_variables(loaded: Loaded) -> dict[str, str]:
    """A credential helper for Git, by host: it is only asked where a server wants a credential."""
    settings: list[tuple[str, str]] = []
    for credential in loaded.credentials:
        if credential.rule.form is CredentialForm.GIT and credential.rule.attach is Attach.PLACEHOLDER:
            for url in (url for host in credential.rule.hosts for url in _urls(host)):
                # An empty helper first: those of the person are not there inside, and must not be asked.
                settings += [(f"credential.{url}.helper", ""), (f"credential.{url}.helper", _helper(credential))]
    found = {"GIT_CONFIG_COUNT": str(len(settings))} if settings else {}
    for number, (key, value) in enumerate(settings):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _urls(host: str) -> tuple[str, ...]:
    """A host pattern as Git writes it: `*` stands for one label there, and the port is left out where it is usual."""
    name = host.removesuffix(":443")
    if name.startswith("**."):
        return (f"https://{name[3:]}", f"https://*.{name[3:]}")
    return (f"https://{name}",)


def _helper(credential: Credential) -> str:
    words = (f"username={credential.rule.user}", f"password={credential.placeholder}")
    return f'!f() {{ test "$1" = get && printf "%s\\n" {shlex.join(words)}; }}; f'
