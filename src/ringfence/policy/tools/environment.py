"""Variables that make programs run, load or reach something, and which of their values are harmless."""

from __future__ import annotations

import os
import re
from functools import cache

import msgspec

from ringfence.policy.shell.tree import Word

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "environment")

_VIEWERS = frozenset(
    [
        "cat",
        "less",
        "more",
        "most",
        "head",
        "tail",
        "true",
        "false",
        ":",
        "vi",
        "vim",
        "nvim",
        "nano",
        "emacs",
        "code",
        "bat",
        "delta",
        "ed",
        "ssh",
        "ssh-askpass",
    ]
)
_HARMLESS_ENDINGS = frozenset(
    {"-R", "-F", "-X", "-FRX", "-S", "-r", "--wait", "-w", "-n", "-p", "--paging=never", "-q"}
)
_TUNING = re.compile(
    r"--?(?:max[-_]old[-_]space[-_]size|max[-_]semi[-_]space[-_]size|stack[-_]size|no-warnings|no-deprecation|trace-warnings|"
    r"trace-deprecation|enable-source-maps|experimental-[a-z-]+|unhandled-rejections|dns-result-order|preserve-symlinks|"
    r"openssl-legacy-provider|expose-gc|mod|tags|v|count|p|race|j|k|s|w|W[0-9a-z:=-]*|d|jobs|silent|output-sync|"
    r"X(?:mx|ms|ss|X:[A-Za-z+:=-]*)[0-9kmgKMG]*|D[A-Za-z.]+|ea|C|target-cpu|R|F|i|M|X|S)(?:=?[A-Za-z0-9_,.=-]*)"
)
_FLAGS = re.compile(r"(?:-?(?:[wW][0-9]?|[FRXSiKQgJNs]+)\s*)*")
_SYSTEM_FOLDER = re.compile(
    r"(?:/usr|/bin|/sbin|/opt|/nix|/snap|/lib)(?:/.*)?|(?:~|\$HOME|\$\{HOME\}|/home/[^/]+|/root)/(?:\.[a-z]+[^/]*/)?"
    r"(?:[A-Za-z0-9_.-]+/)*bin|\$\{?(?:JAVA_HOME|GOPATH|GOROOT|CARGO_HOME|NVM_BIN|PYENV_ROOT|ANDROID_HOME)\}?(?:/.*)?"
)
_PROJECT_FOLDER = re.compile(
    r"(?:\./|\$PWD/|\$\{PWD\}/|\$\(pwd\)/)?(?:[\w.-]+/)*(?:\.?v?env[^/]*/bin|node_modules/\.bin|vendor/bin|\.tox/[^/]+/bin)"
)
_ITSELF = re.compile(r"\$\{?[A-Z_0-9]+(?::?[-+][^}]*)?\}?")
_ESCAPES = re.compile(r"(?:^|/)\.\.(?:/|$)|[`$]|^~|^/(?!usr/|lib|opt/)")


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Variables of one kind."""

    names: tuple[str, ...]
    kind: str
    why: str


class Variables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole data file."""

    variable: tuple[Variable, ...]


@cache
def _known() -> tuple[dict[str, Variable], tuple[tuple[str, Variable], ...]]:
    with open(f"{FILE}.json", "rb") as stream:
        rows = msgspec.json.decode(stream.read(), type=Variables).variable
    exact = {name: row for row in rows for name in row.names if not name.endswith("*")}
    return exact, tuple((name[:-1], row) for row in rows for name in row.names if name.endswith("*"))


def concern(name: str, value: Word) -> str | None:
    """Why setting a variable to a value is a question; nothing where it is none."""
    exact, prefixes = _known()
    row = exact.get(name) or next((row for prefix, row in prefixes if name.startswith(prefix)), None)
    if row is None or _harmless(row.kind, value):
        return None
    return row.why


def _harmless(kind: str, value: Word) -> bool:
    text = value.text if value.text is not None else value.raw.strip("\"'")
    if not text:
        return kind != "search"
    match kind:
        case "program":
            return value.text is not None and _is_viewer(text)
        case "folders":
            return all(not part or _ITSELF.fullmatch(part) or _inside(part) for part in text.split(":"))
        case "search":
            return all(_is_search_folder(part) for part in text.split(":"))
        case "options":
            return value.text is not None and all(_TUNING.fullmatch(part) for part in text.split())
        case "flags":
            return value.text is not None and bool(_FLAGS.fullmatch(text))
        case "file":
            return ("/" not in text and "$" not in text and "`" not in text) or text == "/dev/null"
        case _:
            return False


def _inside(part: str) -> bool:
    plain = re.sub(r"^(?:\$PWD|\$\{PWD\}|\$\(pwd\)|`pwd`)(?=/|$)", ".", part)
    return not _ESCAPES.search(plain)


def _is_search_folder(part: str) -> bool:
    if ".." in part.split("/"):
        return False
    return bool(_ITSELF.fullmatch(part) or _SYSTEM_FOLDER.fullmatch(part) or _PROJECT_FOLDER.fullmatch(part))


def _is_viewer(text: str) -> bool:
    first, *rest = text.split() or [""]
    name = first.rpartition("/")[2] if first.startswith(("/usr/bin/", "/bin/")) else first
    return name in _VIEWERS and all(word in _HARMLESS_ENDINGS for word in rest)
