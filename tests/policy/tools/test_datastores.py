"""Database clients: where they connect, and which changes leave this machine."""

from __future__ import annotations

import pytest

from ringfence.policy.shell.parse import parse
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools import compiling
from ringfence.policy.tools.datastores import VALUES, only_reads
from ringfence.policy.tools.grammar import Grammar
from ringfence.policy.tools.invocation import read
from ringfence.policy.tools.reading import Reading

_TOOLS = {
    name: tool
    for file in ("postgresql", "mysql", "data-stores")
    for tool in compiling.written(file)
    for name in tool.names
}


def _value(kind: str, text: str | None, raw: str = "") -> list[str]:
    reading = Reading("tool")
    VALUES[kind](Word(text=text, raw=raw or text or ""), reading)
    return reading.shown()


def _effects(shell: str) -> list[str]:
    words = parse(shell, home=None).commands[0].words
    tool = _TOOLS[words[0].text or ""]
    return sorted(read(Grammar(tool, tool, "", None), words[0].text or "", words[1:]).shown())


@pytest.mark.parametrize(
    ("kind", "text", "effects"),
    [
        ("database", "dev", []),
        ("database", "postgresql:///dev", []),
        ("database", "postgresql://%2Fvar%2Frun/dev", []),
        ("database", "postgresql://me:w@rd@db.example/x", ["connect db.example"]),
        ("database", "postgresql://one.example:1,two.example:2/x", ["connect one.example:1", "connect two.example:2"]),
        ("database", "postgresql:///x?host=db.example", ["connect db.example"]),
        ("database", "dbname=x host=db.example", ["connect db.example"]),
        ("database", "host='db.example' dbname=x", ["connect db.example"]),
        ("database", "dbname=x", []),
        ("database-server", "/var/run/postgresql", []),
        ("database-server", "localhost", ["connect localhost"]),
        ("database-server", "a.example,b.example", ["connect a.example", "connect b.example"]),
        ("database-server", "tcp:db.example", ["connect db.example"]),
        ("database-address", "dev", []),
        ("database-address", "db.example/x", ["connect db.example"]),
        ("database-address", "mongodb://db.example/x", ["connect db.example"]),
    ],
)
def test_an_address_of_a_database_is_read_in_all_its_forms(kind: str, text: str, effects: list[str]) -> None:
    assert _value(kind, text) == effects


@pytest.mark.parametrize("kind", ["database", "database-server", "database-address"])
def test_an_address_that_only_running_tells_may_be_any_host(kind: str) -> None:
    assert _value(kind, None, "$URL") == ["connect $URL"]


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "\\dt",
        "\\d+ users; select 'insert into x'",
        "-- drop it\nselect 1",
        "explain select * from t",
        "SHOW TABLES",
    ],
)
def test_sql_that_reads_is_known(text: str) -> None:
    assert only_reads(text)


@pytest.mark.parametrize(
    "text",
    [
        "insert into t values (1)",
        "select 1; drop table t",
        "with x as (delete from t returning *) select * from x",
        "explain analyze update t set a=1",
        "select * into u from t",
        "select pg_terminate_backend(1)",
        "\\i x.sql",
        "\\copy t from x",
        "select '\\''; drop table t; --'",
        "frobnicate",
    ],
)
def test_sql_that_may_change_something_does_not_count_as_reading(text: str) -> None:
    assert not only_reads(text)


def test_a_change_here_is_nobody_elses_and_a_change_there_is() -> None:
    assert [_effects(f"redis-cli {host} set a 1") for host in ("", "-h localhost", "-h cache.example")] == [
        [],
        ["connect localhost:6379"],
        ["connect cache.example:6379", "publish the database"],
    ]


def test_one_host_among_several_that_is_not_this_machine_counts() -> None:
    assert _effects("createdb -h localhost,db.example x") == [
        "connect db.example:5432",
        "connect localhost:5432",
        "publish the database",
    ]


def test_a_client_without_commands_takes_its_standard_input_for_them() -> None:
    assert [_effects("psql dev"), _effects("sqlite3 dev.db"), _effects("psql -c 'select 1'")] == [
        ["execute standard input"],
        ["execute standard input", "write dev.db"],
        ["code:sql select 1"],
    ]
