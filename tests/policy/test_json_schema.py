"""The JSON Schema: made by the reading code, shipped as a file, and right about every document that we ship."""

from __future__ import annotations

import os
import tomllib

import jsonschema
import pytest

from ringfence.model.situations import PolicyInvalid
from ringfence.policy.documents import read_document
from ringfence.policy.json_schema import FILE, json_schema, text
from ringfence.policy.layers import Layer
from ringfence.policy.presets import FOLDER
from ringfence.policy.sections.settings import BUNDLES, PRESETS

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

WHOLE = """
extends = ["workspace", "python"]
enforcement = "soft"
[filesystem]
read = ["~/a"]
write = ["~/b"]
deny = ["**/c"]
workspace = "staged"
[control_files]
protect = ["Makefile"]
report = ["**/deploy.sh"]
exempt = [".vscode"]
[network]
default = "ask"
host_ports = [5432]
inspect = ["seen.test"]
http2 = ["calls.test"]
limited = ["read.test"]
pass_through = ["pinned.test"]
registries = ["pip"]
[[network.rule]]
id = "n"
hosts = ["x.test"]
methods = ["GET"]
paths = ["/a/**"]
operations = ["read"]
query = { key = "*" }
headers = { x-team = "*" }
private = true
verdict = "allow"
reason = "r"
enforcement = "hard"
[[network.rule]]
hosts = ["git.test"]
verdict = "allow"
protocol = "ssh"
host_keys = ["*"]
[[commands.rule]]
id = "c"
prefix = ["git", ["push", "send-email"]]
verdict = "ask"
reason = "r"
match = ["git push"]
not_match = ["git log"]
[[commands.rule]]
id = "e"
effects = ["publish", "destroy"]
objects = ["remote*"]
undoable = ["remote notes"]
verdict = "ask"
[[commands.profile]]
id = "p"
prefix = ["git", ["push", "fetch"]]
read = ["~/d"]
write = ["~/e"]
deny = ["**/f"]
hosts = ["github.com"]
only_hosts = true
keep = ["GH_TOKEN"]
remove = ["X_*"]
placement = "inside"
reason = "r"
[commands.profile.set]
B = "c"
[mcp]
unseen = "deny"
default = "ask"
changed = "deny"
[[mcp.server]]
name = "files"
command = ["npx", "files"]
reason = "r"
[[mcp.server]]
name = "docs"
url = "https://mcp.example.com/"
tools = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
[[mcp.rule]]
id = "m"
servers = ["files"]
tools = ["read_*"]
verdict = "allow"
reason = "r"
enforcement = "observe"
[mcp.rule.arguments]
path = "/w/*"
[[credentials]]
id = "api"
source = { keyring = "api" }
form = "header"
header = "x-api-key"
hosts = ["api.test"]
methods = ["GET"]
paths = ["/a/**"]
variables = ["API_KEY"]
attach = "always"
reason = "r"
[[credentials]]
id = "maps"
source = { environment = "MAPS" }
form = "query"
query = "key"
hosts = ["maps.test"]
[[credentials]]
id = "forge"
source = { file = "~/forge" }
form = "git"
user = "me"
owners = ["acme"]
hosts = ["forge.test"]
[[credentials]]
id = "cloud"
source = { command = ["keys"] }
form = "aws-sigv4"
hosts = ["*.cloud.test"]
[[no_credentials]]
hosts = ["files.test"]
reason = "r"
[content]
on_secret = "ask"
canaries = true
unreadable = "deny"
record_only = ["api.model.test"]
[[content.budget]]
hosts = ["*"]
except = ["api.model.test"]
megabytes = 20
each = true
over = "ask"
[environment]
keep = ["LANG"]
remove = ["AWS_*"]
[environment.set]
A = "b"
[approvals]
timeout_seconds = 60
wait_seconds = 30
remember = "session"
remember_days = 3
approvers = ["ana", "@ops"]
overriders = ["@ops"]
self_approval = false
break_glass = ["@ops"]
break_glass_minutes = 30
denials_in_a_row = 2
denials_of_50 = 5
delegate = "low"
[approvals.reviewer]
kind = "anthropic"
url = "https://models.test"
model = "m"
key_variable = "KEY"
argv = ["/usr/bin/review"]
instructions = "no"
seconds = 30
ceiling = "medium"
audit_percent = 10
[[approvals.quorum]]
who = ["@security", ":owner"]
approve = 2
deny = 1
assurance = "passkey"
risk = "high"
rules = ["publish"]
[[approvals.step]]
who = [":owner"]
[[approvals.step]]
who = ["@ops"]
after_seconds = 60
[[approvals.webhook]]
name = "chat"
kind = "slack"
url = "https://chat.test/hook"
secret = "chat-key"
link = "https://answers.test/{id}"
users = { U1 = "ana" }
[limits]
wall_seconds = 3600
processes = 100
open_files = 1024
file_mb = 10
memory_mb = 512
cpu_percent = 150
disk_mb = 100
[agents]
allowed = ["codex"]
[telemetry]
tool_arguments = "digest"
require_record = true
redact = ["customer-*"]
model_content = "full"
[model]
read = true
hosts = ["llm.example:8443"]
models = ["claude-*"]
budget_tokens = 1000
budget_cost = 2.5
[[model.price]]
models = ["claude-*"]
input = 3
cached_input = 0.3
cache_write = 3.75
output = 15
[[model.route]]
hosts = ["api.openai.com"]
url = "https://gateway.example/v1"
[sandbox]
min_tier = "A"
boundary = "the machine of the job"
sockets = ["/run/x.sock"]
devices = ["/dev/dri/renderD128"]
publish = ["3000", "8080:3000"]
nested_namespaces = true
outside = true
forbid = ["dbus"]
[[sandbox.ssh_agent]]
keys = ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
hosts = ["github.com", "[h.test]:2222"]
[[sandbox.dbus]]
bus = "session"
talk = ["org.freedesktop.Notifications"]
[[when]]
hosts = ["*"]
[when.network]
default = "deny"
[[test]]
mcp = "files"
tool = "read_x"
expect = "allow"
[test.arguments]
path = "/w/x"
"""


def test_the_shipped_schema_is_what_the_code_says() -> None:
    with open(FILE, encoding="utf-8") as stream:
        assert stream.read() == text(), "run `python -m ringfence.policy.json_schema`"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("name", [*PRESETS, *BUNDLES])
def test_every_document_that_we_ship_is_valid(name: str) -> None:
    with open(os.path.join(FOLDER, f"{name}.toml"), "rb") as stream:
        VALIDATOR.validate(tomllib.load(stream))


def test_a_document_with_every_section_is_valid_to_the_schema_and_to_the_reader() -> None:
    VALIDATOR.validate(tomllib.loads(WHOLE))
    read_document(WHOLE.encode(), file="p.toml", layer=Layer.USER)


def _keys(value: object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(value, dict):
        return {(*path, key) for key in value}.union(*(_keys(inner, (*path, key)) for key, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(_keys(inner, path) for inner in value)) if value else set()
    return set()


def _described(schema: object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(schema, dict):
        return set()
    found = _described(schema.get("items"), path)
    for key, inner in schema.get("properties", {}).items():
        found |= {(*path, key)} | _described(inner, (*path, key))
    return found


def test_every_section_of_the_schema_is_in_the_document_with_every_section() -> None:
    known = {path for path in _described(json_schema()) if path[0] != "when"}
    only_elsewhere = {
        ("allowed_presets",),
        ("commands", "rule", "unless"),
        ("commands", "rule", "enforcement"),
        *(("test", key) for key in ("shell", "argv", "connect", "read", "write", "method", "path", "cwd", "model")),
    }

    written = _keys(tomllib.loads(WHOLE))

    assert known - written <= only_elsewhere


def test_every_key_says_what_it_is_for() -> None:
    schema = json_schema()
    found = {one: _description(schema, one) for one in _described(schema) if one[0] != "when"}

    assert [".".join(one) for one, text in found.items() if not text.endswith(".")] == []
    assert len(found) > 200


def _description(schema: object, path: tuple[str, ...]) -> str:
    for key in path:
        assert isinstance(schema, dict)
        schema = schema.get("items", schema)["properties"][key]

    assert isinstance(schema, dict)
    return str(schema.get("description", ""))


@pytest.mark.parametrize(
    "line", ["extend = 'x'", "[network]\ndefault = 'allow'", "[limits]\nprocesses = 0", "[[mcp.rule]]\nverdict = 'ask'"]
)
def test_what_the_schema_refuses_the_reader_refuses_too(line: str) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(line))
    with pytest.raises(PolicyInvalid):
        read_document(line.encode(), file="p.toml", layer=Layer.USER)
