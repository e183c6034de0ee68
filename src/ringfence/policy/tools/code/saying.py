"""What the readers of code have to say, in one form for all languages."""

from __future__ import annotations

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.kinds import GIVES
from ringfence.policy.tools.reading import Reading, Started


def shell(reading: Reading, text: str) -> None:
    """It runs this shell string, which is beside what one reads in the command."""
    reading.started.append(Started((Word(text=text, raw=text),), "sh", side_door=True))


def program(reading: Reading, words: list[str]) -> None:
    """It starts this program."""
    if words:
        reading.started.append(Started(tuple(Word(text=word, raw=word) for word in words), side_door=True))


def path(reading: Reading, kind: EffectKind, text: str, home: str | None = None) -> None:
    """It opens or changes this file."""
    if home is not None and (text == "~" or text.startswith("~/")):
        text = home + text[1:]
    GIVES[kind.value](Word(text=text, raw=text), reading)


def script(reading: Reading, text: str) -> None:
    """It runs the commands in this file."""
    GIVES["script"](Word(text=text, raw=text), reading)


def url(reading: Reading, text: str) -> None:
    """It connects to this address."""
    GIVES["url"](Word(text=text, raw=text), reading)


def host(reading: Reading, name: str, port: int) -> None:
    """It connects to this host."""
    reading.port = port
    GIVES["host"](Word(text=name, raw=name), reading)


def starts_something(reading: Reading, what: str) -> None:
    """It starts a program that only running it tells."""
    reading.concerns.append(
        ("code.starts", Verdict.ASK, f"{reading.name} code starts a program that cannot be seen: {what}")
    )


def builds_code(reading: Reading, what: str) -> None:
    """It runs code that it makes."""
    reading.concerns.append(("code.builds-code", Verdict.ASK, f"{reading.name} code runs code that it builds: {what}"))


def connects_somewhere(reading: Reading, what: str) -> None:
    """It connects to what only running it tells."""
    reading.concerns.append(("code.connects", Verdict.ASK, f"{reading.name} code opens a connection: {what}"))


def reverse_shell(reading: Reading) -> None:
    """It gives a shell to the other side of a connection."""
    text = f"{reading.name} code hands a shell to whoever is on the other side of a connection"
    reading.concerns.append(("code.reverse-shell", Verdict.DENY, text))


def whole_environment(reading: Reading) -> None:
    """It shows or copies every variable."""
    reading.add(EffectKind.READ, "the environment")
