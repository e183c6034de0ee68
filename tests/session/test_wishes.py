"""What options ask for and a session cannot give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringfence.model.situations import UsageInvalid
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.session.options import Options
from ringfence.session.policy_files import SessionGrants, load_policy
from ringfence.session.sources import Places
from ringfence.session.wishes import without_effect


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / "notes").mkdir()
    return tmp_path / "home"


def told(home: Path, options: Options) -> tuple[str, ...]:
    places = Places(
        home=str(home), state=str(home / "s"), user_policy=str(home / "none"), managed_folder=str(home / "etc")
    )
    grants = SessionGrants(read=options.read, write=options.write)
    policy = load_policy(places, str(home / "w"), choice=None, grants=(grants,))
    return without_effect(
        options,
        absolute=lambda written: os.path.join(str(home), written) if written[0] not in "/~:" else written,
        home=str(home),
        environ={"SET": "1"},
        evaluator=Evaluator(policy, Context(home=str(home), workspace=str(home / "w"))),
    )


def test_what_can_be_given_is_given_without_a_word(home: Path) -> None:
    options = Options(read=("~/notes", "*.txt", ":tmp"), write=(str(home / "notes"),), environment=("SET", "LC_*"))

    assert told(home, options) == ()


@pytest.mark.parametrize("option", ["read", "write"])
def test_a_path_that_is_not_there_is_wrong_usage(home: Path, option: str) -> None:
    options = Options(read=("~/missing",)) if option == "read" else Options(write=("~/missing",))

    with pytest.raises(UsageInvalid, match=f"`--{option} ~/missing`: there is no such file"):
        told(home, options)


def test_a_path_that_the_policy_keeps_shut_is_named_with_its_rule(home: Path) -> None:
    (notice,) = told(home, Options(read=("~/.ssh",)))

    assert notice.startswith("`--read ~/.ssh` has no effect: ")
    assert notice.endswith("(rule filesystem.deny:~/.ssh)")


def test_a_variable_that_is_not_set_is_named(home: Path) -> None:
    assert told(home, Options(environment=("SET", "UNSET"))) == (
        "`--env UNSET`: your environment has no such variable",
    )


def test_a_value_in_the_place_of_a_variable_s_name_is_refused_and_not_repeated(home: Path) -> None:
    with pytest.raises(UsageInvalid) as refused:
        told(home, Options(environment=("TOKEN=s3cret",)))

    assert str(refused.value) == "`--env TOKEN=…` gives a value, and `--env` takes the name of a variable alone"
    assert refused.value.remedy == "set the variable before, and pass it on with `--env TOKEN`"
