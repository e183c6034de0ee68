"""The properties of the readers of the wire, with a few inputs of our own and all that the fuzzer kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.properties import PROPERTIES, holds
from tests.fuzz.tokens import input_of, put_together

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", PROPERTIES)
@given(data=st.binary(max_size=300))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_it_holds_of_any_bytes(name: str, data: bytes) -> None:
    holds(name, data)


@pytest.mark.parametrize("name", PROPERTIES)
@given(numbers=st.binary(min_size=1, max_size=24))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_it_holds_of_rows_of_words(name: str, numbers: bytes) -> None:
    holds(name, put_together(name, numbers))


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds_of_all_that_the_fuzzer_kept(name: str) -> None:
    kept = sorted((CORPUS / name).iterdir())

    assert kept
    for file in kept:
        holds(name, input_of(name, file.read_bytes()))


def test_the_corpus_is_small_and_belongs_to_properties() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(PROPERTIES)
    assert sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()) < 300_000
