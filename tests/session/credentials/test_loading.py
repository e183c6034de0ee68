"""Values come from outside the sandbox, stay there, and have something that stands for them inside."""

from __future__ import annotations

import itertools
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ringfence.egress.credentials.secret import Secret
from ringfence.policy.documents import read_document
from ringfence.policy.effective import CredentialPolicy
from ringfence.policy.layers import Layer
from ringfence.session.credentials.loading import Loaded, hidden, load, missing_variables
from ringfence.session.credentials.sources import Outside
from ringfence.session.credentials.store import Keeper, Store, StoreBroken

VALUE = "ghp_RealRealRealRealRealRealRealRealReal"
JSON = '{"AccessKeyId": "ASIAREALREALREALREAL", "SecretAccessKey": "real/secret", "SessionToken": "real-token"}'


class Ring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.values[service, username]


def _always(ring: Ring) -> Callable[[], Ring]:
    return lambda: ring


def _outside(folder: Path, environ: dict[str, str] | None = None) -> Outside:
    (folder / "work").mkdir(exist_ok=True)
    return Outside(
        environ={"PATH": os.environ["PATH"], **(environ or {})},
        home=str(folder),
        workspace=str(folder / "work"),
        store=Store(str(folder / "credentials.json"), _always(Ring())),
        can_read=lambda path: path.startswith(str(folder / "work")),
    )


def _bound(source: str, form: str = "bearer", more: str = "variables = ['GH_TOKEN']") -> CredentialPolicy:
    text = f"[[credentials]]\nid = 'key'\nsource = {source}\nform = '{form}'\nhosts = ['api.test']\n{more}\n"
    said = read_document(text.encode(), file="policy.toml", layer=Layer.USER).credentials
    return CredentialPolicy(rules=said.rules)


def _token() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda length: bytes(next(numbers) % 256 for _ in range(length))


def _secret_file(folder: Path, text: str = VALUE, mode: int = 0o600) -> Path:
    file = folder / "key"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_value_of_every_source_is_found(tmp_path: Path) -> None:
    outside = _outside(tmp_path, {"GH": VALUE})
    _secret_file(tmp_path, VALUE + "\n")
    outside.store.add("kept", Secret(VALUE), Keeper.KEYRING)
    outside.store.add("in-file", Secret(VALUE), Keeper.FILE)
    printing = f"{{ command = ['{sys.executable}', '-c', 'print(\"{VALUE}\")'] }}"

    for source in (
        "{ environment = 'GH' }",
        "{ file = '~/key' }",
        f"{{ file = '{tmp_path}/key' }}",
        "{ keyring = 'kept' }",
        "{ keyring = 'in-file' }",
        printing,
    ):
        loaded = load(_bound(source), outside, _token())
        assert [one.secret.reveal() for one in loaded.credentials] == [VALUE], source
        (name, shown) = loaded.variables[0]
        assert (name, shown[:4], len(shown), shown == VALUE) == ("GH_TOKEN", "ghp_", len(VALUE), False)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{ environment = 'NONE' }", "your environment has no variable `NONE`"),
        ("{ environment = 'SHORT' }", "it is shorter than 8 characters"),
        ("{ environment = 'LINES' }", "it has a character that is not visible ASCII"),
        ("{ keyring = 'nothing' }", "nothing is stored as `nothing`: `ringfence credentials add nothing`"),
        ("{ file = '~/missing' }", "`~/missing` cannot be read: no such file or directory"),
        ("{ file = '~/open' }", "`~/open` can be read by others, or is not yours: `chmod 600` it"),
        ("{ file = '~/work/key' }", "the sandbox can read `~/work/key` as well"),
        ("{ file = '~/link' }", "the sandbox can read `~/link` as well"),
        ("{ file = '~/work' }", "`~/work`"),
        ("{ file = '/dev/zero' }", "`/dev/zero` is no file"),
        ("{ command = ['no-such-program'] }", "there is no program `no-such-program`"),
        ("{ command = ['{home}/work/tool'] }", "lies in the workspace, where the agent could replace it"),
        ("{ command = ['./work/tool'] }", "there is no program `./work/tool`"),
        ("{ command = ['false'] }", "`false` ended with exit code 1"),
    ],
)
def test_what_is_no_source_is_said_and_what_it_would_have_held_is_kept_away(
    tmp_path: Path, source: str, why: str
) -> None:
    outside = _outside(tmp_path, {"SHORT": "abc", "LINES": "abcdefgh\nX-Evil: 1"})
    _secret_file(tmp_path).rename(tmp_path / "open")
    (tmp_path / "open").chmod(0o644)
    _secret_file(tmp_path).rename(tmp_path / "work" / "key")
    (tmp_path / "link").symlink_to(tmp_path / "work" / "key")
    tool = tmp_path / "work" / "tool"
    tool.write_text("#!/bin/sh\necho stolen\n")
    tool.chmod(0o755)
    policy = _bound(source.replace("{home}", str(tmp_path)))

    loaded = load(policy, outside, _token())

    assert (loaded.credentials, loaded.variables) == ((), ())
    assert why in loaded.notices[0]
    assert "GH_TOKEN" in missing_variables(policy, loaded)


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f'{{"Credentials": {JSON}}}',
        "[default]\naws_access_key_id = ASIAREALREALREALREAL\naws_secret_access_key=real/secret\n"
        "aws_session_token = real-token\n",
        "ASIAREALREALREALREAL\nreal/secret\nreal-token\n",
    ],
)
def test_keys_of_aws_are_read_in_the_forms_of_its_tools(tmp_path: Path, text: str) -> None:
    _secret_file(tmp_path, text)

    loaded = load(_bound("{ file = '~/key' }", "aws-sigv4", ""), _outside(tmp_path), _token())

    keys = loaded.credentials[0].aws
    assert keys is not None and keys.session is not None
    assert (keys.key, keys.secret.reveal(), keys.session.reveal()) == (
        "ASIAREALREALREALREAL",
        "real/secret",
        "real-token",
    )
    shown = dict(loaded.variables)
    assert list(shown) == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    assert (shown["AWS_ACCESS_KEY_ID"][:4], len(shown["AWS_ACCESS_KEY_ID"])) == ("ASIA", 20)


def test_no_variable_inside_has_a_value_under_whatever_name(tmp_path: Path) -> None:
    outside = _outside(tmp_path, {"GH": VALUE})
    loaded = load(_bound("{ environment = 'GH' }"), outside, _token())
    shown = dict(loaded.variables)["GH_TOKEN"]

    inside = hidden({"GH": VALUE, "URL": f"https://me:{VALUE}@api.test", "LANG": "C", "GH_TOKEN": "other"}, loaded)

    assert inside == {"GH": shown, "URL": f"https://me:{shown}@api.test", "LANG": "C", "GH_TOKEN": shown}


def test_each_session_has_placeholders_of_its_own(tmp_path: Path) -> None:
    outside = _outside(tmp_path, {"GH": VALUE})

    first, second = (load(_bound("{ environment = 'GH' }"), outside, os.urandom) for _ in range(2))

    assert first.variables != second.variables


def test_nothing_that_is_printed_or_written_as_json_has_a_value(tmp_path: Path) -> None:
    loaded = load(_bound("{ environment = 'GH' }"), _outside(tmp_path, {"GH": VALUE}), _token())

    assert VALUE not in repr(loaded) + str(loaded)
    with pytest.raises(TypeError):
        msgspec.json.encode(loaded)
    assert loaded != Loaded()


def test_a_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    path, ring = tmp_path / "state" / "credentials.json", Ring()
    store = Store(str(path), _always(ring))
    store.add("a", Secret("value-of-a"), Keeper.FILE)
    store.add("b", Secret("value-of-b"), Keeper.KEYRING)

    assert store.names() == {"a": Keeper.FILE, "b": Keeper.KEYRING}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "value-of-b" not in path.read_text()
    with pytest.raises(StoreBroken, match="there is none that can be used here"):
        Store(str(path), lambda: None).get("b")

    assert (store.remove("b"), store.remove("b"), ring.values) == (True, False, {})
    path.chmod(0o644)
    with pytest.raises(StoreBroken, match="can be read by others"):
        store.get("a")
    path.chmod(0o600)
    path.write_text('{"values": {"a": "value-of-a", }')
    with pytest.raises(StoreBroken) as broken:
        store.get("a")
    assert "value-of-a" not in str(broken.value) + repr(broken.value.__cause__)


def test_the_url_of_a_database_holds_a_placeholder_inside_and_its_password_goes_nowhere(tmp_path: Path) -> None:
    url = "postgres://app:real%2Fpassword@api.test/shop?sslmode=require"
    outside = _outside(tmp_path, {"DB": url})

    loaded = load(_bound("{ environment = 'DB' }", "postgres", "variables = ['DATABASE_URL']"), outside, _token())

    [one] = loaded.credentials
    assert (one.secret, one.rule.user) == (Secret("real/password"), "app")
    shown = url.replace("real%2Fpassword", one.placeholder)
    assert loaded.variables == (("DATABASE_URL", shown),)
    inside = hidden({"DB": url, "PLAIN": "x real/password y"}, loaded)
    assert inside == {"DB": shown, "PLAIN": f"x {one.placeholder} y", "DATABASE_URL": shown}


@pytest.mark.parametrize(
    ("url", "user", "why"),
    [
        ("postgres://app:real-password@elsewhere.test/shop", "", "leads to another host"),
        ("postgres://app:real-password@api.test:5433/shop", "", "leads to another host"),
        ("postgres://app@api.test/shop", "", "cannot be used: it is empty"),
        ("postgres://app:real-password@api.test:x/shop", "", "no URL of a database"),
        ("postgres://app:real-password@api.test/shop", "admin", "another `user`"),
        ("short", "", "shorter than 8"),
    ],
)
def test_a_url_of_another_database_is_no_value(tmp_path: Path, url: str, user: str, why: str) -> None:
    more = f"user = '{user}'" if user else ""

    loaded = load(_bound("{ environment = 'DB' }", "postgres", more), _outside(tmp_path, {"DB": url}), _token())

    assert loaded.credentials == ()
    assert why in loaded.notices[0]
    assert "real-password" not in loaded.notices[0]
