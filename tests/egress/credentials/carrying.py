"""A wallet, and requests as the gateway sees them."""

from __future__ import annotations

import os

import msgspec

from ringfence.egress.credentials.secret import AwsKeys, Credential, Secret
from ringfence.egress.credentials.steps import Wallet
from ringfence.egress.http_head import RequestHead, parse_head
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import CredentialUsed
from ringfence.model.host import Destination, parse_host
from ringfence.policy.credentials import CredentialTable
from ringfence.policy.documents import read_document
from ringfence.policy.effective import CredentialForm, CredentialPolicy
from ringfence.policy.layers import Layer

VALUE = "ghp_RealRealRealRealRealRealRealReal9999"
SHOWN = "ghp_FakeFakeFakeFakeFakeFakeFakeFake0000"
AWS = AwsKeys(key="AKIAREAL000000000000", secret=Secret("real/secret/of/aws"), session=Secret("real-session-token"))
STANDING = AwsKeys(key="AKIAFAKE000000000000", secret=Secret("fake/secret"), session=Secret("fake-session-token"))


class Carried(msgspec.Struct, kw_only=True):
    """A wallet and what it put on record."""

    wallet: Wallet
    used: list[CredentialUsed]
    refused: list[Decision]


def carrying(text: str, values: dict[str, tuple[str, str]] | None = None) -> Carried:
    """The wallet of a document; every credential has the one value and placeholder unless said otherwise."""
    said = read_document(text.encode(), file="policy.toml", layer=Layer.USER).credentials
    found = []
    for rule in said.rules:
        value, shown = (values or {}).get(rule.id, (VALUE, SHOWN))
        aws = rule.form is CredentialForm.AWS
        found.append(
            Credential(
                rule=rule,
                secret=AWS.secret if aws else Secret(value),
                placeholder=STANDING.key if aws else shown,
                aws=AWS if aws else None,
                standing=STANDING if aws else None,
            )
        )
    used: list[CredentialUsed] = []
    refused: list[Decision] = []
    table = CredentialTable(CredentialPolicy(rules=said.rules, forbidden=said.forbidden))
    return Carried(
        wallet=Wallet.of(table, tuple(found), used.append, refused.append, os.urandom), used=used, refused=refused
    )


def request(text: str, *, host: str = "api.test", port: int = 443, secure: bool = True) -> Request:
    """A request by its lines: `GET /path` and header fields."""
    first, *lines = text.split("\n")
    head = parse_head("\r\n".join((f"{first} HTTP/1.1", f"Host: {host}", *lines, "", "")).encode())
    action = ConnectAction(host=host, port=port, method=head.method, path=head.path)
    return Request(
        destination=Destination(host=parse_host(host), port=port),
        secure=secure,
        head=msgspec.structs.replace(head, fields=tuple(one for one in head.fields if one[0] != b"host")),
        action=action,
        decision=Decision(verdict=Verdict.ALLOW, action=action, reasons=(), policy="p"),
    )


def sent(carried: Carried, of: Request, body: bytes = b"") -> RequestHead | Held:
    """What goes to the server."""
    steps = carried.wallet(of)
    if steps is None:
        return of.head
    return _requested(steps, of, body)


def _requested(steps: Steps, of: Request, body: bytes) -> RequestHead | Held:
    if steps.whole and (of.head.length or of.head.chunked):
        steps.body(body[: steps.whole], complete=len(body) <= steps.whole)
    return steps.request(of.head)


def answered(
    carried: Carried, fields: dict[str, str], *pieces: bytes
) -> tuple[ResponseHead | Held, list[bytes | Held]]:
    """What comes inside of an answer on a host with a credential."""
    steps = carried.wallet(request("GET /"))
    assert steps is not None
    pairs = tuple((name.lower().encode(), value.encode()) for name, value in fields.items())
    head = steps.response(ResponseHead(status=200, fields=pairs))
    return head, [*(steps.received(piece) for piece in pieces), steps.all_received()]


def rule_of(outcome: RequestHead | Held) -> str:
    """The rule that stopped a request; empty where it goes."""
    return outcome.decision.reasons[0].rule if isinstance(outcome, Held) else ""
