"""Values of options and operands of converters that have a grammar of their own: inputs that may be addresses or pipes,
filters that read files, documents that run commands."""

from __future__ import annotations

import re
from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.builds import given, loads, runs, runs_shell
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading

_STREAMING = frozenset(
    {"rtmp", "rtmps", "rtsp", "srt", "udp", "tcp", "rtp", "http", "https", "ftp", "sftp", "tls", "icecast", "ws", "wss"}
)
_FILE_FORM = re.compile(r"(?:file|concat|subfile|crypto|async|cache):(?://)?(.*)", re.DOTALL)


def _media(word: Word, reading: Reading, kind: str) -> None:
    text = word.text
    if text is None:
        GIVES[kind](word, reading)
    elif scheme_of(text) in _STREAMING:
        GIVES["url"](word, reading)
        if kind == "write":
            reading.add(EffectKind.PUBLISH, text)
    elif text.startswith(("pipe:", "fd:")):
        return
    elif (found := _FILE_FORM.fullmatch(text)) is not None:
        for part in found[1].split("|"):
            given(kind, part, reading)
    else:
        GIVES[kind](word, reading)


def _media_input(word: Word, reading: Reading) -> None:
    """What FFmpeg reads: a file, or a stream."""
    _media(word, reading, "read")


def _media_output(word: Word, reading: Reading) -> None:
    """What FFmpeg writes: a file, or a stream to another machine."""
    _media(word, reading, "write")


_MEDIA_FILE = re.compile(
    r"(?:movie|amovie|subtitles|ass|lut3d|drawtext|textfile|fontfile)=(?:filename=|textfile=|f=)?'?([^:,;\[\]']+)"
)


def _media_filter(word: Word, reading: Reading) -> None:
    """A graph of filters: some read files."""
    for found in _MEDIA_FILE.findall(word.text or ""):
        if "/" in found or "." in found:
            given("read", found, reading)


_TEX_RUNS = re.compile(r"\\(?:write\s*18|ShellEscape|directlua)\s*\{([^}]*)\}")
_TEX_READS = re.compile(
    r"\\(?:input|include|verbatiminput|lstinputlisting|VerbatimInput|includegraphics)(?:\[[^]]*\])?\s*\{([^}]*)\}"
)


def _tex_document(word: Word, reading: Reading) -> None:
    """A document by its name, or text in TeX: what that runs and what it reads."""
    text = word.text or ""
    if not text.startswith("\\"):
        return
    for command in _TEX_RUNS.findall(text):
        runs_shell(command, reading)
    for name in _TEX_READS.findall(text):
        given("read", name, reading)


_IMAGE_FORM = re.compile(r"([a-zA-Z][\w-]+):(.*)", re.DOTALL)
_IMAGE_MADE = frozenset(
    {"xc", "canvas", "gradient", "radial-gradient", "plasma", "pattern", "label", "caption", "rose", "logo"}
)
_IMAGE_MADE_TOO = frozenset(
    {"granite", "hald", "tile", "null", "wizard", "netscape", "magick", "mpr", "mpc", "clipboard", "info"}
)


def _image_file(word: Word, reading: Reading, kind: str) -> None:
    text = word.text
    if text is None:
        GIVES[kind](word, reading)
        return
    name = text.partition("[")[0] or text
    if text.startswith("|"):
        runs_shell(text[1:], reading)
    elif text in {"(", ")", "-"} or name.rpartition(":")[2] == "-":
        return
    elif scheme_of(text) in {"http", "https", "ftp"}:
        GIVES["url"](word, reading)
    elif (found := _IMAGE_FORM.fullmatch(name)) is not None:
        form, rest = found[1].lower(), found[2]
        if form in {"label", "caption", "pango"} and rest.startswith("@"):
            given("read", rest[1:], reading)
        elif form in {"x", "screen", "win", "screenshot"}:
            reading.add(EffectKind.READ, "the screen")
        elif form not in _IMAGE_MADE and form not in _IMAGE_MADE_TOO and rest:
            given(kind, rest.lstrip("|"), reading) if not rest.startswith("|") else runs_shell(rest[1:], reading)
    else:
        given(kind, name.removeprefix("@"), reading)


def _image_input(word: Word, reading: Reading) -> None:
    """An image to read: a file, `FORMAT:FILE`, a made one (`xc:red`), an address."""
    _image_file(word, reading, "read")


def _image_output(word: Word, reading: Reading) -> None:
    """An image to write; behind `|` a command that takes it."""
    _image_file(word, reading, "write")


def _pandoc_format(word: Word, reading: Reading) -> None:
    """A format by its name, or a script in Lua that reads or writes it."""
    text = (word.text or "").partition("+")[0]
    if word.text is None or "/" in text or text.endswith(".lua"):
        loads(shown(word), reading)


def _pipe_percent(word: Word, reading: Reading) -> None:
    """Where Ghostscript writes: a file, or `%pipe%COMMAND`."""
    text = shown(word)
    if text.startswith(("%pipe%", "|")):
        runs_shell(text.removeprefix("%pipe%").removeprefix("|"), reading)
    elif not text.startswith("%stdout"):
        GIVES["write"](word, reading)


def _named_program(word: Word, reading: Reading) -> None:
    """`--with-PROGRAM`: a plain name is one of the programs that the tool knows, a path may be anything."""
    if word.text is None or "/" in word.text:
        runs(shown(word), reading)


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "image-input": _image_input,
    "image-output": _image_output,
    "media-filter": _media_filter,
    "media-input": _media_input,
    "media-output": _media_output,
    "named-program": _named_program,
    "pandoc-format": _pandoc_format,
    "pipe-percent": _pipe_percent,
    "tex-document": _tex_document,
}
"""Kinds of value with a grammar of their own, by name."""
