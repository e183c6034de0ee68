"""What policies say about models: how it is read, merged, judged, compared, and never passed through."""

from __future__ import annotations

import msgspec
import pytest
from tests.policy.making import document, judge, policy

from ringfence.model.decision import Decision, Verdict
from ringfence.model.host import Host
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.compare.difference import ValueDifference
from ringfence.policy.compare.values import value_differences
from ringfence.policy.documents import Document
from ringfence.policy.effective import ModelContent, ModelPolicy, ModelPrice, ModelRoute, Origin, Policy
from ringfence.policy.evaluate import Sight
from ringfence.policy.judges.model import ModelTable, Spent, Usage, amount
from ringfence.policy.layers import Layer
from ringfence.policy.questions import action_of


def said(text: str, layer: Layer = Layer.USER) -> Document:
    return document(f"[model]\n{text}\n", layer)


def untrusted(text: str) -> Document:
    return msgspec.structs.replace(said(text, Layer.PROJECT), trusted=False)


def at(line: int, layer: str = "user") -> Origin:
    return Origin(layer=layer, source=f"{layer}.toml:{line}")


PRICE = "[[model.price]]\nmodels = ['claude-*']\ninput = 3\ncached_input = 0.30\noutput = 15\n"


def test_everything_that_can_be_written_is_read() -> None:
    text = (
        "read = true\nhosts = ['llm.corp.example:8443']\nmodels = ['Claude-*']\nbudget_tokens = 1000\n"
        f"budget_cost = 2.5\n{PRICE}[[model.route]]\nhosts = ['api.anthropic.com']\nurl = 'https://gw.corp.example/v1/'"
    )

    merged = policy(said(text)).model

    assert merged.prices == (
        ModelPrice(
            models=("claude-*",),
            input=3_000_000,
            cached_input=300_000,
            cache_write=3_000_000,
            output=15_000_000,
            origin=at(7),
        ),
    )
    assert merged.routes == (
        ModelRoute(hosts=("api.anthropic.com",), host="gw.corp.example", port=443, base="/v1", origin=at(12)),
    )
    assert (merged.read, merged.budget_tokens, merged.budget_cost) == (True, 1000, 2_500_000)
    assert [(one.models, one.origin) for one in merged.allowed] == [(("claude-*",), at(4))]
    assert [(one.hosts, one.named) for one in merged.hosts] == [("llm.corp.example:8443", True)]
    assert (merged.limits, merged.reads) == (True, True)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("models = []", 2, "`models` is empty"),
        ("models = ['a b']", 2, "`a b` is no name of a model"),
        ("budget_tokens = 0", 2, "lies between 1 and"),
        ("budget_cost = -1", 2, "lies between 0 and"),
        ("budget_cost = nan", 2, "lies between 0 and"),
        ("budget_cost = '5'", 2, "it has to be a number"),
        ("[[model.price]]\nmodels = ['a']\ninput = 1", 2, "`output` is missing here"),
        ("[[model.route]]\nurl = 'http://gw.example'", 3, "`url` is an `https://` address"),
        ("[[model.route]]\nurl = 'https://u:p@gw.example'", 3, "credentials are bound under"),
        ("[[model.route]]\nurl = 'https://gw.example/a?b'", 3, "a plain path"),
        ("[[model.route]]\nurl = 'https://:x'", 3, "is not an `https://` address with a host"),
        ("model = 'x'", 2, "did you mean `models`?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, place: int, message: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        said(text)

    assert [(one.line, message in one.message) for one in caught.value.diagnostics] == [(place, True)]


def test_requirements_only_tighten() -> None:
    for text in ("read = false", "[[model.route]]\nurl = 'https://gw.example'"):
        with pytest.raises(PolicyInvalid, match="requirements only tighten"):
            said(text, Layer.REQUIREMENTS)


def test_no_key_means_that_nothing_is_read() -> None:
    assert policy().model == ModelPolicy()
    assert judge(policy()).sight("api.openai.com", 443) is Sight.UNSEEN


@pytest.mark.parametrize(
    "text", ["read = true", "models = ['a']", "budget_tokens = 5", "budget_cost = 1", "hosts = ['x.example']"]
)
def test_every_key_makes_the_hosts_of_models_seen(text: str) -> None:
    evaluator = judge(policy(said(text)))

    assert evaluator.inspects
    assert evaluator.sight("api.openai.com", 443) is Sight.INSPECTED
    assert evaluator.sight("api.openai.example", 443) is Sight.UNSEEN


def refused(of: Policy, model: str, spent: Spent | None = None) -> tuple[str, str, str] | None:
    found = ModelTable(of.model).refusal((model,), spent or Spent())
    return None if found is None else (found.rule, found.source, found.text)


def test_a_model_has_to_be_on_every_list() -> None:
    merged = policy(
        said("models = ['claude-*', 'gpt-5*']", Layer.REQUIREMENTS),
        said("models = ['*']"),
        untrusted("models = ['*-mini']"),
    )

    assert refused(merged, "GPT-5.5-mini") is None
    assert refused(merged, "claude-x") == ("model.models", "project.toml:2", "model `claude-x` is not one of `*-mini`")
    assert refused(merged, "o3-mini") == (
        "model.models",
        "requirements.toml:2",
        "model `o3-mini` is not one of `claude-*`, `gpt-5*`",
    )


def test_a_budget_is_the_smallest_that_binds() -> None:
    managed, user = said("budget_tokens = 100", Layer.MANAGED), said("budget_tokens = 500")

    assert policy(managed, user).model.budget_tokens == 100
    assert policy(managed, said("budget_tokens = 50")).model.budget_tokens == 50
    assert policy(user, untrusted("budget_tokens = 900")).model.budget_tokens == 500
    assert policy(user, untrusted("budget_tokens = 9")).model.budget_tokens == 9
    assert policy(user, said("budget_tokens = 20", Layer.REQUIREMENTS)).model.origins == (
        ("budget_tokens", at(2, "requirements")),
    )


def test_whoever_is_held_to_a_budget_does_not_say_what_is_counted() -> None:
    cheap = said(PRICE)

    merged = policy(said("budget_cost = 1", Layer.MANAGED), cheap)

    assert merged.model.prices == ()
    assert [one.why for one in merged.inactive if one.told] == [
        "the budget is the administrator's, and so are its prices"
    ]
    assert refused(merged, "claude-x") == (
        "model.price",
        "managed.toml:2",
        "the session has a budget, and no `[[model.price]]` says what `claude-x` costs",
    )


def test_a_repository_says_neither_prices_nor_where_prompts_go() -> None:
    route = "[[model.route]]\nurl = 'https://evil.example'\n"

    merged = policy(untrusted(PRICE + route))

    assert (merged.model.prices, merged.model.routes) == ((), ())
    assert len(merged.notices) == 2


def test_a_route_of_an_administrator_is_nobody_elses_to_change() -> None:
    managed = said("[[model.route]]\nurl = 'https://gw.corp.example'", Layer.MANAGED)

    merged = policy(managed, said("[[model.route]]\nurl = 'https://mine.example'"))

    assert [one.host for one in merged.model.routes] == ["gw.corp.example"]
    assert merged.notices == ("user.toml:2: a route of models does not apply: managed.toml:2 has others",)


@pytest.mark.parametrize("pattern", ["api.openai.com", "**.openai.com", "*", "llm.corp.example"])
def test_what_is_limited_is_not_passed_through(pattern: str) -> None:
    passed = document(
        f"[network]\npass_through = ['{pattern}']\n[model]\nhosts = ['llm.corp.example']\nmodels = ['a']\n"
    )

    merged = policy(passed)

    assert merged.network.pass_through == ()
    assert judge(merged).sight("api.openai.com", 443) is Sight.INSPECTED
    assert "limits what is asked of models there" in merged.notices[0]


def test_what_is_only_read_may_be_passed_through() -> None:
    passed = document("[network]\npass_through = ['api.openai.com']\n[model]\nread = true\n")

    assert judge(policy(passed)).sight("api.openai.com", 443) is Sight.PASSED_THROUGH


def test_the_pattern_that_says_most_is_the_price_and_what_it_costs_is_rounded_up() -> None:
    dear = PRICE.replace("claude-*", "claude-opus-*").replace("output = 15", "output = 75")
    table = ModelTable(policy(said(PRICE + dear)).model)
    usage = Usage(input_tokens=1_000_001, cached_tokens=400_000, cache_write_tokens=100_000, output_tokens=1)

    assert table.cost("claude-x", usage) == 3 * 600_001 + 3 * 40_000 + 15
    assert table.cost("Claude-Opus-5", usage) == 3 * 600_001 + 3 * 40_000 + 75
    assert table.cost("other", usage) == 0
    assert table.cost("claude-x", Usage(input_tokens=1, cached_tokens=1)) == 1


def test_what_is_open_counts_against_a_budget() -> None:
    merged = policy(said("budget_tokens = 1000"))

    assert refused(merged, "a", Spent(tokens=999)) is None
    assert refused(merged, "a", Spent(tokens=500, open_requests=2, open_tokens=500)) == (
        "model.budget_tokens",
        "user.toml:2",
        "the session may use 1,000 tokens, and has used 500; 2 requests that are not answered yet may use the rest",
    )


def test_amounts_are_shown_as_they_are_written() -> None:
    assert [amount(one) for one in (2_500_000, 0, 1, 123_450, 10_000_000)] == [
        "2.50",
        "0.00",
        "0.0001",
        "0.1235",
        "10.00",
    ]


def test_what_is_said_to_models_is_recorded_in_words_only_where_somebody_says_so() -> None:
    full = document("[telemetry]\nmodel_content = 'full'\n")
    project = msgspec.structs.replace(document("[telemetry]\nmodel_content = 'full'\n", Layer.PROJECT), trusted=False)

    assert policy().telemetry.model_content is ModelContent.DIGEST
    assert policy(full).telemetry.model_content is ModelContent.FULL
    assert policy(project).telemetry.model_content is ModelContent.DIGEST


def test_a_route_leads_requests_of_its_hosts_only() -> None:
    text = "[[model.route]]\nhosts = ['api.openai.com']\nurl = 'https://gw.example/v1'"
    table = ModelTable(policy(said(text)).model)

    found = table.route(Host(name="api.openai.com"), 443)

    assert found is not None and found.url == "https://gw.example/v1"
    assert table.route(Host(name="api.anthropic.com"), 443) is None
    assert table.route(Host(name="gw.example"), 443) is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("models = ['a', 'b']", "models = ['a']", ("model.models", "a b", "a", False)),
        ("models = ['a']", "models = ['a', 'b']", ("model.models", "a", "a b", True)),
        ("models = ['a']", "read = true", ("model.models", "a", "not set", True)),
        ("budget_tokens = 5", "budget_tokens = 6", ("model.budget_tokens", "5", "6", True)),
        ("budget_cost = 5", "budget_cost = 4.5", ("model.budget_cost", "5.00", "4.50", False)),
        ("read = true", "", ("model.read", "yes", "no", True)),
        ("hosts = ['a.example']", "hosts = ['b.example']", ("model.hosts", "a.example", "b.example", True)),
        (
            "read = true",
            "read = true\n[[model.route]]\nurl = 'https://gw.example'",
            ("model.route", "not set", "all to https://gw.example", True),
        ),
    ],
)
def test_a_change_is_told_and_loosens_unless_it_plainly_tightens(
    before: str, after: str, expected: tuple[str, str, str, bool]
) -> None:
    key, one, other, loosens = expected

    found = list(value_differences(policy(said(before)), policy(said(after))))

    assert found == [ValueDifference(key=key, before=one, after=other, loosens=loosens)]


def test_a_question_about_a_model_is_answered_like_a_request() -> None:
    rule = "[[network.rule]]\nhosts = ['api.openai.com', 'x.example']\nverdict = 'allow'\n"
    merged = policy(document(f"{rule}[model]\nmodels = ['gpt-*']\n"))

    def answer(host: str, model: str) -> Decision:
        question = {"connect": host, "method": "POST", "path": "/v1/responses", "model": model}
        return judge(merged).evaluate(action_of(question, cwd="/", home="/"))

    denied = answer("api.openai.com", "o3")

    assert answer("api.openai.com", "gpt-5").verdict is Verdict.ALLOW
    assert answer("x.example", "o3").verdict is Verdict.ALLOW
    assert (denied.verdict, denied.reasons[0].rule) == (Verdict.DENY, "model.models")
    assert denied.next_steps == ("ask for a model that the policy allows",)
    assert judge(merged).asks_models("api.openai.com", 443)
    assert not judge(merged).asks_models("x.example", 443)
