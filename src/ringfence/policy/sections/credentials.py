"""`[[credentials]]`: which credential the gateway puts into which requests, where its value is, where none may go."""

from __future__ import annotations

import re

import msgspec

from ringfence.model.host import HOST_LOOPBACK
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import (
    Attach,
    CredentialForm,
    CredentialRule,
    CredentialSource,
    NoCredentials,
    SourceKind,
)
from ringfence.policy.globs import Glob
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped

MAX_RULES = 1_000

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_METHOD = re.compile(r"[A-Za-z]{1,20}")
_FIELD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_FRAMING = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "cookie", "range")
)
_OWNED: dict[CredentialForm, tuple[str, ...]] = {
    CredentialForm.GIT: ("/{owner}/**",),
    CredentialForm.NPM: ("/@{owner}/**",),
    CredentialForm.DOCKER: (
        *("/v2/{owner}/**", "/v2", "/token", "/v2/token", "/v2/auth", "/service/token", "/jwt/auth", "/oauth2/token"),
    ),
}
"""Where the path of a request names whose it is, for the forms that have one such place. A registry hands out tokens
beside it; those are held to the same paths."""
_NAMED = {CredentialForm.HEADER: "header", CredentialForm.QUERY: "query"}
_WITH_USER = frozenset(
    (CredentialForm.BASIC, CredentialForm.GIT, CredentialForm.PYPI, CredentialForm.DOCKER, CredentialForm.POSTGRES)
)


class CredentialSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about credentials."""

    rules: tuple[CredentialRule, ...] = ()
    forbidden: tuple[NoCredentials, ...] = ()


def section(top: Table, layer: Layer) -> CredentialSection:
    """Read every `[[credentials]]`."""
    rules: list[CredentialRule] = []
    about = "A credential that the gateway puts into requests."
    for table in top.take_tables("credentials", most=MAX_RULES, about=about):
        rule = _rule(table, {one.id: one.origin.source for one in rules})
        if layer is Layer.PRESET:
            table.faults.add(table.path, "a preset is the same for everybody, and binds no credential")
        if rule is not None:
            rules.append(rule)
    about = "Hosts to which no credential goes, whoever binds one, and none of the agent's own."
    forbidden = [_none(table) for table in top.take_tables("no_credentials", most=MAX_RULES, about=about)]
    return CredentialSection(rules=tuple(rules), forbidden=tuple(one for one in forbidden if one is not None))


def _none(table: Table) -> NoCredentials | None:
    hosts = _hosts(table, binds=False)
    reason = _reason(table)
    complete = table.require("hosts")
    table.finish()
    return NoCredentials(hosts=hosts, reason=reason, origin=table.faults.origin(table.path)) if complete else None


def _rule(table: Table, ids: dict[str, str]) -> CredentialRule | None:
    name = _name(table, ids)
    source = _source(table.take_table("source", about="Where the value is; exactly one of its keys."))
    form = table.take_choice("form", CredentialForm, about="How a request carries it.")
    hosts = _hosts(table, binds=True, port=5432 if form is CredentialForm.POSTGRES else 443)
    methods = _matching(table, "methods", "HTTP methods; any where it is missing.", _METHOD, "an HTTP method")
    paths = _paths(table)
    owners = _matching(
        table, "owners", "Accounts that the path may name, for `git`, `npm` and `docker`.", _OWNER, "an account"
    )
    field = _field(table, form)
    user = _user(table, form)
    variables = _matching(
        table, "variables", "Variables that hold its placeholder inside.", _VARIABLE, "the name of a variable"
    )
    about = "`placeholder`: requests that show its placeholder get it. `always`: those without a credential as well."
    attach = table.take_choice("attach", Attach, about=about)
    if form is CredentialForm.AWS and variables:
        table.fault("variables", "`variables` is not for `aws-sigv4`: the placeholders are in `AWS_ACCESS_KEY_ID` ...")
    if form is CredentialForm.AWS and attach is Attach.ALWAYS:
        table.fault("attach", "`always` is not for `aws-sigv4`: a request has to be signed to be signed again")
    for key in ("methods", "paths"):
        if form is CredentialForm.POSTGRES and table.has(key):
            table.fault(key, f"`{key}` is not for `postgres`: a login has none")
    reason = _reason(table)
    complete = table.require("id", "source", "hosts", "form")
    table.finish()
    if not complete or source is None or form is None or not hosts or not name:
        return None
    return CredentialRule(
        id=name,
        source=source,
        form=form,
        field=field,
        user=user,
        hosts=hosts,
        methods=tuple(method.upper() for method in methods),
        paths=(*paths, *_owned(table, form, owners)),
        variables=variables,
        attach=attach or Attach.PLACEHOLDER,
        reason=reason,
        origin=table.faults.origin(table.path),
    )


def _reason(table: Table) -> str:
    return table.take_text("reason", "", about="Why, for the person who is denied.") or ""


def _name(table: Table, ids: dict[str, str]) -> str:
    name = table.take_text("id", "", about="The credential's name in decisions and on record.") or ""
    if name in ids:
        table.fault("id", f"id `{name}` is already used at `{ids[name]}`")
    elif table.has("id") and not _ID.fullmatch(name):
        table.fault("id", f"id `{escaped(name)}` is not letters, digits, `.`, `_` and `-`")
    else:
        return name
    return ""


def _source(table: Table) -> CredentialSource | None:
    keyring = table.take_text("keyring", about="The name under which `ringfence credentials add` stored it.")
    variable = table.take_text("environment", about="A variable of yours; for `aws-sigv4` how its three names begin.")
    file = table.take_text("file", about="A file, by an absolute path or one from `~/`; nobody else may read it.")
    command = [text for _, text in table.take_texts("command", about="A command outside the sandbox that prints it.")]
    written = [kind for kind in SourceKind if table.has(kind.value)]
    table.finish()
    if len(written) != 1:
        if written or table.path:
            listed = ", ".join(f"`{kind.value}`" for kind in SourceKind)
            table.faults.add(table.path, f"`source` has exactly one of {listed}")
        return None
    kind = written[0]
    match kind:
        case SourceKind.KEYRING:
            fits, expected = _ID.fullmatch(keyring or "") is not None, "the name of a stored credential"
        case SourceKind.ENVIRONMENT:
            fits, expected = _VARIABLE.fullmatch(variable or "") is not None, "the name of a variable"
        case SourceKind.FILE:
            fits, expected = (file or "").startswith(("/", "~/")), "a path that begins with `/` or `~/`"
        case SourceKind.COMMAND:
            fits, expected = bool(command) and bool(command[0]), "a list of words, the first of which is a program"
    if not fits:
        table.fault(kind.value, f"`{kind.value}` is not {expected}")
        return None
    return CredentialSource(kind=kind, name=keyring or variable or file or "", command=tuple(command))


def _hosts(table: Table, *, binds: bool, port: int = 443) -> tuple[str, ...]:
    found = []
    about = (
        "`x.test`, `*.x.test` (what is below it), `**.x.test` (both), each with `:port`; 443 where none is written, "
        "5432 for `postgres`."
    )
    for path, text in table.take_texts("hosts", about=about):
        try:
            pattern = HostPattern.parse(text)
        except ValueError as error:
            table.faults.add(path, str(error))
            continue
        fault = _unfit(pattern) if binds else ""
        if fault:
            table.faults.add(path, f"`{escaped(text)}` {fault}")
        else:
            # SECURITY: a certificate names a host on whatever port; whoever can listen on another one of a shared
            # machine would get the credential.
            held = pattern.port or (port if binds else None)
            found.append(str(msgspec.structs.replace(pattern, port=held)))
    if table.is_empty("hosts"):
        table.fault("hosts", "`hosts` is empty; name at least one host")
    return tuple(found)


def _unfit(pattern: HostPattern) -> str:
    if pattern.kind in {PatternKind.ANY, PatternKind.NETWORK}:
        return "cannot have a credential: only a name has a certificate that says who gets it"
    if pattern.name == HOST_LOOPBACK:
        return "cannot have a credential: ports of this machine have no certificate"
    if pattern.kind is not PatternKind.EXACT and "." not in pattern.name:
        return "cannot have a credential: hosts of everybody lie below it"
    return ""


def _paths(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("paths", about="Globs over the path of the URL; any where it is missing."):
        try:
            Glob(text)
        except ValueError as error:
            table.faults.add(path, str(error))
            continue
        if text.startswith("/") and "?" not in text:
            found.append(text)
        else:
            table.faults.add(path, f"`{escaped(text)}` is not the path of a URL; it begins with `/` and has no query")
    # SECURITY: an empty list would mean every path, which nobody who wrote it meant.
    for key in ("paths", "methods", "owners"):
        if table.is_empty(key):
            table.fault(key, f"`{key}` is empty: leave it out, or name at least one")
    return tuple(found)


def _owned(table: Table, form: CredentialForm, owners: tuple[str, ...]) -> tuple[str, ...]:
    if owners and form not in _OWNED:
        listed = ", ".join(f"`{one.value}`" for one in _OWNED)
        table.fault("owners", f"`owners` is for {listed}; write the paths that name the account under `paths`")
        return ()
    return tuple(dict.fromkeys(path.format(owner=owner) for owner in owners for path in _OWNED[form]))


def _matching(table: Table, key: str, about: str, shape: re.Pattern[str], expected: str) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts(key, about=about):
        if shape.fullmatch(text):
            found.append(text)
        else:
            table.faults.add(path, f"`{escaped(text)}` is not {expected}")
    return tuple(found)


def _field(table: Table, form: CredentialForm | None) -> str:
    header = table.take_text("header", about='For `form = "header"`: the name of the header.')
    query = table.take_text("query", about='For `form = "query"`: the name of the key in the query.')
    wanted = None if form is None else _NAMED.get(form)
    for key, text in (("header", header), ("query", query)):
        if text is None:
            if key == wanted:
                table.faults.add(table.path, f'`{key}` is missing here: `form = "{key}"` needs its name')
        elif form is not None and key != wanted:
            table.fault(key, f'`{key}` is only for `form = "{key}"`')
        elif not _FIELD.fullmatch(text) or (key == "header" and _is_reserved(text)):
            table.fault(key, f"`{escaped(text)}` cannot be the name of a {key} that carries a credential")
        else:
            return text.lower() if key == "header" else text
    return ""


def _is_reserved(header: str) -> bool:
    return header.lower() in _FRAMING or header.lower().startswith(("proxy-", "sec-"))


def _user(table: Table, form: CredentialForm | None) -> str:
    user = table.take_text("user", about="The user name for `basic`, `git`, `pypi`, `docker` and `postgres`.")
    if user is None:
        if form in {CredentialForm.BASIC, CredentialForm.DOCKER}:
            table.faults.add(table.path, f'`user` is missing here: `form = "{form}"` needs it')
        return {CredentialForm.GIT: "x-access-token", CredentialForm.PYPI: "__token__"}.get(form, "") if form else ""
    if form is not None and form not in _WITH_USER:
        table.fault("user", "`user` is only for `basic`, `git`, `pypi`, `docker` and `postgres`")
    elif not user or ":" in user or not user.isprintable() or not user.isascii():
        table.fault("user", f"`{escaped(user)}` cannot be a user name: it is visible ASCII without `:`")
    return user
