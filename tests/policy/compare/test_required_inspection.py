"""What requirements want to be looked into is, whoever passes it through: the proof knows every key that says so."""

from __future__ import annotations

import pytest
from tests.policy.making import EMPTY, document, policy

from ringfence.policy.compare.credentials import handling_of
from ringfence.policy.evaluate import Context, Evaluator, Sight
from ringfence.policy.layers import Layer


@pytest.mark.parametrize("key", ["inspect", "http2", "limited"])
def test_the_proof_sees_what_the_gateway_sees(key: str) -> None:
    required = document(f'[network]\n{key} = ["a.test"]\n', Layer.REQUIREMENTS)
    passing = document('[network]\npass_through = ["*"]\n')
    merged = policy(required, passing, base=EMPTY)
    evaluator = Evaluator(merged, Context(home="/home/u", workspace="/w"))

    seen = handling_of(merged).seen

    assert seen == ("a.test",)
    assert evaluator.sight("a.test", 443) is Sight.INSPECTED
    assert evaluator.sight("b.test", 443) is Sight.PASSED_THROUGH
