"""Where Codex lets its commands connect to, as host rules. Its patterns are ours, except for those inside a label."""

from __future__ import annotations

from ringfence.agents.exchange.draft import Draft
from ringfence.agents.exchange.source import Source
from ringfence.model.decision import Verdict
from ringfence.policy.schema import escaped

READING = ("GET", "HEAD", "OPTIONS")
"""What Codex lets through in its limited mode."""

_OF_PROXY = "about the proxy of Codex; Ringfence has its own gateway"
_VERDICTS = {"allow": Verdict.ALLOW, "deny": Verdict.DENY}
_PROXY_WORDS = """
    http_port socks_port allow_upstream_proxy proxy_url socks_url enable_socks5 enable_socks5_udp mitm
"""
_PROXY_KEYS = frozenset(_PROXY_WORDS.split())


def import_workspace_network(top: Source, table: Source | None, *, limited: bool) -> None:
    """`sandbox_workspace_write.network_access`, which is off unless it is written."""
    access = None if table is None else table.take_flag("network_access")
    if access:
        assert table is not None
        text = "hosts that no rule names ask; Codex lets its commands reach all of them"
        top.draft.choose_default(Verdict.ASK, table.origin("network_access"))
        top.draft.tighten(table.origin("network_access"), table.name("network_access"), text)
    elif access is False and table is not None:
        top.draft.choose_default(Verdict.DENY, table.origin("network_access"))
    elif limited:
        top.draft.choose_default(Verdict.DENY, top.origin("sandbox_mode"))


def import_network(top: Source) -> None:
    """The managed network of requirements, and the proxy that people switch on by themselves."""
    for key in ("experimental_network", "network_proxy"):
        table = top.take_table(key)
        if table is not None:
            import_network_table(table)
    features = top.take_table("features")
    proxy = None if features is None else features.take_table("network_proxy")
    if proxy is not None:
        import_network_table(proxy)
    if features is not None:
        features.lose_rest("about Codex itself, not about what it may do", restricts=False)


def import_network_table(table: Source) -> None:
    """One table about the network: hosts, and what goes with them."""
    enabled = table.take_flag("enabled")
    if enabled is False:
        table.draft.choose_default(Verdict.DENY, table.origin("enabled"))
    methods = READING if table.take_text("mode") == "limited" else ()
    for host, word, origin in table.take_pairs("domains"):
        _add(table, host, _VERDICTS.get(word), origin, methods, word=word)
    for key, verdict in (("allowed_domains", Verdict.ALLOW), ("denied_domains", Verdict.DENY)):
        for host, origin in table.take_texts(key):
            _add(table, host, verdict, origin, methods, word=verdict.value)
    if table.take_flag("managed_allowed_domains_only"):
        table.draft.choose_default(Verdict.DENY, table.origin("managed_allowed_domains_only"))
    if table.take_flag("allow_local_binding"):
        reason = "a sandbox has a loopback of its own; ports of the host's are named one by one in `network.host_ports`"
        table.draft.lose(
            table.origin("allow_local_binding"), table.name("allow_local_binding"), reason, restricts=False
        )
    for key in table.rest():
        reason = _OF_PROXY if key in _PROXY_KEYS else "there is no such setting in a policy"
        opens = key in _PROXY_KEYS or "unix_sockets" in key or key.startswith("dangerously_")
        table.draft.lose(table.origin(key), table.name(key), reason, restricts=not opens)


def _add(
    table: Source, host: str, verdict: Verdict | None, origin: str, methods: tuple[str, ...], *, word: str
) -> None:
    item = f"{escaped(word)} `{escaped(host)}`"
    if verdict is None:
        table.draft.lose(origin, item, "a host is `allow` or `deny`", restricts=True)
    elif verdict is Verdict.ALLOW:
        table.draft.add_host(host, verdict, origin, item, methods=methods)
    else:
        _deny(table.draft, host, origin, item)


def _deny(draft: Draft, host: str, origin: str, item: str) -> None:
    """Deny a host; a pattern inside a label becomes the domain around it, which is more."""
    labels = host.rstrip(".").split(".")
    first = 1 if labels[0] in {"*", "**"} else 0
    odd = [at for at, label in enumerate(labels) if at >= first and ("*" in label or "?" in label)]
    if not odd:
        draft.add_host(host, Verdict.DENY, origin, item)
        return
    domain = labels[odd[-1] + 1 :]
    if len(domain) < 2 or "?" in host:
        draft.lose(origin, item, "a pattern of hosts has `*` for whole labels at its beginning only", restricts=True)
        return
    wider = f"*.{'.'.join(domain)}"
    draft.add_host(wider, Verdict.DENY, origin, item)
    draft.tighten(origin, item, f"denies `{wider}`, which is more")
