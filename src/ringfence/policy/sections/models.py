"""`[model]`: which models may be asked, how much a session may use of them, and where its requests go.

SECURITY: a repository may name models that are left, and less of them; it never says where prompts are sent, nor what
they cost.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from ringfence.model.host import HOST_LOOPBACK, parse_host
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.effective import ModelHost, ModelList, ModelPrice, ModelRoute, Origin
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped

MOST_TOKENS = 1_000_000_000_000
MOST_PRICES = 1_000
MOST_ROUTES = 100
MOST_COST = 1_000_000_000
"""In the currency of the prices."""

_GLOB = re.compile(r"[A-Za-z0-9._:/@+*?\[\]!-]{1,200}")
_BASE = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", HOST_LOOPBACK})


class ModelSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about models."""

    read: tuple[bool, Origin] | None = None
    hosts: tuple[ModelHost, ...] = ()
    allowed: ModelList | None = None
    budget_tokens: tuple[int, Origin] | None = None
    budget_cost: tuple[int, Origin] | None = None
    prices: tuple[ModelPrice, ...] = ()
    routes: tuple[ModelRoute, ...] = ()


def section(table: Table, layer: Layer) -> ModelSection:
    """Read `[model]`."""
    about = "Whether the traffic with models is read and put on record. Every other key of `[model]` says so too."
    read = table.take_flag("read", about=about)
    hosts = tuple(
        ModelHost(hosts=text, origin=table.faults.origin(table.at("hosts")))
        for text in _hosts(table, "Hosts with the interface of a model, beside those that are known.")
    )
    allowed = _globs(table, "models", "The only models that may be asked: globs over their names.")
    about = "Tokens that a session may use, in and out together; cached ones count."
    tokens = table.take_integer("budget_tokens", least=1, most=MOST_TOKENS, about=about)
    about = "What a session may cost, in the currency of the prices, such as `2.50`."
    cost = table.take_amount("budget_cost", most=MOST_COST, about=about)
    about = (
        "What a million tokens of some models cost. Without a price of its own, no model is asked under `budget_cost`."
    )
    prices = [_price(one) for one in table.take_tables("price", most=MOST_PRICES, about=about)]
    about = "Another address for the requests to models."
    routes = [_route(one, layer) for one in table.take_tables("route", most=MOST_ROUTES, about=about)]
    if read is False and layer is Layer.REQUIREMENTS:
        table.fault("read", "requirements only tighten: `read = false` belongs in `policy.toml`")
    table.finish()
    return ModelSection(
        read=None if read is None else (read, table.faults.origin(table.at("read"))),
        hosts=hosts,
        allowed=ModelList(models=allowed, origin=table.faults.origin(table.at("models"))) if allowed else None,
        budget_tokens=None if tokens is None else (tokens, table.faults.origin(table.at("budget_tokens"))),
        budget_cost=None if cost is None else (cost, table.faults.origin(table.at("budget_cost"))),
        prices=tuple(one for one in prices if one is not None),
        routes=tuple(one for one in routes if one is not None),
    )


def _price(table: Table) -> ModelPrice | None:
    models = _globs(table, "models", "The models that cost this: globs over their names.")
    paid = table.take_amount("input", most=MOST_COST, about="A million tokens in.")
    about = "A million tokens that the provider had in its cache; as much as others where it is not said."
    cached = table.take_amount("cached_input", most=MOST_COST, about=about)
    about = "A million tokens that are written to its cache; as much as others where it is not said."
    write = table.take_amount("cache_write", most=MOST_COST, about=about)
    output = table.take_amount("output", most=MOST_COST, about="A million tokens out, those of reasoning included.")
    complete = table.require("models", "input", "output")
    table.finish()
    if not complete or not models or paid is None or output is None:
        return None
    return ModelPrice(
        models=models,
        input=paid,
        cached_input=paid if cached is None else cached,
        cache_write=paid if write is None else write,
        output=output,
        origin=table.faults.origin(table.path),
    )


def _route(table: Table, layer: Layer) -> ModelRoute | None:
    hosts = _hosts(table, "The hosts whose requests to models go elsewhere; every one where it is missing.")
    about = "The address in place of the provider's own base address: `https://gateway.example.com/v1`."
    url = table.take_text("url", about=about)
    complete = table.require("url")
    table.finish()
    if layer is Layer.REQUIREMENTS:
        table.faults.add(table.path, "requirements only tighten; a route belongs in `policy.toml`")
    if not complete or url is None:
        return None
    return _address(table, url, hosts)


def _address(table: Table, url: str, hosts: tuple[str, ...]) -> ModelRoute | None:
    try:
        parts = urlsplit(url)
        host, port = parse_host(parts.hostname or "").name, parts.port
    except ValueError:
        table.fault("url", f"`{escaped(url)}` is not an `https://` address with a host")
        return None
    local = parts.hostname in _LOOPBACK
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        table.fault("url", "`url` is an `https://` address, or `http://` on this machine's own loopback")
        return None
    if parts.query or parts.fragment or parts.username or parts.password or not _BASE.fullmatch(parts.path):
        table.fault("url", "`url` is a host, a port and a plain path; credentials are bound under `[[credentials]]`")
        return None
    return ModelRoute(
        hosts=hosts,
        host=HOST_LOOPBACK if local else host,
        port=port or (443 if parts.scheme == "https" else 80),
        secure=parts.scheme == "https",
        base=parts.path.rstrip("/"),
        origin=table.faults.origin(table.path),
    )


def _hosts(table: Table, about: str) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("hosts", about=about):
        try:
            found.append(str(HostPattern.parse(text)))
        except ValueError as error:
            table.faults.add(path, str(error))
    return tuple(found)


def _globs(table: Table, key: str, about: str) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts(key, about=about):
        if _GLOB.fullmatch(text):
            found.append(text.lower())
        else:
            table.faults.add(path, f"`{escaped(text)}` is no name of a model, nor a glob over such names")
    if table.is_empty(key):
        table.fault(key, f"`{key}` is empty; name at least one model, such as `claude-*`")
    return tuple(found)
