"""Values that container tools take: namespaces, security options, secrets, outputs and files inside a container.
What stays inside the container is no effect; what reaches the host, a registry or another daemon is."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.kinds import GIVES, shown
from ringfence.policy.tools.reading import Reading


def _given(kind: str, text: str, reading: Reading) -> None:
    GIVES[kind](Word(text=text, raw=text), reading)


def _namespace(word: Word, reading: Reading) -> None:
    """`host` shares a namespace of the host, which takes a wall of the container away."""
    if word.text is None or word.text == "host":
        reading.add(EffectKind.PRIVILEGE, f"namespace {shown(word)}")


def _security(word: Word, reading: Reading) -> None:
    """Options that only tighten pass; all others take protection away."""
    if word.text is None or not word.text.startswith(("no-new-privileges", "mask=")):
        reading.add(EffectKind.PRIVILEGE, f"security option {shown(word)}")


def _secret(word: Word, reading: Reading) -> None:
    """`id=NAME,src=PATH` reads a file."""
    for key, _, value in (part.partition("=") for part in shown(word).split(",")):
        if key in {"src", "source"}:
            _given("read", value, reading)


def _output(word: Word, reading: Reading) -> None:
    """Where a build goes: a folder, `type=local,dest=PATH`, or a registry."""
    text = shown(word)
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    if "=" not in text:
        GIVES["write"](word, reading)
    elif "dest" in parts:
        _given("write", parts["dest"], reading)
    elif parts.get("type") == "registry" or parts.get("push") == "true":
        reading.add(EffectKind.PUBLISH, parts.get("ref") or parts.get("name") or "an image")


def _inside(text: str) -> bool:
    """Whether a path is `CONTAINER:PATH`."""
    return ":" in text.split("/")[0]


def _file(word: Word, reading: Reading) -> None:
    if word.text is None or not _inside(word.text):
        GIVES["read"](word, reading)


def _target(word: Word, reading: Reading) -> None:
    if word.text is None or not _inside(word.text):
        GIVES["write"](word, reading)


def _host(word: Word, reading: Reading) -> None:
    """The daemon to talk to: a socket of this machine, or another machine."""
    if word.text is None or scheme_of(word.text) not in {"unix", "npipe", "fd"}:
        GIVES["url"](word, reading)


_FILES = frozenset({"dir", "oci", "oci-archive", "docker-archive", "sif"})


def _image(word: Word, reading: Reading) -> None:
    """`docker://HOST/NAME` and the other transports of skopeo."""
    transport, _, rest = shown(word).partition(":")
    if transport == "docker":
        _given("registry", f"https:{rest}", reading)
    elif transport in _FILES:
        _given("read", rest.partition(":")[0], reading)


def _image_target(word: Word, reading: Reading) -> None:
    transport, _, rest = shown(word).partition(":")
    if transport in _FILES:
        _given("write", rest.partition(":")[0], reading)
    else:
        reading.add(EffectKind.PUBLISH, shown(word))


VALUES: dict[str, Callable[[Word, Reading], None]] = {
    "container-file": _file,
    "container-host": _host,
    "container-image": _image,
    "container-image-target": _image_target,
    "container-namespace": _namespace,
    "container-output": _output,
    "container-secret": _secret,
    "container-security": _security,
    "container-target": _target,
}
"""Kinds of value with a grammar of their own, by name."""
