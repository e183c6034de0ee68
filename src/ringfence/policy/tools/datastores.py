"""Values of database clients that have a grammar of their own: where they connect, and what their own commands do.
Whether a change leaves this machine is decided when all arguments are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Fact, Reading, Role

_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1|0\.0\.0\.0|.*\.localhost", re.IGNORECASE)
_PARAMETER = re.compile(r"(?:^|[?&;\s])(?:host|hostaddr|server|data source)\s*=\s*'?([^\s&';]+)", re.IGNORECASE)
_CONNECTION = re.compile(r"(?:^|\s)(?:host|hostaddr|service|passfile|sslkey|sslrootcert)\s*=", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_SHOWS = re.compile(
    r"(?:select|with|show|explain|describe|desc|values|table|use|begin|commit|rollback|help|status|\?|\\[a-z?]+\b)",
    re.IGNORECASE,
)
_CHANGES = re.compile(
    r"\b(?:insert|update|delete|merge|replace\s+into|create|alter|drop|truncate|grant|revoke|copy|import|load|call|do|into"
    r"|lo_\w+|pg_\w*(?:terminate|cancel|reload|rotate|write|switch|promote|import|drop|create)\w*|setval|nextval|set_config"
    r"|dblink\w*|query_to_xml)\b|\\(?:copy|ir?|include\w*|gexec|lo_\w+|c|connect|password|!)",
    re.IGNORECASE,
)

_MONGO_READS = re.compile(
    r"(?:show \w+|db(?:\.\w+|\[[^\]]*\])*\.(?:find|findOne|count|countDocuments|estimatedDocumentCount|distinct|stats"
    r"|getIndexes|getCollectionNames|version|serverStatus|hello)\([^;]*\)"
    r"(?:\.(?:limit|sort|skip|toArray|pretty|count|explain)\([^;]*\))*)"
)


def _database(word: Word, reading: Reading) -> None:
    """The name of a database, an address, or `host=... dbname=...`."""
    text = word.text
    if text is None:
        GIVES["host"](word, reading)
    elif scheme_of(text):
        rest = text.partition("://")[2]
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        hosts = authority.rpartition("@")[2].split(",")
        _hosts([*hosts, *_PARAMETER.findall(unquote(rest))], reading)
    elif _CONNECTION.search(text) or re.match(r"[\w ]+=", text):
        _hosts(_PARAMETER.findall(text), reading)


def _server(word: Word, reading: Reading) -> None:
    """A host, several hosts, or the folder of a socket."""
    if word.text is None:
        GIVES["host"](word, reading)
    else:
        _hosts(word.text.removeprefix("tcp:").split(","), reading)


def _address(word: Word, reading: Reading) -> None:
    """`HOST[:PORT][/DATABASE]`, an address, or the name of a database (`mongosh`)."""
    text = word.text
    if text is None or scheme_of(text):
        _database(word, reading)
    elif re.search(r"[:/]|\.[a-z]{2,}", text):
        _hosts([text.partition("/")[0]], reading)


def _hosts(hosts: list[str], reading: Reading) -> None:
    for host in hosts:
        name = unquote(host).strip()
        if name and not name.startswith(("/", "@", "\\")) and name != ".":
            GIVES["host"](Word(text=name, raw=name), reading)


_REDIS_READS = frozenset(
    {
        "acl", "auth", "bitcount", "bitpos", "client", "command", "cluster", "config", "dbsize", "debug", "dump",
        "echo", "exists", "expiretime", "geodist", "geohash", "geopos", "geosearch", "get", "getbit", "getrange",
        "hello", "hexists", "hget", "hgetall", "hkeys", "hlen", "hmget", "hrandfield", "hscan", "hstrlen", "hvals",
        "info", "keys", "lastsave", "latency", "lcs", "lindex", "llen", "lolwut", "lpos", "lrange", "memory", "mget",
        "module", "monitor", "object", "pfcount", "ping", "psubscribe", "pttl", "pubsub", "randomkey", "role", "scan",
        "scard", "sdiff", "select", "sinter", "sismember", "slowlog", "smembers", "smismember", "srandmember", "sscan",
        "strlen", "subscribe", "sunion", "time", "touch", "ttl", "type", "wait", "xinfo", "xlen", "xpending", "xrange",
        "xread", "xrevrange", "zcard", "zcount", "zdiff", "zinter", "zlexcount", "zmscore", "zrandmember", "zrange",
        "zrangebylex", "zrangebyscore", "zrank", "zrevrange", "zrevrank", "zscan", "zscore", "zunion",
    }
)  # fmt: skip
_REDIS_CHANGES = {"acl": {"setuser", "deluser", "load", "save"}, "client": {"kill", "pause"}, "debug": {"*"},
                  "cluster": {"reset", "failover", "forget", "meet", "flushslots"}, "latency": {"reset"},
                  "memory": {"purge"}, "slowlog": {"reset"}}  # fmt: skip
_REDIS_PROGRAMS = {("config", "set"), ("module", "load"), ("module", "loadex"), ("slaveof", ""), ("replicaof", "")}


def _redis_command(word: Word, reading: Reading) -> None:
    """The words of a command; `redis_change` looks at them together when all are read."""
    reading.facts.append(Fact(EffectKind.PUBLISH, shown(word), Role.PHRASE, word))


def redis_change(reading: Reading) -> None:
    """What a Redis command does: reading nothing, changing here nothing, losing everything, loading code."""
    words = [fact.object.lower() for fact in reading.facts if fact.kind is EffectKind.PUBLISH and fact.word is not None]
    reading.facts = [fact for fact in reading.facts if fact.kind is not EffectKind.PUBLISH or fact.word is None]
    first, second = (*words, "", "")[:2]
    if first in {"flushall", "flushdb", "shutdown"}:
        reading.add(EffectKind.DESTROY, f"data: {' '.join(words)}")
    if {(first, second), (first, "")} & _REDIS_PROGRAMS and (first, second) != ("replicaof", "no"):
        reading.add(EffectKind.CONFIGURE, f"the server: {' '.join(words[:3])}")
    told = _REDIS_CHANGES.get(first, set())
    reads = first in _REDIS_READS and second not in told and "*" not in told
    if words and reads:
        _without_publish(reading)
    finish(reading)


def finish(reading: Reading) -> None:
    """Connections get the port; a change of a database on this machine is nobody else's."""
    reading.facts = [_with_port(fact, reading.port) for fact in reading.facts]
    hosts = [shown(fact.word) for fact in reading.facts if fact.kind is EffectKind.CONNECT and fact.word is not None]
    if all(_LOOPBACK.fullmatch(host) for host in hosts):
        _without_publish(reading)


def sql_client(reading: Reading) -> None:
    """A client that was given SQL which only reads changes nothing."""
    codes = [(one.code, shown(one.words[0])) for one in reading.started if one.code]
    scripts = any(fact.kind is EffectKind.EXECUTE for fact in reading.facts)
    if codes and not scripts and all((_finds if code == "mongo" else only_reads)(text) for code, text in codes):
        _without_publish(reading)
    embedded(reading)
    finish(reading)


def embedded(reading: Reading) -> None:
    """Without commands and scripts a client takes its standard input for them."""
    if not any(one.code for one in reading.started) and not any(
        fact.kind is EffectKind.EXECUTE for fact in reading.facts
    ):
        reading.add(EffectKind.EXECUTE, "standard input")


def _without_publish(reading: Reading) -> None:
    reading.facts = [fact for fact in reading.facts if fact.kind is not EffectKind.PUBLISH]


def _with_port(fact: Fact, port: int) -> Fact:
    if fact.kind is not EffectKind.CONNECT or fact.port or not port or fact.word is None or fact.word.text is None:
        return fact
    host = f"[{fact.object}]" if ":" in fact.object else fact.object
    return fact._replace(object=f"{host}:{port}", port=port)


def _finds(text: str) -> bool:
    """Whether a line of `mongosh` surely changes nothing."""
    return _MONGO_READS.fullmatch(text.strip()) is not None


def only_reads(text: str) -> bool:
    """Whether SQL, or a command of a client, surely changes nothing."""
    plain = _LITERAL.sub("''", _COMMENT.sub(" ", text))
    statements = [one.strip() for one in plain.split(";")]
    return all(not one or (_SHOWS.match(one) and not _CHANGES.search(one)) for one in statements)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "database": _database,
    "database-address": _address,
    "database-server": _server,
    "redis-command": _redis_command,
}
"""Kinds of value with a grammar of their own, by name."""

FINISH: dict[str, Callable[[Reading], None]] = {
    "database": finish,
    "embedded-database": embedded,
    "redis": redis_change,
    "sql-client": sql_client,
}
"""What is done when all arguments are read, by the reader that a table names."""
