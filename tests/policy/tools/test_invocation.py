"""How arguments are read where a table does not list every option or sub-command."""

from __future__ import annotations

from ringfence.model.action import EffectKind
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools.grammar import Grammar
from ringfence.policy.tools.invocation import read
from ringfence.policy.tools.reading import Reading
from ringfence.policy.tools.schema import Tool, tools_of

CLOUD = {
    "names": ["cloud"],
    "source": "a test",
    "commands": {
        "*": {
            "any_options": True,
            "commands": {
                "get-*": {"any_options": True, "operands": ["read*"]},
                "*": {"any_options": True, "effects": ["publish"]},
            },
        }
    },
}
RUNNER = {
    "names": ["runner"],
    "source": "a test",
    "any_options": True,
    "commands": {"": {"operands": ["text*"]}, "publish": {"effects": ["publish"]}},
}


def _tool(document: object) -> Tool:
    return tools_of(document)[0]


def _read(document: object, text: str) -> Reading:
    words = [Word(text=word, raw=word) for word in text.split()]
    return read(Grammar(_tool(document), _tool(document), "", None), words[0].text or "", words[1:])


def test_a_pattern_stands_for_every_command_that_matches_it() -> None:
    readings = [_read(CLOUD, "cloud vm get-x a"), _read(CLOUD, "cloud vm start-x a")]

    assert [reading.shown() for reading in readings] == [["read a"], ["publish cloud vm start-x"]]


def test_the_value_glued_to_an_option_that_is_not_listed_is_read_as_an_operand() -> None:
    reading = _read(CLOUD, "cloud vm get-x --from=a --from b")

    assert (reading.shown(), reading.opaque) == (["read a", "read b"], False)


def test_an_option_that_is_not_listed_hides_no_command_behind_it() -> None:
    assert _read(RUNNER, "runner --frob publish").shown() == ["publish runner publish"]


def test_an_option_that_may_have_a_value_makes_a_later_command_possible() -> None:
    reading = _read(RUNNER, "runner --frob x publish")

    assert (reading.shown(), reading.opaque, reading.may) == ([], True, {EffectKind.PUBLISH})
