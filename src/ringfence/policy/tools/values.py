"""Values of options and operands that have a grammar of their own: curl's formats and addresses, socat's addresses,
tar's actions. Each says what the value reads, writes, reaches or starts; all else of it is text."""

from __future__ import annotations

import re
from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.kinds import GIVES, path, shown
from ringfence.policy.tools.reading import Fact, Reading, Role, Started

_WRITES = re.compile(r"%output\{(?:>>)?([^}]*)\}")


def _given(kind: str, text: str, reading: Reading) -> None:
    GIVES[kind](Word(text=text, raw=text), reading)


def _curl_cookie(word: Word, reading: Reading) -> None:
    """`-b`: cookies where there is a `=`, otherwise the file to read them from."""
    if word.text is None or "=" not in word.text:
        GIVES["read"](word, reading)


def _curl_urlencode(word: Word, reading: Reading) -> None:
    """`--data-urlencode`: `@file` and `name@file`, unless a `=` comes first."""
    if word.text is not None and (found := re.match(r"[^=@]*@(.*)", word.text, re.DOTALL)) is not None:
        _given("read", found[1], reading)


def _curl_format(word: Word, reading: Reading) -> None:
    """`-w`: `@file` reads the format, `%output{file}` in it writes."""
    text = shown(word)
    if text.startswith("@"):
        _given("read", text[1:], reading)
    for target in _WRITES.findall(text):
        _given("write", target, reading)


def _curl_form(word: Word, reading: Reading) -> None:
    """`-F`: `name=@file;type=...` sends a file, `name=<file` its text."""
    if word.text is None:
        return
    content = word.text.partition("=")[2]
    if content[:1] in {"@", "<"}:
        for name in content[1:].split(";")[0].split(","):
            _given("read", name.strip('"'), reading)


def _curl_resolve(word: Word, reading: Reading) -> None:
    """`--resolve HOST:PORT:ADDRESS` and `--connect-to HOST:PORT:HOST:PORT`: where the connection really goes."""
    text = shown(word)
    if word.text is None:
        reading.facts.append(Fact(EffectKind.CONNECT, text, Role.HOST, Word(text=None, raw=text)))
        return
    parts = re.findall(r"\[[^]]*\]|[^:]+|(?<=:)(?=:)|^(?=:)", text.lstrip("+-"))
    for address in parts[2].split(",") if len(parts) > 2 else ():
        if address:
            _given("host", address, reading)


_SOCAT_RUNS = {"EXEC", "SYSTEM", "SHELL"}
_SOCAT_PATHS = {
    "OPEN",
    "CREATE",
    "CREAT",
    "FILE",
    "GOPEN",
    "PIPE",
    "PTY",
    "UNIX",
    "UNIX-CONNECT",
    "UNIX-LISTEN",
    "UNIX-CLIENT",
}
_SOCAT_QUIET = {"-", "STDIO", "STDIN", "STDOUT", "STDERR", "FD", "PIPE", "ABSTRACT", "ABSTRACT-CONNECT"}


def _socat(word: Word, reading: Reading) -> None:
    """One address of socat: `TYPE:parameters,options`, or two joined by `!!`."""
    text = shown(word)
    for one in text.split("!!"):
        address = one.split(",")[0]
        kind, _, rest = address.partition(":")
        name = kind.upper()
        if word.text is None:
            reading.facts.append(Fact(EffectKind.CONNECT, text, Role.HOST, Word(text=None, raw=text)))
        elif name in _SOCAT_RUNS:
            command = one.partition(":")[2].split(",")[0]
            reading.started.append(Started((Word(text=command, raw=command),), "sh", side_door=True))
        elif (name in _SOCAT_PATHS and rest) or "/" in kind:
            _given("readwrite", rest or address, reading)
        elif "LISTEN" in name or "RECV" in name:
            reading.add(EffectKind.PUBLISH, address)
        elif name in {"TUN", "INTERFACE", "IP", "IP4", "IP6"} or name.startswith("IP-"):
            reading.add(EffectKind.PRIVILEGE, address)
        elif name.startswith(("PROXY", "SOCKS")):
            for host in rest.split(":")[:2]:
                _given("host", host, reading)
        elif rest and name not in _SOCAT_QUIET:
            _given("host", rest, reading)


_TAR_ACTION = re.compile(r"exec=(.*)", re.DOTALL)


def _tar_action(word: Word, reading: Reading) -> None:
    """`--checkpoint-action`: `exec=COMMAND` runs one."""
    found = _TAR_ACTION.fullmatch(shown(word))
    if found is not None or word.text is None:
        command = word if found is None else Word(text=found[1], raw=found[1])
        reading.started.append(Started((command,), "sh", side_door=True))


_DNS_WORDS = frozenset(
    {
        "A",
        "AAAA",
        "AFSDB",
        "ANY",
        "AXFR",
        "CAA",
        "CDNSKEY",
        "CDS",
        "CERT",
        "CH",
        "CHAOS",
        "CNAME",
        "CSYNC",
        "DHCID",
        "DLV",
        "DNAME",
        "DNSKEY",
        "DS",
        "EUI48",
        "EUI64",
        "HINFO",
        "HIP",
        "HS",
        "HTTPS",
        "IN",
        "IPSECKEY",
        "IXFR",
        "KEY",
        "KX",
        "LOC",
        "MX",
        "NAPTR",
        "NS",
        "NSEC",
        "NSEC3",
        "NSEC3PARAM",
        "OPENPGPKEY",
        "PTR",
        "RP",
        "RRSIG",
        "SIG",
        "SMIMEA",
        "SOA",
        "SPF",
        "SRV",
        "SSHFP",
        "SVCB",
        "TA",
        "TKEY",
        "TLSA",
        "TSIG",
        "TXT",
        "URI",
        "ZONEMD",
    }
)
"""Types and classes of records."""


def _dns_name(word: Word, reading: Reading) -> None:
    """A name to look up, or `@SERVER`; a record type or class is neither."""
    text = shown(word)
    if word.text is None:
        GIVES["host"](word, reading)
    elif text.upper() not in _DNS_WORDS:
        _given("host", text.removeprefix("@"), reading)


def _http_method(word: Word, reading: Reading) -> None:
    """A method that changes something on the other side."""
    if shown(word).upper() not in {"GET", "HEAD", "OPTIONS"}:
        reading.add(EffectKind.PUBLISH, shown(word))


def _less_command(word: Word, reading: Reading) -> None:
    """`less +COMMAND`: `!` and `|` start programs, `s FILE` writes."""
    text = shown(word).lstrip("+")
    if text.startswith(("!", "|", "#")):
        reading.started.append(Started((Word(text=text[1:], raw=text[1:]),), "sh", side_door=True))
    elif (found := re.match(r"s(?:ave)?\s+(.+)", text)) is not None:
        _given("write", found[1], reading)
    elif (found := re.match(r"(?::e|E)\s*(.+)", text)) is not None:
        _given("read", found[1], reading)


def _pass_source(word: Word, reading: Reading) -> None:
    """Where openssl takes a passphrase: `file:PATH` reads it."""
    kind, _, rest = shown(word).partition(":")
    if kind == "file":
        _given("read", rest, reading)


def _vim_command(word: Word, reading: Reading) -> None:
    """An ex command: `!` and `:w !` start programs, `w FILE` writes, `e`, `r` read, what evaluates is unclear."""
    text = shown(word).lstrip(": ")
    if word.text is None or _VIM_RUNS.search(text):
        command = text.partition("!")[2] or text
        reading.started.append(
            Started((Word(text=command if word.text is not None else None, raw=text),), "sh", side_door=True)
        )
    elif (found := _VIM_WRITES.match(text)) is not None and found[1]:
        _given("write", found[1], reading)
    elif (found := _VIM_READS.match(text)) is not None and found[1]:
        path(EffectKind.READ)(Word(text=found[1], raw=found[1]), reading)


_VIM_RUNS = re.compile(
    r"(?:^|[^a-z])!|\br(?:ead)?!|\b(?:system|systemlist|term_start|job_start|termopen|jobstart|libcall|libcallnr|luaeval|py3?eval|pyxeval|execute?)\b"
    r"|^(?:term|terminal|mak|make|lmake|grep|lgrep|lua|luafile|luado|py|py3|pyx|python3?|pyfile|perl|ruby|tcl|mz|so|source|sh|shell|norm|normal)\b",
    re.IGNORECASE,
)
_VIM_WRITES = re.compile(
    r"(?:w|wr|write|wq|x|xit|sav|saveas|up|update|mks|mksession|mkv|mkvimrc|redir)!?(?:\s+>*\s*(.+))?$"
)
_VIM_READS = re.compile(r"(?:e|edit|r|read|sp|split|vs|vsplit|tabe|tabedit|vi|view)!?(?:\s+(.+))?$")


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "curl-cookie": _curl_cookie,
    "curl-form": _curl_form,
    "curl-format": _curl_format,
    "curl-urlencode": _curl_urlencode,
    "curl-resolve": _curl_resolve,
    "dns-name": _dns_name,
    "http-method": _http_method,
    "less-command": _less_command,
    "pass-source": _pass_source,
    "socat": _socat,
    "tar-action": _tar_action,
    "vim-command": _vim_command,
}
"""Kinds of value with a grammar of their own, by name."""
