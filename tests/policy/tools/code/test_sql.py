"""What SQL and the own commands of its clients do: lose data, run programs, read and write files."""

from __future__ import annotations

import pytest

from ringfence.policy.tools.code import read_code


def _effects(language: str, text: str) -> list[str]:
    reading = read_code(language, text, home="/home/me")
    return sorted({*reading.shown(), *(name for name, _, _ in reading.concerns)})


@pytest.mark.parametrize(
    ("language", "text", "effects"),
    [
        ("sql", "select * from users where id = 1", []),
        ("sql", "update t set a = 1 where id = 2", []),
        ("sql", "select 1 for update", []),
        ("sql", "drop table users", ["destroy data: drop table users"]),
        ("sql", "delete from users", ["destroy data: delete from users"]),
        ("sql", "/* x */ TRUNCATE users", ["destroy data: TRUNCATE users"]),
        ("sql", "\\!id", ["shell id"]),
        ("sql", "select 1 \\! id", ["shell id"]),
        ("sql", "copy t to program 'id'", ["shell id"]),
        ("sql", "copy/**/t to/**/program 'id'", ["shell id"]),
        ("sql", "\\o |id", ["shell id"]),
        ("sql", "select 1 \\g |id", ["shell id"]),
        ("sql", "\\set x `id`", ["shell id"]),
        ("sql", "system id", ["shell id"]),
        ("sql", "pager sh x", ["shell sh x"]),
        ("sql", "\\copy t to '/tmp/x'", ["write /tmp/x"]),
        ("sql", "\\copy t from 'x.csv' csv", ["read x.csv"]),
        ("sql", "load data local infile '/etc/passwd' into table t", ["read /etc/passwd"]),
        ("sql", "select 1 into outfile '/tmp/x'", ["write /tmp/x"]),
        ("sql", "select load_file('/etc/passwd')", ["read /etc/passwd"]),
        ("sql", "\\i x.sql", ["execute x.sql"]),
        ("sql", "source x.sql", ["execute x.sql"]),
        ("sql", "\\c x me db.example 6432", ["connect db.example:6432"]),
        ("sql", "\\c x", []),
        ("sql", "alter system set archive_command = 'id'", ["configure the server: archive_command"]),
        ("sql", "create extension plpython3u", ["code.builds-code"]),
        ("sqlite", ".tables", []),
        ("sqlite", "drop table users", []),
        ("sqlite", ".shell id", ["shell id"]),
        ("sqlite", "select 1;\n.system id", ["shell id"]),
        ("sqlite", ".read x.sql", ["execute x.sql"]),
        ("sqlite", ".read |id", ["shell id"]),
        ("sqlite", ".output stdout", []),
        ("sqlite", ".once -x out.csv", ["write out.csv"]),
        ("sqlite", ".import --csv ~/.ssh/id_rsa t", ["read /home/me/.ssh/id_rsa"]),
        ("sqlite", ".backup /tmp/x.db", ["write /tmp/x.db"]),
        ("sqlite", "attach '/tmp/x.db' as x", ["write /tmp/x.db"]),
        ("sqlite", "select readfile('/etc/passwd')", ["read /etc/passwd"]),
        ("sqlite", "select writefile('/tmp/x', 'y')", ["write /tmp/x"]),
        ("sqlite", "vacuum into '/tmp/x'", ["write /tmp/x"]),
        ("sqlite", ".load ./x", ["code.builds-code"]),
        ("duckdb", "select * from 'a.parquet'", ["read a.parquet"]),
        ("duckdb", "copy (select 1) to '/tmp/x.csv'", ["write /tmp/x.csv"]),
        ("duckdb", "select * from read_csv('https://host.example/x')", ["connect host.example:443"]),
        ("duckdb", "install x from community", ["code.builds-code"]),
        ("mongo", "db.users.find({a: 1})", []),
        ("mongo", "db.users.drop()", ["destroy data: .drop()"]),
        ("mongo", "require('child_process').execSync('id')", ["code.builds-code"]),
    ],
)
def test_a_statement_or_command_is_read(language: str, text: str, effects: list[str]) -> None:
    assert _effects(language, text) == effects
