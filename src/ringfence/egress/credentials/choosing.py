"""Which credential a request gets, or why it may not go: tenant pinning, as a pure function of a request's head.

On a host that a credential is bound to, a request shows a placeholder of ours or no credential at all. Everything else
is somebody else's account there, by which data could leave through a host that is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ringfence.egress.credentials.presented import Own, Place, Presented, presented, shown_name
from ringfence.egress.credentials.secret import Credential
from ringfence.egress.http_fields import said
from ringfence.egress.http_head import RequestHead
from ringfence.egress.posing import names_method
from ringfence.model.host import Destination
from ringfence.policy.credentials import CredentialTable
from ringfence.policy.effective import Attach, CredentialForm, CredentialRule, Origin
from ringfence.policy.operations import SAFE
from ringfence.policy.request_paths import query_key

_HEADER, _QUERY = CredentialForm.HEADER, CredentialForm.QUERY
_OTHER_METHOD = frozenset(
    (b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-method", b"x-rewrite-method")
)
_OTHER_PATH = frozenset((b"x-original-url", b"x-rewrite-url", b"x-forwarded-uri", b"x-forwarded-prefix"))
_OTHER_HOST = frozenset((b"x-forwarded-host", b"x-host", b"x-original-host", b"forwarded"))


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request may not go."""

    rule: str
    text: str
    next_step: str = ""
    origin: Origin
    """Of the policy's line that says so."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The credential that a request gets, and where it showed the placeholder; nothing where it showed none."""

    credential: Credential
    shown: Presented | None = None


def choose(
    head: RequestHead,
    to: Destination,
    table: CredentialTable,
    credentials: Iterable[Credential],
    *,
    secure: bool,
    in_body: Iterable[Presented] = (),
) -> Chosen | Refused | None:
    """What a request gets; None for one that shows no credential and gets none."""
    known = tuple(credentials)
    here = table.pinning(to.host, to.port)
    shows = (*presented(head, _own(here)), *in_body)
    forbidding = table.forbidding(to.host, to.port)
    if forbidding is not None:
        return _forbidden(shows, to, forbidding.reason, forbidding.origin)
    bound_here = {rule.id for rule in table.of_host(to.host, to.port)}
    if not here:
        return _elsewhere(head, to, known)
    ours: dict[str, tuple[Credential, Presented]] = {}
    presigned = any(_names_key(one) and _owner(one, known) is not None for one in shows)
    for one in shows:
        if presigned and _signed_beside(one):
            continue
        credential = _owner(one, known)
        if credential is None:
            return _foreign(one, to, here)
        if credential.name not in bound_here:
            return _not_here(credential, to)
        if credential.name in ours and not _is_signature(credential):
            text = f"the request shows the placeholder of `{credential.name}` twice"
            return _refused("credentials.misplaced", text, "show it once", credential.rule)
        ours.setdefault(credential.name, (credential, one))
    misplaced = _misplaced(head, known, shows)
    if misplaced is not None:
        return misplaced
    if len(ours) > 1:
        text = f"the request shows the placeholders of {_listed(ours)}, and can have only one"
        return _refused("credentials.ambiguous", text, "show one of them", here[0])
    bound = {rule.id for rule in table.of_request(to.host, to.port, head.method, head.path)}
    if not ours:
        return _attached(head, to, [one for one in known if one.name in bound and not one.minted], secure=secure)
    credential, shown = next(iter(ours.values()))
    if credential.name not in bound and not credential.for_anybody:
        return _not_bound(credential, head, to)
    return _fit(head, to, credential, secure=secure) or Chosen(credential=credential, shown=shown)


def _own(rules: Iterable[CredentialRule]) -> Own:
    """Where a host takes credentials by the policy's own words: a name that only it knows for one is one as well."""
    named = {form: [rule.field for rule in rules if rule.form is form] for form in (_HEADER, _QUERY)}
    return Own(
        headers=frozenset(field.lower().replace("_", "-") for field in named[_HEADER]),
        keys=frozenset(map(query_key, named[_QUERY])),
    )


def _attached(head: RequestHead, to: Destination, bound: list[Credential], *, secure: bool) -> Chosen | Refused | None:
    always = [one for one in bound if one.rule.attach is Attach.ALWAYS]
    if len(always) > 1:
        text = f"{_listed(one.name for one in always)} are all put into such requests, and it can have only one"
        return _refused("credentials.ambiguous", text, "bind them to different requests", always[0].rule)
    if not always:
        return None
    return _fit(head, to, always[0], secure=secure) or Chosen(credential=always[0])


def _fit(head: RequestHead, to: Destination, credential: Credential, *, secure: bool) -> Refused | None:
    """Whether a request is what it says it is, so that a binding to methods and paths means something."""
    rule = credential.rule
    if not secure:
        text = f"credential `{rule.id}` never goes to `{to}` in the clear"
        return _refused("credentials.clear", text, "use https", rule)
    # SECURITY: some servers make one variable of a dash and an underscore.
    fields = {name.replace(b"_", b"-") for name, _ in head.fields}
    others = fields & _OTHER_HOST
    if rule.methods:
        others |= fields & _OTHER_METHOD
    if rule.paths:
        others |= fields & _OTHER_PATH
    if others or (rule.methods and names_method(head.query)):
        named = sorted(others)[0].decode() if others else "_method"
        text = f"`{named}` makes another request of this one than credential `{rule.id}` is bound to"
        return _refused("credentials.unbound", text, "leave it out", rule)
    if rule.methods and SAFE.issuperset(rule.methods) and b"websocket" in said(head.fields).upgrades:
        # SECURITY: it begins as a GET, and then both sides say what they like.
        text = f"a WebSocket is more than the methods that credential `{rule.id}` is bound to"
        return _refused("credentials.unbound", text, "bind it without `methods`", rule)
    return None


def _owner(one: Presented, known: Iterable[Credential]) -> Credential | None:
    return next((credential for credential in known if _shows(one, credential)), None)


def _shows(one: Presented, credential: Credential) -> bool:
    if credential.standing is not None:
        session = credential.standing.session
        named = one.value == (session.reveal() if session is not None else None)
        return named or _signs_as(one, credential.placeholder)
    return one.value == credential.placeholder or (
        one.user == credential.placeholder and one.value in ("x-oauth-basic", "")
    )


def _signs_as(one: Presented, key: str) -> bool:
    """Whether a signature names a key of ours: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`."""
    if one.place is Place.AUTHORIZATION:
        return one.scheme == "aws4-hmac-sha256" and f"Credential={key}/" in one.value
    return _names_key(one) and one.value.startswith(f"{key}/")


def _names_key(one: Presented) -> bool:
    return one.place is Place.QUERY and one.name.lower() == "x-amz-credential"


def _signed_beside(one: Presented) -> bool:
    # The signature of a presigned URL says nothing by itself; the key beside it does, and is made anew with it.
    return one.place is Place.QUERY and one.name.lower() == "x-amz-signature"


def _is_signature(credential: Credential) -> bool:
    return credential.standing is not None


def _misplaced(head: RequestHead, known: Iterable[Credential], shows: Iterable[Presented]) -> Refused | None:
    """A placeholder where nothing is put in its place: the server would get it as it is."""
    told = {one.value for one in shows} | {one.user for one in shows}
    text = "\n".join((head.path, head.query, *(value.decode("latin-1") for _, value in head.fields)))
    for credential in known:
        if credential.placeholder in text and credential.placeholder not in told and credential.standing is None:
            said = f"the placeholder of credential `{credential.name}` stands where no credential of that form does"
            return _refused("credentials.misplaced", said, f"send it as {credential.rule.form.value}", credential.rule)
    return None


def _elsewhere(head: RequestHead, to: Destination, known: Iterable[Credential]) -> Refused | None:
    text = "\n".join((head.path, head.query, *(value.decode("latin-1") for _, value in head.fields)))
    values = {one.value for one in presented(head)} | {one.user for one in presented(head)}
    for credential in known:
        if credential.placeholder in text or credential.placeholder in values:
            return _not_here(credential, to)
    return None


def _not_here(credential: Credential, to: Destination) -> Refused:
    text = f"credential `{credential.name}` is not bound to `{to}`, but to {' '.join(credential.rule.hosts[:5])}"
    return _refused("credentials.unbound", text, "send its placeholder to the hosts it is bound to", credential.rule)


def _not_bound(credential: Credential, head: RequestHead, to: Destination) -> Refused:
    rule = credential.rule
    wanted = " ".join(filter(None, (",".join(rule.methods), " ".join(rule.paths[:5]))))
    text = f"credential `{rule.id}` is bound on `{to.host}` to {wanted}, not to {head.method} {_cut(head.path)}"
    step = f"bind it at {rule.origin.source}, if this is meant"
    return _refused("credentials.unbound", f"{text}{_why(rule.reason)}", step, rule)


def _foreign(one: Presented, to: Destination, here: tuple[CredentialRule, ...]) -> Refused:
    names = _listed(rule.id for rule in here)
    text = f"the request shows a credential {one.where} that is not {names}, which `{to.host}` takes alone"
    variables = [name for rule in here for name in rule.variables]
    step = f"use what is in `{variables[0]}`" if variables else "leave it out"
    return _refused("credentials.foreign", text, step, here[0])


def _forbidden(shows: Iterable[Presented], to: Destination, reason: str, origin: Origin) -> Refused | None:
    for one in shows:
        text = f"the request shows a credential {one.where}, and none goes to `{to.host}`{_why(reason)}"
        return Refused(rule="credentials.none", text=text, next_step="leave it out", origin=origin)
    return None


def _refused(name: str, text: str, step: str, rule: CredentialRule) -> Refused:
    return Refused(rule=name, text=text, next_step=step, origin=rule.origin)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


def _cut(path: str) -> str:
    return shown_path if len(shown_path := "".join(map(_visible, path))) <= 80 else f"{shown_path[:79]}…"


def _visible(character: str) -> str:
    return character if character in "/%" else shown_name(character)
