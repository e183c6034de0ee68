"""Makes the JSON of every tool table from its TOML: `python -m ringfence.policy.tools.compiling` after every change."""

from __future__ import annotations

import os
import tomllib

import msgspec

from ringfence.policy.tools import FOLDER
from ringfence.policy.tools.environment import FILE, Variables
from ringfence.policy.tools.schema import Tool, tools_of


def tables() -> dict[str, tuple[Tool, ...]]:
    """Every table by the name of its file, as its TOML says; `ValueError` names the file and the key that is wrong."""
    found: dict[str, tuple[Tool, ...]] = {}
    for file in sorted(os.listdir(FOLDER)):
        name, extension = os.path.splitext(file)
        if extension == ".toml":
            found[name] = written(name)
    return found


def written(name: str) -> tuple[Tool, ...]:
    """The table of one file, with its examples."""
    file = f"{name}.toml"
    try:
        with open(os.path.join(FOLDER, file), "rb") as stream:
            return tools_of(tomllib.load(stream))
    except (ValueError, KeyError) as error:
        raise ValueError(f"{file}: {error}") from error


def compiled(tools: tuple[Tool, ...]) -> bytes:
    """The JSON of one file: what a reading needs, without the examples."""
    bare = [msgspec.structs.replace(tool, example=()) for tool in tools]
    return msgspec.json.encode(bare) + b"\n"


def index(found: dict[str, tuple[Tool, ...]]) -> bytes:
    """The file of each program, one a line."""
    names: dict[str, str] = {}
    twice: list[str] = []
    for file, tools in found.items():
        for name in (name for tool in tools for name in tool.names):
            if name in names:
                twice.append(f"`{name}` has a table in {names[name]}.toml and in {file}.toml")
            names[name] = file
    if twice:
        raise ValueError("; ".join(twice))
    return msgspec.json.format(msgspec.json.encode(dict(sorted(names.items()))), indent=1) + b"\n"


def variables() -> bytes:
    """The JSON of the variables that run or load code."""
    with open(f"{FILE}.toml", "rb") as stream:
        return msgspec.json.encode(msgspec.convert(tomllib.load(stream), Variables)) + b"\n"


def main() -> None:
    """Write the JSON of every table, the index, and the variables."""
    found = tables()
    # Everything is made before anything is written: a fault leaves the files as they are.
    texts = {f"{FILE}.json": variables(), os.path.join(FOLDER, "index.json"): index(found)}
    texts.update({os.path.join(FOLDER, f"{name}.json"): compiled(tools) for name, tools in found.items()})
    for path, text in texts.items():
        with open(path, "wb") as stream:
            stream.write(text)


if __name__ == "__main__":
    main()
